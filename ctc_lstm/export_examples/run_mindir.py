"""Recognise WAV files: python run_mindir.py FILE ...

Needs mindspore and NumPy.
"""

import sys

import mindspore as ms
from processing import FOLDER, answer, inputs

model = ms.nn.GraphCell(ms.load(str(FOLDER / "ctc_lstm.mindir")))
for path in sys.argv[1:]:
    arrays = inputs(path)
    shape = [None, None, arrays["frames"].shape[2]]  # without it every new length would be compiled anew
    model.set_inputs(ms.Tensor(shape=shape, dtype=ms.float32), ms.Tensor(shape=[None], dtype=ms.int32))
    print(answer(path, model(*map(ms.Tensor, arrays.values())).asnumpy()))
