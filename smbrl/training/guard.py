"""Stops a run whose numbers have gone wrong, while its last good checkpoint is still there."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

LIMIT = 1e12
"""A metric beyond this is an explosion; honest values of the losses are below 1e6."""


class DivergedError(Exception):
    """The numbers have gone wrong; the message is a diagnosis of one line."""


class Guard:
    """Looks at what is logged anyway, so it costs nothing between log lines.

    Args:
        phase: for the message.
        unit: what the phase's steps count, for the message.
    """

    def __init__(self, phase: str, unit: str) -> None:
        self.phase = phase
        self.unit = unit
        self._good: dict[str, float] = {}
        self._good_step = 0

    def check(self, metrics: dict[str, float], step: int) -> None:
        """Look at the means at a log point.

        Raises:
            DivergedError: one is NaN, infinite or beyond ``LIMIT``.
        """
        for name, value in metrics.items():
            if not math.isfinite(value) or abs(value) > LIMIT:
                before = (
                    f"it was {self._good[name]:.4g} at {self.unit} {self._good_step}"
                    if name in self._good
                    else "there is no earlier value"
                )
                raise DivergedError(
                    f"{self.phase} diverged: {name} is {value:.4g} at {self.unit} {step}, {before}; try a lower "
                    "learning rate, --precision float32 or a lower reward scale, and look for NaN in the data"
                )
        self._good = dict(metrics)
        self._good_step = step

    def check_parameters(self, module: nn.Module, step: int) -> None:
        """Look at the parameters before they are saved: a checkpoint with NaN in it is no good one.

        Raises:
            DivergedError: one of them is not finite.
        """
        named = [(name, p.detach()) for name, p in module.named_parameters() if p.is_floating_point() and p.numel()]
        if not named:
            return
        finite = torch.stack([torch.isfinite(value).all() for _, value in named]).tolist()
        for (name, _), fine in zip(named, finite, strict=True):
            if not fine:
                raise DivergedError(
                    f"{self.phase} diverged: the weights {name} are not finite at {self.unit} {step}; "
                    "try a lower learning rate or --precision float32"
                )

    def state(self) -> dict[str, Any]:
        """What the next diagnosis would quote."""
        return {"good": self._good, "step": self._good_step}

    def load_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        self._good, self._good_step = dict(state["good"]), int(state["step"])
