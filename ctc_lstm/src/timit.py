"""TIMIT (LDC93S1) as it is distributed: files to utterances, the standard splits, the phone sets of 61, 48 and 39.

Garofolo et al. 1993. Layout: {TRAIN,TEST}/DRn/SPEAKER/SENTENCE.{WAV,PHN,TXT,WRD} in any letter case.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from src.model_utils.files import read_lines
from src.model_utils.runtime import UserError, log
from src.utterance import Utterance


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The core test set of the corpus's own documentation (testset.doc, table 1): two men and a woman of each dialect.
CORE_TEST_SPEAKERS = _words("""
    mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0
    mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0
""")
# The development set of Halberstadt 1998 (MIT), 50 speakers of TEST outside the core test set, as Kaldi uses it.
DEVELOPMENT_SPEAKERS = _words("""
    faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 fedw0 mgjf0
    mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0 fmah0 fdrw0
    mrcs0 mrjm4 fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0 fmml0 mrws1
""")
STANDARD_COUNTS = {"train": 3696, "valid": 400, "test": 192}

PHONES_61 = _words("""
    bcl dcl gcl kcl pcl tcl b d g k p t q dx jh ch s sh z zh f th v dh m n ng em en eng nx l r w y hh hv el
    iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h pau epi h#
""")
# Lee & Hon 1989, table 1: allophones that are trained as one (61 to 48), then those scored as one (to 39).
# The glottal stop q is left out.
_TO_48 = {
    **dict.fromkeys(("bcl", "dcl", "gcl"), "vcl"),
    **dict.fromkeys(("kcl", "pcl", "tcl"), "cl"),
    **dict.fromkeys(("h#", "pau"), "sil"),
    **{"ax-h": "ax", "axr": "er", "em": "m", "eng": "ng", "hv": "hh", "nx": "n", "ux": "uw", "q": None},
}
_TO_39 = {
    **dict.fromkeys(("cl", "vcl", "epi"), "sil"),
    **{"ao": "aa", "ax": "ah", "el": "l", "en": "n", "ix": "ih", "zh": "sh"},
}
_SENTENCE_FILE = re.compile(r"(s[ix]\d+)\.(.+)")
_SAMPLE = re.compile(r"[0-9]{1,12}")


def fold(phones, phone_set: str) -> tuple[str, ...]:
    """Map phones of the sets of 61, 48 or 39 to those of `phone_set`, without q below 61; "none" changes nothing.

    Raises UserError for a phone that none of the sets knows.
    """
    if phone_set == "none":
        return tuple(phones)
    mapped = []
    for phone in phones:
        if phone not in _KNOWN:
            raise UserError(f"'{phone}' is no phone of TIMIT; --phone_set none takes labels of any kind as they are")
        if phone_set != "61":
            phone = _TO_48.get(phone, phone)
        if phone_set == "39":
            phone = _TO_39.get(phone, phone)
        if phone is not None:
            mapped.append(phone)
    return tuple(mapped)


def scored(phones, phone_set: str) -> tuple[str, ...]:
    """Map the labels of a model with `phone_set` to those that are scored: the 39 phones, or any labels as they are."""
    return fold(phones, "none" if phone_set == "none" else "39")


_KNOWN = {*PHONES_61, *(p for p in _TO_48.values() if p), *_TO_39.values()}


def subfolder(root: Path, name: str) -> Path | None:
    """Return the folder of that name in any letter case."""
    return next((path for path in sorted(root.iterdir()) if path.name.lower() == name and path.is_dir()), None)


def read_timit(root: Path, problems: list[str]) -> dict[str, list[Utterance]]:
    """Read the corpus without its SA sentences, which every speaker reads; what is wrong is added to `problems`.

    The full corpus gives the standard splits, in which `valid` is part of TEST. A part of it, such as the public
    sample, gives TRAIN and TEST as they are, no `valid`, and a line in the log that says so.
    """
    folders = {name: subfolder(root, name) for name in ("train", "test")}
    if not folders["test"]:
        raise UserError(f"{root}: has TRAIN but no TEST; the corpus is not complete")
    read = {name: _read_part(folder, problems) for name, folder in folders.items()}
    there = {u.speaker for u in read["test"]}
    if not there.issuperset(CORE_TEST_SPEAKERS + DEVELOPMENT_SPEAKERS):
        log(
            f"{root}: a part of TIMIT (TRAIN has {len(read['train'])} utterances without SA, TEST {len(read['test'])}),"
            " so the standard splits cannot be made: the test split is all of TEST"
        )
        return read
    splits = {
        "train": read["train"],
        "valid": [u for u in read["test"] if u.speaker in DEVELOPMENT_SPEAKERS],
        "test": [u for u in read["test"] if u.speaker in CORE_TEST_SPEAKERS],
    }
    for split, count in STANDARD_COUNTS.items():
        if len(splits[split]) != count:
            log(f"warning: {root}: {split} has {len(splits[split])} utterances, the standard split {count}")
    return splits


def _read_part(folder: Path, problems: list[str]) -> list[Utterance]:
    utterances, sentences = [], defaultdict(dict)
    speakers = [path for dialect in folder.iterdir() if dialect.is_dir() for path in dialect.iterdir() if path.is_dir()]
    for path in sorted(path for speaker in speakers for path in speaker.iterdir()):
        if name := _SENTENCE_FILE.fullmatch(path.name.lower()):
            sentences[path.parent, name[1]][name[2]] = path
    for (speaker, stem), files in sorted(sentences.items()):
        audio = files.get("wav") or files.get("wav.wav")  # the latter where RIFF copies were added
        if not audio or "phn" not in files:
            problems.append(f"{speaker}/{stem}: has no {'.PHN' if audio else '.WAV'} file")
            continue
        try:
            labels = read_phones(files["phn"])
        except UserError as error:
            problems.append(str(error))
            continue
        name = speaker.name.lower()
        utterances.append(Utterance(f"{name}_{stem}", name, str(audio), labels))
    if not utterances and not problems:
        raise UserError(f"{folder}: holds no DRn/SPEAKER/*.WAV with .PHN; unpack the corpus again")
    return utterances


def read_phones(path: Path) -> tuple[str, ...]:
    """Return the phones of a .PHN file, whose lines are `begin end phone` in samples; UserError names file and line."""
    phones = []
    for number, line in read_lines(path):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 3 or not all(map(_SAMPLE.fullmatch, parts[:2])) or int(parts[0]) > int(parts[1]):
            raise UserError(f"{path}:{number}: expected `begin end phone`, not '{line}'")
        if parts[2].lower() not in PHONES_61:
            raise UserError(f"{path}:{number}: '{parts[2]}' is none of TIMIT's 61 phones")
        phones.append(parts[2].lower())
    if not phones:
        raise UserError(f"{path}: holds no phones")
    return tuple(phones)
