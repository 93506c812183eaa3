"""Means of metrics between two log lines, without a single wait for the device in between."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from smbrl.interfaces import Metrics


class Meters:
    """Sums metrics as tensors where they are; ``fetch`` brings all means to the CPU in one copy.

    An agent may return other metrics from one update to the next: every set of names is summed apart.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], tuple[list[Tensor], int]] = {}

    def add(self, metrics: Metrics) -> None:
        """Add the metrics of one update: detached scalars."""
        names = tuple(metrics)
        values = [value.reshape(()) for value in metrics.values()]
        if names not in self._groups:
            self._groups[names] = ([value.to(torch.float32, copy=True) for value in values], 1)
            return
        sums, count = self._groups[names]
        torch._foreach_add_(sums, [value.to(torch.float32) for value in values])
        self._groups[names] = (sums, count + 1)

    def peek(self) -> dict[str, float]:
        """The means so far, without forgetting them."""
        groups = [(names, sums, count) for names, (sums, count) in self._groups.items() if names]
        if not groups:
            return {}
        flat = torch.stack([value for _, sums, _ in groups for value in sums]).tolist()
        totals: dict[str, tuple[float, int]] = {}
        index = 0
        for names, _, count in groups:
            for name in names:
                total, seen = totals.get(name, (0.0, 0))
                totals[name] = (total + flat[index], seen + count)
                index += 1
        return {name: total / count for name, (total, count) in totals.items()}

    def fetch(self) -> dict[str, float]:
        """The means since the last fetch."""
        means = self.peek()
        self._groups.clear()
        return means

    def state(self) -> list[Any]:
        """For a checkpoint: log lines do not depend on where it fell."""
        return [[list(names), list(sums), count] for names, (sums, count) in self._groups.items()]

    def load_state(self, state: list[Any], device: torch.device) -> None:
        """Inverse of ``state``."""
        self._groups = {tuple(names): ([value.to(device) for value in sums], count) for names, sums, count in state}
