"""Translate sentences: python run_mindir.py SENTENCE ...

Needs mindspore, NumPy and sentencepiece.
"""

import sys
from collections.abc import Callable

import mindspore as ms
from processing import FOLDER, SETTINGS, translate


def load(part: str) -> Callable:
    """Return a function from the inputs of a network to its outputs."""
    model = ms.nn.GraphCell(ms.load(str(FOLDER / f"gru_seq2seq_{part}.mindir")))
    return lambda *arrays: [output.asnumpy() for output in model(*map(ms.Tensor, arrays))]


encode, decode = load("encoder"), load("decoder")
for sentence in sys.argv[1:]:
    print(translate(sentence, encode, decode, SETTINGS["mindir_length"]))
