"""Weights in the HDF5 format of bilm-tf and allennlp, and the names that they have here."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from src.model_options import ModelOptions
from src.model_utils.runtime import UserError
from src.output_files import atomic_hdf5


def layout(options: ModelOptions) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Return for each data set of the file, in its shape, the parameters that it holds, stacked by rows.

    {data set: ((names of parameters), shape)}
    """
    filters, size = options.n_filters, options.projection_dim
    datasets = {"char_embed": (("char_encoder.char_embed",), (261, options.char_dim))}
    for k, (width, number) in enumerate(options.filters):
        datasets[f"CNN/W_cnn_{k}"] = (f"char_encoder.w_cnn_{k}",), (1, width, options.char_dim, number)
        datasets[f"CNN/b_cnn_{k}"] = (f"char_encoder.b_cnn_{k}",), (number,)
    for k in range(options.n_highway):
        for name in ("carry", "transform"):
            datasets[f"CNN_high_{k}/W_{name}"] = (f"char_encoder.highways.{k}.w_{name}",), (filters, filters)
            datasets[f"CNN_high_{k}/b_{name}"] = (f"char_encoder.highways.{k}.b_{name}",), (filters,)
    datasets["CNN_proj/W_proj"] = ("char_encoder.w_proj",), (filters, size)
    datasets["CNN_proj/b_proj"] = ("char_encoder.b_proj",), (size,)
    cells = options.lstm_dim
    for number, direction in enumerate(("forward_layers", "backward_layers")):
        for k in range(options.n_layers):
            group, here = f"RNN_{number}/RNN/MultiRNNCell/Cell{k}/LSTMCell", f"{direction}.{k}"
            datasets[f"{group}/W_0"] = (f"{here}.w_x", f"{here}.w_h"), (2 * size, 4 * cells)
            datasets[f"{group}/B"] = (f"{here}.bias",), (4 * cells,)
            datasets[f"{group}/W_P_0"] = (f"{here}.w_p",), (cells, size)
    return datasets


def read_weights(path: str | Path, options: ModelOptions) -> dict[str, np.ndarray]:
    """Read a weight file; returns the network's parameters by name, float32.

    Raises UserError for a file that is no HDF5, lacks a data set, or has one of another shape or one that the options
    do not know, which mostly means that the options belong to other weights.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    expected, weights = layout(options), {}
    try:
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            for name, (parameters, shape) in expected.items():
                if name not in names:
                    raise UserError(f"{path}: has no '{name}'; do the options belong to these weights?")
                if file[name].shape != shape:
                    raise UserError(f"{path}: '{name}' has shape {file[name].shape}, the options say {shape}")
                values = file[name][...].astype(np.float32)
                if len(shape) == 4:
                    values = values.reshape(-1, shape[3])
                weights.update(zip(parameters, np.split(values, len(parameters))))
    except (OSError, RuntimeError):  # h5py raises either, wherever it finds the damage
        raise UserError(f"{path}: not a readable HDF5 file, or damaged; the weights of ELMo end in .hdf5") from None
    foreign = [name for name in names if name not in expected]
    if foreign:
        raise UserError(
            f"{path}: '{foreign[0]}' does not belong to a biLM with these options; are they of other weights?"
        )
    return weights


def write_weights(path: str | Path, parameters: dict[str, np.ndarray], options: ModelOptions) -> None:
    """Write parameters by name as a weight file, atomically; the inverse of `read_weights`."""
    with atomic_hdf5(path) as file:
        for name, (names, shape) in layout(options).items():
            file[name] = np.concatenate([parameters[key] for key in names]).reshape(shape)
