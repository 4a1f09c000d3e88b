"""Learning rates: pure functions of the step."""

from __future__ import annotations

import math


def warmup_decay(total_steps: int, warmup_steps: int, peak: float, shape: str) -> list[float]:
    """Return the rate of every step.

    It rises linearly to `peak` over `warmup_steps` and falls to 0 on half a cosine ("cosine", Loshchilov & Hutter 2017,
    eq. 5, without restarts) or a straight line ("linear").
    """
    rates = []
    for step in range(total_steps):
        if step < warmup_steps:
            share = (step + 1) / warmup_steps
        else:
            done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
            share = 1 - done if shape == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        rates.append(peak * share)
    return rates
