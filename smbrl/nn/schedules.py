"""Values that change with the run's env steps."""

from __future__ import annotations


def linear(step: int, start: float, end: float, duration: int) -> float:
    """From ``start`` at step 0 to ``end`` at ``duration`` and after; ``end`` at once where duration is 0."""
    if duration <= 0:
        return end
    return start + (end - start) * min(1.0, step / duration)
