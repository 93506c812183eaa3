"""Latents as several softmaxes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SimNorm(nn.Module):
    """Softmax within groups of neighbours: each group lies on a simplex, so that latents neither grow nor die.

    (TD-MPC2, Hansen et al. 2024, equation 5, temperature 1.)

    Args:
        group: V, size of a group; divides the latent's size.
    """

    def __init__(self, group: int = 8) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D) -> (..., D)``, float32; every ``group`` neighbours sum to 1."""
        return torch.softmax(x.float().view(*x.shape[:-1], -1, self.group), -1).flatten(-2)
