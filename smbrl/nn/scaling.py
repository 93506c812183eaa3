"""The size of returns, so that losses weigh alike whatever a task pays."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PercentileScale(nn.Module):
    """S = max(least, high - low), where low and high follow two percentiles of what is seen (DreamerV3, equation 7).

    Percentiles, so that a few outliers do not make everything else small; and never below ``least``, so that
    returns that hardly differ are not blown up.

    Args:
        rate: share by which low and high move towards a batch's percentiles.
        percentiles: lower and upper, in [0, 1].
        least: the smallest S.

    Attributes:
        bounds: low and high ``(2,)``; 0 at the start.
    """

    bounds: Tensor
    levels: Tensor

    def __init__(self, rate: float = 0.01, percentiles: tuple[float, float] = (0.05, 0.95), least: float = 1.0) -> None:
        super().__init__()
        self.rate, self.least = rate, least
        self.register_buffer("bounds", torch.zeros(2))
        self.register_buffer("levels", torch.tensor(percentiles), persistent=False)

    @torch.no_grad()
    def update(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """Follow ``values (...)`` where ``mask (...)`` is not 0; returns S, a scalar."""
        if mask is not None:
            values = values.masked_fill(mask == 0, torch.nan)
        self.bounds.lerp_(torch.nanquantile(values.float().flatten(), self.levels), self.rate)
        return self.scale()

    def scale(self) -> Tensor:
        """S as it is."""
        return (self.bounds[1] - self.bounds[0]).clamp(min=self.least)
