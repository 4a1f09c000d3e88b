"""All ranks of a training start from the same data and weights, or none does."""

from __future__ import annotations

import hashlib

import numpy as np
from mindspore import nn

from src.model_utils import ranks
from src.model_utils.conversion import identity
from src.model_utils.runtime import UserError


def check_agreement(network: nn.Cell, config: dict, preprocess_path=None, **parts) -> None:
    """Compare digests of what each rank starts from; UserError that names the first part and rank that differ.

    That are the configuration, without paths and numbers of workers, which machines may have of their own; the
    fingerprint of `preprocess_path`, without the times of change of the corpus; arrays or values in `parts` (repr() is
    compared); and the weights of `network`. Does nothing where a process is alone.
    """
    if ranks.count() == 1:
        return
    everywhere = {key: value for key, value in config.items() if not key.endswith(("workers", "_path"))}
    all_parts = {"configuration": everywhere, **parts, "initial weights": network}
    if preprocess_path is not None:
        all_parts["prepared data"] = identity(preprocess_path)
    advice = "give all machines the same options and the same prepared data, by a shared folder or a copy"
    _compare({name.replace("_", " "): _digest(part) for name, part in all_parts.items()}, advice)


def check_weights(network: nn.Cell) -> None:
    """Raise UserError where the ranks have trained weights that differ, which only faulty machines can have done."""
    if ranks.count() > 1:
        _compare({"trained weights": _digest(network)}, "train again without that machine")


def _compare(own: dict[str, str], advice: str) -> None:
    (first, expected), *others = ranks.gather((ranks.own_name(), own))
    for name, digest in expected.items():
        for other, digests in others:
            if digests[name] != digest:
                raise UserError(f"{other} and {first} differ in: {name}; {advice}")


def _digest(part) -> str:
    digest = hashlib.sha256()
    if isinstance(part, nn.Cell):
        for parameter in part.get_parameters():
            digest.update(f"{parameter.name} {_digest(parameter.asnumpy())}\n".encode())
    elif isinstance(part, np.ndarray):
        digest.update(f"{part.dtype} {part.shape}\n".encode())
        digest.update(part.tobytes())
    else:
        digest.update(repr(part).encode())
    return digest.hexdigest()
