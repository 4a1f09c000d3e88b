"""What the training steps of the PyTorch networks share: clipping, fused optimizer, rates, weight average."""

from __future__ import annotations

import os

import torch


def use_all_cores() -> None:
    """Let PyTorch compute with as many threads as this process has cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(cores)


class TrainStep:
    """An optimizer step with the arithmetic of model_utils/training.py: see TrainStep there.

    `backward(*batch)` must leave gradients in the parameters and return the loss.
    """

    def __init__(self, parameters, backward, config, rates: list[float]):
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.backward = backward
        self.clip, self.decay = config.gradient_clip, config.weight_average
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
        if self.average:
            decay = min((1 + self.updates) / (10 + self.updates), self.decay)
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return float(loss)
