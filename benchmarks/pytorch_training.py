"""What the PyTorch sides share: the start of a process, training step, LSTM weights, reversal within lengths."""

from __future__ import annotations

import os

import numpy as np
import torch


class PyTorchSide:
    """`network(config, weights)` and its training by `self.step`, which subclasses make or override `train`."""

    version = torch.__version__

    def __init__(self, network, config, weights: dict[str, np.ndarray]):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(cores)
        torch.manual_seed(config.seed)
        self.network = network(config, {name: torch.from_numpy(array) for name, array in weights.items()})

    def train(self, batch: tuple) -> float:
        """Do one optimizer step and return its loss."""
        self.network.train()
        return self.step(*[torch.from_numpy(array) for array in batch])


class TrainStep:
    """An optimizer step with the arithmetic of model_utils/training.py: see TrainStep there.

    `backward(*batch)` must leave gradients in the parameters and return the loss.
    """

    def __init__(self, parameters, backward, config, rates: list[float]):
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.backward = backward
        self.clip, self.decay = config.gradient_clip, config.weight_average
        self.average_every = getattr(config, "average_every", 1)
        self.rates, self.updates = rates, 0
        shared = {"lr": rates[0], "weight_decay": config.weight_decay, "fused": True}
        if config.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.parameters, betas=(config.momentum, 0.98), **shared)
        else:
            self.optimizer = torch.optim.SGD(self.parameters, momentum=config.momentum, **shared)
        self.average = [parameter.detach().clone() for parameter in self.parameters] if self.decay else []

    def __call__(self, *batch) -> float:
        """Do one step and return its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.backward(*batch)
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip, foreach=True)
        settings = self.optimizer.param_groups[0]
        settings["lr"] = self.rates[self.updates]
        self.updates += 1
        if "betas" in settings:  # MindSpore adds epsilon before the bias correction of the second moment, PyTorch after
            settings["eps"] = 1e-8 / (1 - settings["betas"][1] ** self.updates) ** 0.5
        self.optimizer.step()
        if self.average and self.updates % self.average_every == 0:
            decay = min((1 + self.updates) / (10 + self.updates), self.decay) ** self.average_every
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return float(loss)


class Reorder(torch.autograd.Function):
    """Rows of x (T, B, E) in an order (T * B,) that is its own inverse, so that the gradient is a gather as well."""

    @staticmethod
    def forward(ctx, x, order):
        ctx.save_for_backward(order)
        return x.flatten(0, 1).index_select(0, order).view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        (order,) = ctx.saved_tensors
        return gradient.flatten(0, 1).index_select(0, order).view_as(gradient), None


def load_lstm(lstm, here: str, weights, prefix: str, suffix: str) -> None:
    """Copy a layer's weights; PyTorch's second bias, which MindSpore's layer does not have, stays zero."""
    with torch.no_grad():
        for name, source in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias_ih", "bias")):
            getattr(lstm, f"{name}_{here}").copy_(weights[f"{prefix}{source}{suffix}"])
    getattr(lstm, f"bias_hh_{here}").requires_grad_(False).zero_()
