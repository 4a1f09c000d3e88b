"""A short test of what a folder holds of the shared code, whose own tests lie beside the originals."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from src import model_utils
from src.model_utils.checkpoint import load_checkpoint, save_checkpoint
from src.model_utils.runtime import UserError

MODULES = sorted(path.stem for path in Path(model_utils.__file__).parent.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_every_module_here_can_be_imported(name):
    importlib.import_module(f"src.model_utils.{name}")


def test_a_checkpoint_comes_back_and_half_of_one_is_refused(tmp_path):
    path = tmp_path / "x-1_1.ckpt"
    values = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float32)}
    save_checkpoint(path, [Parameter(Tensor(value), name=name) for name, value in values.items()], {"epoch": 2})
    parameters, state = load_checkpoint(path)
    assert state == {"epoch": 2} and parameters.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(parameters[name].asnumpy(), value)
    assert [each.name for each in tmp_path.iterdir()] == [path.name], "nothing else is left beside it"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"x-1_1\.ckpt: (damaged|truncated)"):
        load_checkpoint(path)
