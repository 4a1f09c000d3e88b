"""Translate sentences: python run_onnx.py SENTENCE ...

Needs onnxruntime, NumPy and sentencepiece.
"""

import sys
from collections.abc import Callable

import onnxruntime
from processing import FOLDER, translate


def load(part: str) -> Callable:
    """Return a function from the inputs of a network to its outputs."""
    session = onnxruntime.InferenceSession(str(FOLDER / f"gru_seq2seq_{part}.onnx"), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays)))


encode, decode = load("encoder"), load("decoder")
for sentence in sys.argv[1:]:
    print(translate(sentence, encode, decode))
