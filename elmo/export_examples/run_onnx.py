"""Write the vectors of each line of a text, as array "0", "1" and so on: python run_onnx.py TEXT.txt VECTORS.npz

Needs onnxruntime and NumPy.
"""

import sys

import numpy as np
import onnxruntime
from processing import FOLDER, answer, inputs, sentences

text, output = sys.argv[1:]
session = onnxruntime.InferenceSession(str(FOLDER / "elmo.onnx"), providers=["CPUExecutionProvider"])
names = [value.name for value in session.get_inputs()]
vectors = (answer(session.run(None, dict(zip(names, inputs(words))))[0]) for words in sentences(text))
np.savez(output, **{str(number): array for number, array in enumerate(vectors)})
