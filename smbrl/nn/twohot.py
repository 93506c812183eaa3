"""Regression as classification over bins that are fine near zero and coarse far from it.

A scalar is spread over the two bins around it, and a softmax learns those shares: gradients stay of the same size
whatever the scale of rewards and returns (DreamerV3, Hafner et al. 2023; TD-MPC2, Hansen et al. 2024).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Space = Literal["symexp", "symlog"]


def symlog(x: Tensor) -> Tensor:
    """sign(x) ln(1 + abs(x)): the logarithm for numbers of either sign, the identity near zero."""
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Tensor) -> Tensor:
    """The inverse of ``symlog``."""
    return torch.sign(x) * torch.expm1(x.abs())


class TwoHot(nn.Module):
    """Scalars as shares of bins, and back.

    Args:
        bins: how many.
        low, high: outermost bins in symlog space; a scalar beyond them counts as the outermost bin.
        space: where scalars lie between two bins, and where predictions are averaged: ``symexp`` in their own units
            over bins spaced by symexp (DreamerV3), ``symlog`` over equally spaced bins in symlog space (TD-MPC2,
            and DreamerV3's preprint).
    """

    bins: Tensor

    def __init__(self, bins: int = 255, low: float = -20.0, high: float = 20.0, space: Space = "symexp") -> None:
        super().__init__()
        self.space = space
        grid = torch.linspace(low, high, bins, dtype=torch.float64)
        if low == -high:  # exactly symmetric, so that equal shares give exactly zero
            grid = 0.5 * (grid - grid.flip(0))
        values = symexp(grid) if space == "symexp" else grid
        self.register_buffer("bins", values.float(), persistent=False)

    def neighbours(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(...)`` -> numbers of the bins below and above ``(...)``, and the share of the one above."""
        y = value if self.space == "symexp" else symlog(value)
        y = torch.minimum(torch.maximum(y, self.bins[0]), self.bins[-1])
        last = len(self.bins) - 1
        below = (torch.bucketize(y, self.bins, right=True) - 1).clamp(0, last - 1)
        low, high = self.bins[below], self.bins[below + 1]
        return below, below + 1, (y - low) / (high - low)

    def encode(self, value: Tensor) -> Tensor:
        """``(...)`` -> shares ``(..., bins)``, two of them not zero, that sum to 1."""
        below, above, share = self.neighbours(value)
        shares = torch.zeros(*value.shape, len(self.bins), device=value.device)
        shares.scatter_(-1, below.unsqueeze(-1), (1.0 - share).unsqueeze(-1))
        return shares.scatter_(-1, above.unsqueeze(-1), share.unsqueeze(-1))

    def decode(self, shares: Tensor) -> Tensor:
        """Shares ``(..., bins)`` that sum to 1 -> their mean ``(...)``."""
        weighted = shares * self.bins
        half = weighted.shape[-1] // 2
        # the two ends meet pair by pair: what is symmetric cancels without rounding
        total = (weighted[..., :half] + weighted[..., -half:].flip(-1)).sum(-1)
        if weighted.shape[-1] % 2:
            total = total + weighted[..., half]
        return total if self.space == "symexp" else symexp(total)

    def cross_entropy(self, logits: Tensor, value: Tensor) -> Tensor:
        """- sum_i share_i(value) ln softmax_i(logits): ``(..., bins), (...) -> (...)``."""
        below, above, share = self.neighbours(value)
        picked = logits.gather(-1, torch.stack([below, above], -1))
        mean = (1.0 - share) * picked[..., 0] + share * picked[..., 1]
        return torch.logsumexp(logits, -1) - mean
