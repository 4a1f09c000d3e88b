"""Write the vectors of each line of a text, as array "0", "1" and so on: python run_mindir.py TEXT.txt VECTORS.npz

Needs mindspore and NumPy.
"""

import sys

import mindspore as ms
import numpy as np
from processing import FOLDER, answer, inputs, sentences

text, output = sys.argv[1:]
model = ms.nn.GraphCell(ms.load(str(FOLDER / "elmo.mindir")))
shapes = [None, None], [None, None], [None]  # without them every new length would be compiled anew
model.set_inputs(*(ms.Tensor(shape=shape, dtype=ms.int32) for shape in shapes))
vectors = (answer(model(*map(ms.Tensor, inputs(words))).asnumpy()) for words in sentences(text))
np.savez(output, **{str(number): array for number, array in enumerate(vectors)})
