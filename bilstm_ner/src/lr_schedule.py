"""Learning rates: pure functions of the step."""

from __future__ import annotations

import math


def warmup_decay(
    total_steps: int,
    warmup_steps: int,
    adjust_steps: int,
    lr_init: float,
    lr_max: float,
    lr_end: float,
    shape: str = "cosine",
    global_step: int = 0,
) -> list[float]:
    """Return the rate of steps global_step ... total_steps - 1.

    It rises linearly from `lr_init` to `lr_max` over `warmup_steps`, falls to `lr_end` until `adjust_steps` on a
    straight line ("linear", the model zoo's schedule) or half a cosine ("cosine", Loshchilov & Hutter 2017, eq. 5,
    without restarts), and stays there.
    """
    rates = []
    for step in range(global_step, total_steps):
        if step < warmup_steps:
            rate = lr_init + (lr_max - lr_init) * (step + 1) / warmup_steps
        else:
            done = min(1.0, (step - warmup_steps) / max(1, adjust_steps - warmup_steps))
            if shape == "cosine":
                done = 0.5 * (1 - math.cos(math.pi * done))
            rate = lr_max + (lr_end - lr_max) * done
        rates.append(rate)
    return rates
