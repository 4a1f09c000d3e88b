"""What the PyTorch sides share: training and inference, recurrent layers from given weights, reversal, dropout.

Time-major throughout: T steps, B sequences.
"""

from __future__ import annotations

import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIRECTIONS = ("", "_reverse")  # suffixes of the names of weights


class PyTorchSide:
    """Training and inference of one of `networks` from given weights; each is built by (config, weights by name)."""

    version = torch.__version__
    networks: dict[str, type[nn.Module]]

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(cores)
        torch.manual_seed(config.seed)
        self.config = config
        self.network = self.networks[variant](
            config, {name: torch.from_numpy(array) for name, array in weights.items()}
        )
        self.prepare_training(rates)

    def prepare_training(self, rates: list[float]) -> None:
        """Make the training step."""
        self.step = TrainStep(self.network.parameters(), self.backward, self.config, rates)

    def backward(self, *batch: Tensor) -> Tensor:
        """Return the loss of a batch and leave the gradients in the parameters."""
        loss = self.loss(*batch)
        loss.backward()
        return loss.detach()

    def train(self, batch: tuple) -> float:
        """Do one optimizer step and return its loss."""
        self.network.train()
        return self.step(*map(torch.from_numpy, batch))

    @torch.inference_mode()
    def logits(self, batch: tuple) -> np.ndarray:
        """Return what `outputs` makes of a batch, without dropout."""
        self.network.eval()
        return self.outputs(*map(torch.from_numpy, batch)).numpy()


class TrainStep:
    """An optimizer step with the arithmetic of model_utils/train_step.py: see TrainStep there.

    `backward(*batch)` must leave gradients in the parameters and return the loss. Where the configuration names no
    optimizer, it is Adam.
    """

    def __init__(self, parameters, backward, config, rates: list[float]):
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.backward = backward
        self.clip, self.decay = config.gradient_clip, config.weight_average
        self.average_every = getattr(config, "average_every", 1)
        self.rates, self.updates = rates, 0
        momentum = getattr(config, "momentum", 0.9)
        shared = {"lr": rates[0], "weight_decay": config.weight_decay, "fused": True}
        if getattr(config, "optimizer", "adam") == "adam":
            self.optimizer = torch.optim.Adam(self.parameters, betas=(momentum, 0.98), **shared)
        else:
            self.optimizer = torch.optim.SGD(self.parameters, momentum=momentum, **shared)
        self.average = [parameter.detach().clone() for parameter in self.parameters] if self.decay else []

    def __call__(self, *batch: Tensor) -> float:
        """Do one step and return its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.backward(*batch)
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip, foreach=True)
        rate = self.rates[self.updates]
        self.updates += 1
        update(self.optimizer, rate, self.updates)
        if self.average and self.updates % self.average_every == 0:
            decay = min((1 + self.updates) / (10 + self.updates), self.decay) ** self.average_every
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return float(loss)


def update(optimizer: torch.optim.Optimizer, rate: float, updates: int) -> None:
    """Do the update of this number, counted from 1, at a learning rate."""
    settings = optimizer.param_groups[0]
    settings["lr"] = rate
    if "betas" in settings:  # MindSpore adds epsilon before the bias correction of the second moment, PyTorch after
        settings["eps"] = 1e-8 / (1 - settings["betas"][1] ** updates) ** 0.5
    optimizer.step()


class DropColumns(nn.Module):
    """Dropout of columns of x (T, B, E), those of a sequence the same at every step."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some columns zero and the others scaled up."""
        return x * F.dropout(torch.ones(x.shape[1:]), self.p) if self.training and self.p else x


def recurrent(kind: type[nn.RNNBase], weights, prefixes: list[str], suffixes=("",), dropout=0.0) -> nn.RNNBase:
    """Build an nn.LSTM or nn.GRU with a layer for each prefix and a direction for each suffix of the weights' names.

    The second bias of an LSTM, which MindSpore's layer does not have, stays zero.
    """
    inputs, hidden = (weights[f"{prefixes[0]}{name}{suffixes[0]}"].shape[1] for name in ("weight_ih", "weight_hh"))
    both = {"dropout": dropout if len(prefixes) > 1 else 0.0, "bidirectional": len(suffixes) == 2}
    layer = kind(inputs, hidden, len(prefixes), **both)
    with torch.no_grad():
        for k, prefix in enumerate(prefixes):
            for here, suffix in zip(DIRECTIONS, suffixes):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    parameter = getattr(layer, f"{name}_l{k}{here}")
                    if kind is nn.LSTM and name == "bias_hh":
                        parameter.requires_grad_(False).zero_()
                    else:
                        source = "bias" if kind is nn.LSTM and name == "bias_ih" else name
                        parameter.copy_(weights[f"{prefix}{source}{suffix}"])
    return layer


def linear(weights: dict[str, Tensor], prefix: str) -> nn.Linear:
    """Build a layer from its weights."""
    parameters = {name: weights[prefix + name] for name in ("weight", "bias") if prefix + name in weights}
    layer = nn.Linear(*parameters["weight"].shape[::-1], bias="bias" in parameters)
    layer.load_state_dict(parameters)
    return layer


class Reorder(torch.autograd.Function):
    """Rows of x (T, B, E) in an order (T * B,) that is its own inverse, so that the gradient is a gather as well."""

    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return x.flatten(0, 1).index_select(0, order).view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return gradient.flatten(0, 1).index_select(0, order).view_as(gradient), None


def reversal(lengths: Tensor, steps: int) -> Tensor:
    """Return the order (T * B,) for Reorder that reverses sequences within their lengths; padding stays in place."""
    step, row = torch.arange(steps)[:, None], torch.arange(len(lengths))
    return (torch.where(step >= lengths, step, lengths - 1 - step) * len(lengths) + row).flatten()


class Unpacked(nn.ModuleList):
    """An LSTM layer as one-direction LSTMs: PyTorch's is one fused oneDNN operator on plain, unpacked tensors only.

    On sequences reversed within their lengths the backward direction meets the padding last, so it changes no real
    output.
    """

    def __init__(self, weights, prefix: str, suffixes=DIRECTIONS):
        super().__init__(recurrent(nn.LSTM, weights, [prefix], (suffix,)) for suffix in suffixes)

    def forward(self, x: Tensor, order: Tensor) -> list[Tensor]:
        """Map x (T, B, E) and its `reversal` to the outputs (T, B, H) of each direction, the second reversed."""
        return [lstm(Reorder.apply(x, order) if k else x)[0] for k, lstm in enumerate(self)]


def join(outputs: list[Tensor], order: Tensor) -> Tensor:
    """Put the outputs of `Unpacked` side by side, all in the order of the text: (T, B, H of all directions)."""
    first, *backward = outputs
    return torch.cat([first, *(Reorder.apply(each, order) for each in backward)], 2) if backward else first
