"""Heads that predict numbers and know their own loss: scalars (rewards, values) and observations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from smbrl.nn.mlp import MLP
from smbrl.nn.twohot import Space, TwoHot

Regression = Literal["normal", "two_hot"]


class ScalarHead(nn.Module, ABC):
    """A scalar, and how wrong it is, both from the raw outputs of a network."""

    mlp: MLP

    @abstractmethod
    def decode(self, raw: Tensor) -> Tensor:
        """``(..., outputs)`` -> the prediction ``(...)``."""

    @abstractmethod
    def error(self, raw: Tensor, target: Tensor) -> Tensor:
        """``(..., outputs), (...)`` -> what to minimise ``(...)``."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """``(..., input)`` each -> the prediction ``(...)``."""
        return self.decode(self.mlp(*inputs))

    def nll(self, *inputs: Tensor, target: Tensor) -> Tensor:
        """What to minimise, of the prediction for these inputs, ``(...)``."""
        return self.error(self.mlp(*inputs), target)

    def fork(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction ``(...)``, whose gradient reaches the inputs only, and raw outputs ``(..., outputs)``, whose
        gradient reaches the parameters only."""
        through, own = self.mlp.fork(*inputs)
        return self.decode(through), own


class NormalHead(ScalarHead):
    """A scalar with unit variance: its negative log density without the constant is half the squared error."""

    def __init__(self, inputs: int | Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.mlp = MLP(inputs, hidden, 1, exact=True)

    def decode(self, raw: Tensor) -> Tensor:
        """See above."""
        return raw.squeeze(-1)

    def error(self, raw: Tensor, target: Tensor) -> Tensor:
        """See above."""
        return 0.5 * (raw.squeeze(-1) - target).square()


class TwoHotHead(ScalarHead):
    """A scalar as a softmax over bins (see ``TwoHot``), learned by cross-entropy.

    Its last layer starts at zero, so the first prediction is 0.
    """

    def __init__(
        self,
        inputs: int | Sequence[int],
        hidden: Sequence[int],
        *,
        bins: int = 255,
        low: float = -20.0,
        high: float = 20.0,
        space: Space = "symexp",
    ) -> None:
        super().__init__()
        self.mlp = MLP(inputs, hidden, bins)
        self.two_hot = TwoHot(bins, low, high, space)
        nn.init.zeros_(self.mlp.linears[-1].weight)

    def decode(self, raw: Tensor) -> Tensor:
        """See above."""
        return self.two_hot.decode(raw.softmax(-1))

    def error(self, raw: Tensor, target: Tensor) -> Tensor:
        """See above."""
        return self.two_hot.cross_entropy(raw, target)


def scalar_head(
    kind: Regression, inputs: int | Sequence[int], hidden: Sequence[int], *, bins: int = 255, limit: float = 20.0
) -> ScalarHead:
    """A head of that kind; ``bins`` from -limit to limit in symlog space where it has bins."""
    if kind == "normal":
        return NormalHead(inputs, hidden)
    return TwoHotHead(inputs, hidden, bins=bins, low=-limit, high=limit)


class UnitDecoder(nn.Module):
    """Latent -> observations with unit variance: the loss is half the squared error, summed over dims."""

    def __init__(self, latent: int, hidden: Sequence[int], size: int) -> None:
        super().__init__()
        self.mlp = MLP(latent, hidden, size)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """``(..., latent)`` -> mean, std (1) ``(..., size)``, float32."""
        mean = self.mlp(latent)
        return mean, torch.ones_like(mean)

    def nll(self, latent: Tensor, target: Tensor) -> Tensor:
        """- log density of ``target (..., size)`` without its constant, ``(...)``."""
        mean: Tensor = self.mlp(latent)
        return 0.5 * (mean - target).square().sum(-1)
