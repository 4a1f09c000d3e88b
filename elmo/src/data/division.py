"""Divides a corpus into plain tokenized text files for training, validation and a test: a program.

Those files (one sentence a line, words separated by single spaces, an empty line between documents) are what the
vocabulary, the MindRecord files and any other language model to compare with are made from.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from src.data.chunks import Chunk, lines_of, map_chunks
from src.data.tokenizer import Place, add_tokenizer_option, join_documents, read_documents, sentences_of, text_files
from src.model_utils.configuration import Parser
from src.model_utils.files import atomic_write
from src.model_utils.runtime import UserError, log, run

PARTS = ("train", "valid", "heldout")
MANY = 100  # files or documents from which on a corpus is divided by them


def divide(path, folder, valid: float, heldout: float, seed: int, tokenizer: str = "words") -> dict[str, dict]:
    """Write train.txt, valid.txt and heldout.txt into `folder`, files shuffled, and return the counts of each part.

    The shares are of files where `path` is a folder of MANY files, else of documents, and where there are not MANY of
    those either, of sentences; the draw depends on the seed alone. A file is one review, article or shard, so its
    neighbours in the folder do not end up beside it. Raises UserError, and writes nothing, where a part would remain
    empty, and where the next call would read what this one writes.
    """
    files, folder = text_files(path), Path(folder)
    _check_output(Path(path), folder)
    draw = random.Random(seed)
    draw.shuffle(files)
    unit = "files" if len(files) >= MANY else "documents"
    if unit == "documents" and valid + heldout > 0 and _has_few_documents(files):
        unit = "sentences"
        log(f"{path}: fewer than {MANY} files and documents, so it is divided by sentences")

    def part_of(position: float) -> str:
        return "heldout" if position < heldout else "valid" if position < heldout + valid else "train"

    counts = {part: {"documents": 0, "sentences": 0, "words": 0} for part in PARTS}
    with contextlib.ExitStack() as stack:
        outputs = {part: stack.enter_context(atomic_write(folder / f"{part}.txt")) for part in PARTS}
        lines = itertools.chain.from_iterable(map_chunks(divide_chunk, files, tokenizer, "dividing the text"))
        for k, document in join_documents(lines):
            pieces = ([sentence] for sentence in document) if unit == "sentences" else [document]
            drawn = ((part_of((k + 0.5) / len(files) if unit == "files" else draw.random()), p) for p in pieces)
            for part, run_of_pieces in itertools.groupby(drawn, key=lambda pair: pair[0]):
                sentences = (sentence for _, piece in run_of_pieces for sentence in piece)
                _write_document(outputs[part], sentences, counts[part])
        if not sum(count["documents"] for count in counts.values()):
            raise UserError(f"{path}: holds no words")
        for part, share in (("train", 1 - valid - heldout), ("valid", valid), ("heldout", heldout)):
            if share > 0 and not counts[part]["documents"]:
                raise UserError(
                    f"{path}: none of its {unit} came into {part}.txt, whose share is {share:g}; give more text, or"
                    " other shares (VALID and HELDOUT, --valid and --heldout; 0 for no such part)"
                )
    return counts


def divide_chunk(chunk: Chunk) -> list[tuple[Place, list[str]]]:
    """Return the place of each line and its sentences, whose words have single spaces between them."""
    tokenizer, parts = chunk
    return [(place, list(map(" ".join, sentences_of(line, tokenizer)))) for place, line in lines_of(parts)]


def _has_few_documents(files: list[Path]) -> bool:
    """Whether the files have fewer than MANY documents, but more lines; False for a pipe, read only once."""
    if not all(file.is_file() for file in files):
        return False
    documents = (document for file in files for document in read_documents(file, "whitespace"))
    lines = [sum(1 for _ in document) for document in itertools.islice(documents, MANY)]
    return len(lines) < MANY and sum(lines) > len(lines)


def _write_document(output, sentences: Iterable[str], count: dict[str, int]) -> None:
    if count["documents"]:
        output.write("\n")
    count["documents"] += 1
    for sentence in sentences:
        output.write(sentence + "\n")
        count["sentences"] += 1
        count["words"] += 1 + sentence.count(" ")


def _check_output(source: Path, folder: Path) -> None:
    """Refuse to write where the text is read from: the next call would take the parts for text."""
    place = folder.resolve()
    if source.is_dir() and source.resolve() in (place, *place.parents):
        raise UserError(f"{folder}: lies in the folder of texts {source}; choose another place for the parts")
    if any(source.resolve() == place / f"{part}.txt" for part in PARTS):
        raise UserError(f"{source}: would be replaced by a part of itself; choose another folder than {folder}")


def main(argv: Sequence[str] | None = None) -> dict:
    """Divide a corpus as the command line says; returns the counts."""
    parser = Parser(__doc__, config_file=False, device=False, prog="python -m src.data.division")
    parser.add_argument("input", metavar="FILE|DIR", help="text file, or folder of text files")
    parser.add_argument("output", metavar="DIR", help="folder of train.txt, valid.txt and heldout.txt")
    add_tokenizer_option(parser, default="words")
    parser.add_argument("--valid", type=float, default=0.002, metavar="SHARE", help="for validation (default 0.002)")
    parser.add_argument("--heldout", type=float, default=0.01, metavar="SHARE", help="held out (default 0.01)")
    parser.add_argument("--seed", type=int, default=0, help="of the division and the order (default 0)")
    args = parser.parse_args(argv)
    if min(args.valid, args.heldout) < 0 or args.valid + args.heldout >= 1:
        raise UserError(f"--valid {args.valid} --heldout {args.heldout}: both 0 or more, together below 1")
    counts = divide(args.input, args.output, args.valid, args.heldout, args.seed, args.tokenizer)
    for part, count in counts.items():
        print(f"{Path(args.output) / part}.txt: " + ", ".join(f"{value} {key}" for key, value in count.items()))
    return counts


if __name__ == "__main__":
    run(main)
