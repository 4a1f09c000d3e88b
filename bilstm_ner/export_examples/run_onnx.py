"""Find the named entities of sentences: python run_onnx.py TEXT ...

Needs onnxruntime and NumPy.
"""

import sys

import onnxruntime
from processing import FOLDER, answer, inputs

session = onnxruntime.InferenceSession(str(FOLDER / "bilstm_ner.onnx"), providers=["CPUExecutionProvider"])
known = {value.name for value in session.get_inputs()}  # without bigrams, where the model was trained without
for text in sys.argv[1:]:
    arrays = {name: array for name, array in inputs(text).items() if name in known}
    print(answer(text, session.run(None, arrays)[0]))
