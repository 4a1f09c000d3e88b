"""Say whether reviews are positive: python run_onnx.py TEXT ...

Needs onnxruntime and NumPy.
"""

import sys

import onnxruntime
from processing import FOLDER, answer, inputs

session = onnxruntime.InferenceSession(str(FOLDER / "lstm.onnx"), providers=["CPUExecutionProvider"])
for text in sys.argv[1:]:
    print(answer(text, session.run(None, inputs(text))[0]))
