"""Learning rates: pure functions of the step."""

from __future__ import annotations

import math


def warmup_decay(total_steps: int, warmup_steps: int, peak: float) -> list[float]:
    """Return the rate of every step.

    It rises linearly from 0 to `peak` over `warmup_steps`, then falls to 0 on half a cosine (Loshchilov & Hutter 2017,
    eq. 5, without restarts).
    """
    rises = [peak * (step + 1) / warmup_steps for step in range(min(warmup_steps, total_steps))]
    falling = total_steps - warmup_steps
    falls = [peak - peak * (0.5 * (1 - math.cos(math.pi * (step / falling)))) for step in range(falling)]
    return rises + falls
