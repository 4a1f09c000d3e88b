"""Learning rates."""

from __future__ import annotations

import pytest

from src.lr_schedule import warmup_decay


def test_the_rate_rises_to_its_peak_and_falls_by_its_shape():
    linear = warmup_decay(12, 4, 0.8, "linear")
    assert linear[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8]) and linear[-1] == pytest.approx(0.1)
    cosine = warmup_decay(100, 10, 1.0, "cosine")
    assert max(cosine) == 1.0 and cosine[55] == pytest.approx(0.5) and cosine[-1] < 0.001
    assert warmup_decay(3, 0, 0.2, "constant") == [0.2] * 3
