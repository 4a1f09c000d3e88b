"""Learning rates: pure functions of the step."""

from __future__ import annotations

import math


def warmup_decay(total_steps: int, warmup_steps: int, peak: float, shape: str) -> list[float]:
    """Return the rate of every step: a linear rise to `peak`, then as `shape` says: cosine, linear (to 0) or constant.

    The cosine is that of Loshchilov & Hutter 2017, eq. 5, without restarts; constant with Adagrad is bilm-tf's choice.
    """
    rates = []
    for step in range(total_steps):
        if step < warmup_steps:
            rates.append(peak * (step + 1) / warmup_steps)
            continue
        done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        left = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[shape]
        rates.append(peak * left)
    return rates
