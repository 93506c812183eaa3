"""Values that change with the run's env steps."""

from __future__ import annotations

import math


def cosine(step: int, duration: int, start: float, end: float) -> float:
    """1 for the share ``start`` of ``duration``, then half a cosine down to ``end``, which it keeps."""
    progress = min(1.0, max(0.0, (step / duration - start) / max(1.0 - start, 1e-9)))
    return end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * progress))


def linear(step: int, start: float, end: float, duration: int) -> float:
    """From ``start`` at step 0 to ``end`` at ``duration`` and after; ``end`` at once where duration is 0."""
    if duration <= 0:
        return end
    return start + (end - start) * min(1.0, step / duration)
