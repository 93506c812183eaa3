"""The heads of TD-MPC2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smbrl.interfaces import Heads, Scalars, TanhNormal
from smbrl.nn.normed import NormedEnsemble, NormedMLP
from smbrl.nn.twohot import TwoHot


class TDMPC2Heads(Heads):
    """Reward and values by classification, an ensemble of which two random critics speak, normed networks.

    Scalars are spread over bins in symlog space and learned by cross-entropy; a target takes the smaller of two
    random critics, policy and planner the mean of two; the policy's deviation is bounded smoothly; the MDP's end is
    predicted. (Hansen, Su, Wang: TD-MPC2: Scalable, Robust World Models for Continuous Control, 2024.)

    Args:
        latent, decision, hidden, layers, critics: see the contract.
        bins: of a scalar.
        low, high: outermost bins in symlog space.
        dropout: share of a critic's first layer that is dropped in training.
        sampled: critics that speak at a time.
        low_log_std, high_log_std: bounds of the policy's log deviation.
        ends: predict the MDP's end.
    """

    def __init__(
        self,
        latent: int,
        decision: int,
        hidden: int,
        layers: int,
        critics: int,
        *,
        bins: int = 101,
        low: float = -10.0,
        high: float = 10.0,
        dropout: float = 0.01,
        sampled: int = 2,
        low_log_std: float = -10.0,
        high_log_std: float = 2.0,
        ends: bool = True,
    ) -> None:
        super().__init__(latent, decision, hidden, layers, critics)
        self.bins, self.low, self.high = bins, low, high
        self.dropout, self.sampled, self.ends = dropout, sampled, ends
        self.log_std = (low_log_std, high_log_std)

    def policy(self) -> NormedPolicy:
        """See the contract."""
        return NormedPolicy(self.latent, [self.hidden] * self.layers, self.decision, *self.log_std)

    def scalars(self) -> TwoHotScalars:
        """See the contract."""
        network = NormedEnsemble(
            1 + self.critics,
            (self.latent, self.decision),
            self.hidden,
            self.layers,
            self.bins,
            dropout=self.dropout,
            undropped=1,  # the reward
        )
        return TwoHotScalars(network, TwoHot(self.bins, self.low, self.high, "symlog"))

    def termination(self) -> TerminationHead | None:
        """See the contract."""
        return TerminationHead(self.latent, [self.hidden] * self.layers) if self.ends else None

    def pessimistic(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """The smaller of some random critics."""
        return self.some(values, generator).amin(0)

    def expected(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """The mean of some random critics."""
        return self.some(values, generator).mean(0)

    def some(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """``sampled`` of the critics, the same for the whole batch: ``(C, ...) -> (sampled, ...)``."""
        return values[torch.randperm(len(values), generator=generator, device=values.device)[: self.sampled]]


class TwoHotScalars(Scalars):
    """Scalars as softmaxes over bins.

    Args:
        network: with one output a bin.
        two_hot: the bins.
    """

    def __init__(self, network: NormedEnsemble, two_hot: TwoHot) -> None:
        super().__init__()
        self.heads = network.heads
        self.network, self.two_hot = network, two_hot

    def raw(self, *inputs: Tensor, heads: slice = slice(None), generator: torch.Generator | None = None) -> Tensor:
        """Logits ``(M, ..., bins)``."""
        return self.network(*inputs, heads=heads, generator=generator)  # type: ignore[no-any-return]

    def decode(self, raw: Tensor) -> Tensor:
        """The scalar in the middle of the shares."""
        return self.two_hot.decode(raw.softmax(-1))

    def error(self, raw: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy with the shares of the target."""
        return self.two_hot.cross_entropy(raw, target.expand(raw.shape[:-1]))


class NormedPolicy(nn.Module):
    """A tanh-normal with log std = low + (high - low) / 2 (tanh(s) + 1)."""

    def __init__(self, latent: int, hidden: list[int], size: int, low: float, high: float) -> None:
        super().__init__()
        self.mlp = NormedMLP(latent, hidden, 2 * size)
        self.low, self.high = low, high

    def forward(self, latent: Tensor) -> TanhNormal:
        """``(..., latent)`` -> distribution over ``(..., size)``."""
        mean, spread = self.mlp(latent).chunk(2, -1)
        return TanhNormal(mean, (self.low + 0.5 * (self.high - self.low) * (torch.tanh(spread) + 1.0)).exp())


class TerminationHead(nn.Module):
    """The logit of the MDP having ended."""

    def __init__(self, latent: int, hidden: list[int]) -> None:
        super().__init__()
        self.mlp = NormedMLP(latent, hidden, 1)

    def forward(self, latent: Tensor) -> Tensor:
        """``(..., latent) -> (...)``."""
        return self.mlp(latent).squeeze(-1)  # type: ignore[no-any-return]
