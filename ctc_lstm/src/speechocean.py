"""speechocean762 (Zhang et al. 2021) as it is distributed, to manifests with its canonical phones.

python -m src.speechocean CORPUS_DIR OUTPUT_DIR; script/prepare_speechocean.sh downloads the corpus and calls it.

Files are those of Kaldi's data folders: {train,test}/{wav.scp,text,utt2spk,spk2age,spk2gender}, one key and its value a
line, and resource/text-phone, with the key `utterance.word` and phones such as `AO0_I`: a phone of the CMU dictionary,
its stress, and its place in the word. Labels are what the reader was asked to say; all of them are learners of English.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
from collections import defaultdict
from pathlib import Path

from src.model_utils.configuration import Parser
from src.model_utils.files import atomic_write, read_lines
from src.model_utils.runtime import UserError, log, run

ADULT = 13  # years from which a speaker counts as an adult
PHONES = {  # of the CMU pronouncing dictionary
    *("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH"),
    *("K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
}
_PHONE = re.compile(r"([A-Z]+)[0-2]?_[BIES]")
_NUMBER = re.compile(r"[0-9]{1,6}")


def read_table(path: Path) -> dict[str, str]:
    """Return the value of each key; UserError for a line without one, or a key that is there twice."""
    table: dict[str, str] = {}
    for number, line in read_lines(path):
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        if not value.strip() or key in table:
            raise UserError(f"{path}:{number}: expected a new key and its value, not '{line}'")
        table[key] = value.strip()
    return table


def read_phones(path: Path) -> dict[str, list[list[str]]]:
    """Return the phones of each word of each utterance, without stress.

    UserError for a phone that the dictionary lacks, and where a word is missing between others.
    """
    words: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for key, value in read_table(path).items():
        utterance, _, word = key.rpartition(".")
        phones = [match[1] if match else "" for match in map(_PHONE.fullmatch, value.split())]
        if not _NUMBER.fullmatch(word) or not PHONES.issuperset(phones):
            raise UserError(f"{path}: expected `utterance.word` and phones such as AO0_I, not '{key} {value}'")
        words[utterance][int(word)] = phones
    gaps = [name for name, parts in words.items() if max(parts) >= len(parts)]
    if gaps:
        raise UserError(f"{path}: {gaps[0]}: a word is missing; get the corpus again")
    return {name: [parts[k] for k in range(len(parts))] for name, parts in words.items()}


def choose_validation(groups: dict[str, str], count: int, seed: int) -> set[str]:
    """Choose `count` speakers, of each group (speaker -> group) about the share that it has of all."""
    members: dict[str, list[str]] = defaultdict(list)
    for speaker, group in sorted(groups.items()):
        members[group].append(speaker)
    draw = random.Random(seed)
    order = []  # every speaker with its place in its group, from 0 to 1
    for group, speakers in sorted(members.items()):
        draw.shuffle(speakers)
        order += [((k + 0.5) / len(speakers), group, speaker) for k, speaker in enumerate(speakers)]
    return {speaker for _, _, speaker in sorted(order)[:count]}


def write_manifests(corpus: Path, folder: Path, valid_speakers: int, seed: int) -> None:
    """Write train.jsonl, valid.jsonl and test.jsonl, and groups.tsv, which eval.py --groups reads.

    Raises UserError where a file is missing or malformed, or an utterance has no audio, speaker or phones.
    """
    phones = read_phones(corpus / "resource/text-phone")
    splits: dict[str, list[tuple[dict, tuple[str, str], str]]] = {"train": [], "valid": [], "test": []}
    for part in ("train", "test"):
        tables = {name: read_table(corpus / part / name) for name in _TABLES}
        kinds = {speaker: _kind(tables, speaker, corpus / part) for speaker in sorted(set(tables["utt2spk"].values()))}
        held_out = set()
        if part == "train":
            if not 0 <= valid_speakers < len(kinds):
                raise UserError(f"--valid_speakers {valid_speakers}: {corpus}/train has {len(kinds)} speakers")
            groups = {speaker: " ".join(kind) for speaker, kind in kinds.items()}
            held_out = choose_validation(groups, valid_speakers, seed)
        for name, audio in tables["wav.scp"].items():
            there = {"utt2spk": name in tables["utt2spk"], "text": name in tables["text"]}
            there.update({"resource/text-phone": name in phones, audio: (corpus / audio).is_file()})
            if not all(there.values()):
                missing = next(key for key, value in there.items() if not value)
                raise UserError(f"{corpus}/{part}/wav.scp: {name}: is not in {missing}; get the corpus again")
            text, words = tables["text"][name], phones[name]
            if len(text.split()) != len(words):
                raise UserError(f"{corpus}/{part}/text: {name}: has other words than {corpus}/resource/text-phone")
            speaker = tables["utt2spk"][name]
            line = {"audio": os.path.relpath(corpus / audio, folder), "labels": " ".join(itertools.chain(*words))}
            line.update(speaker=speaker, name=name)
            splits["valid" if speaker in held_out else part].append((line, kinds[speaker], text))
    trained_texts = {text for _, _, text in splits["train"]}
    for split, utterances in splits.items():
        with atomic_write(folder / f"{split}.jsonl") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line, _, _ in utterances)
        log(f"{split}: {len(utterances)} utterances of {len({line['speaker'] for line, _, _ in utterances})} speakers")
    with atomic_write(folder / "groups.tsv") as file:
        file.write("name\tage\tgender\ttext\n")
        for line, kind, text in (utterance for utterances in splits.values() for utterance in utterances):
            seen = "also in training" if text in trained_texts else "new"
            file.write("\t".join((line["name"], *kind, seen)) + "\n")


_TABLES = ("wav.scp", "text", "utt2spk", "spk2age", "spk2gender")


def _kind(tables: dict[str, dict[str, str]], speaker: str, folder: Path) -> tuple[str, str]:
    """Return age group and gender of a speaker."""
    age, gender = tables["spk2age"].get(speaker, ""), tables["spk2gender"].get(speaker, "")
    if not _NUMBER.fullmatch(age) or gender not in ("m", "f"):
        raise UserError(f"{folder}: spk2age and spk2gender must tell years and m or f of speaker {speaker}")
    return "adult" if int(age) >= ADULT else "child", {"m": "male", "f": "female"}[gender]


def main(argv=None) -> None:
    """Write the manifests that the command line asks for."""
    parser = Parser(__doc__.split("\n")[0], config_file=False, device=False, prog="python -m src.speechocean")
    parser.add_argument("corpus", metavar="CORPUS_DIR", help="folder with WAVE/, train/, test/ and resource/")
    parser.add_argument("output", metavar="OUTPUT_DIR", help="folder of the manifests, later the --data_path")
    text = "training speakers held out for validation (default: 15 of 125)"
    parser.add_argument("--valid_speakers", type=int, default=15, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of their choice (default: 0)")
    args = parser.parse_args(argv)
    write_manifests(Path(args.corpus), Path(args.output), args.valid_speakers, args.seed)


if __name__ == "__main__":
    run(main)
