"""Recognise WAV files: python run_onnx.py FILE ...

Needs onnxruntime and NumPy.
"""

import sys

import onnxruntime
from processing import FOLDER, answer, inputs

session = onnxruntime.InferenceSession(str(FOLDER / "ctc_lstm.onnx"), providers=["CPUExecutionProvider"])
for path in sys.argv[1:]:
    print(answer(path, session.run(None, inputs(path))[0]))
