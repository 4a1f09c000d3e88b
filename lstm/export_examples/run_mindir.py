"""Say whether reviews are positive: python run_mindir.py TEXT ...

Needs mindspore and NumPy.
"""

import sys

import mindspore as ms
from processing import FOLDER, answer, inputs

model = ms.nn.GraphCell(ms.load(str(FOLDER / "lstm.mindir")))
shapes = [None, None], [None]  # of ids and lengths; without them every new length would be compiled anew
model.set_inputs(*(ms.Tensor(shape=shape, dtype=ms.int32) for shape in shapes))
for text in sys.argv[1:]:
    print(answer(text, model(*map(ms.Tensor, inputs(text).values())).asnumpy()))
