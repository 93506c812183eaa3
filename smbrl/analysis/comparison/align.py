"""Curves of several runs on the same steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smbrl.analysis.curves import ema
from smbrl.tracking.record import Columns

Floats = NDArray[np.float64]
SECONDS = "time/online_seconds"


@dataclass(frozen=True)
class Curve:
    """One run's.

    Attributes:
        steps, values: as logged, values smoothed; ``(n,)``.
        seconds: of online learning at each step; NaN where the run did not log them.
    """

    steps: Floats
    values: Floats
    seconds: Floats

    @classmethod
    def of(cls, columns: Columns, metric: str, weight: float) -> Curve:
        """From a record; ``weight`` of the moving average, which looks at nothing later (see ``ema``)."""
        steps, values = columns.steps(metric).astype(np.float64), columns.values(metric)
        known, took = columns.steps(SECONDS).astype(np.float64), columns.values(SECONDS)
        seconds = np.interp(steps, known, took) if len(known) else np.full(len(steps), np.nan)
        return cls(steps, ema(values, weight, 0), seconds)

    def reaches(self, level: float) -> tuple[float, float]:
        """Steps and seconds at the first point that is at least ``level``; infinite where there is none."""
        there = np.flatnonzero(self.values >= level)
        return (self.steps[there[0]], self.seconds[there[0]]) if len(there) else (math.inf, math.inf)


def grid(curves: Sequence[Curve], most: int) -> Floats:
    """Even steps from the first to the last of all curves: as many as the median curve has points, ``most`` at most."""
    count = max(1, min(most, int(np.median([len(curve.steps) for curve in curves]))))
    first, last = min(curve.steps[0] for curve in curves), max(curve.steps[-1] for curve in curves)
    return np.linspace(first, last, count) if count > 1 and last > first else np.array([last])


def on_grid(steps: Floats, values: Floats, places: Floats) -> Floats:
    """The mean of the values nearest to each place; where none is nearest, between its neighbours in a straight line.

    Args:
        steps, values: a curve ``(n,)``.
        places: even steps ``(m,)``; where there is one only, it takes the curve's last value.

    Returns:
        ``(m,)``; NaN before the curve's first point and after its last (half a distance of places apart at most).
    """
    if len(places) == 1:
        return values[-1:].copy()
    half = (places[1] - places[0]) / 2
    cells = np.clip(np.round((steps - places[0]) / (2 * half)), 0, len(places) - 1).astype(int)
    counts = np.zeros(len(places))
    sums = np.zeros(len(places))
    np.add.at(counts, cells, 1.0)
    np.add.at(sums, cells, values)
    between = np.interp(places, steps, values)
    found = np.where(counts > 0, sums / np.maximum(counts, 1.0), between)
    outside = (places < steps[0] - half) | (places > steps[-1] + half)
    return np.where(outside, np.nan, found)
