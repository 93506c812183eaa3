"""What a recurrent state-space model believes about the part of a state that it cannot compute: distributions.

A belief is read off ``raw`` numbers of a network, drawn with noise that was drawn before (all steps of a sequence at
once), and compared by a closed-form KL divergence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Belief(Protocol):
    """A family of distributions over ``(..., size)``."""

    @property
    def size(self) -> int:
        """Of what is drawn."""
        ...

    @property
    def raw(self) -> int:
        """Numbers that describe one."""
        ...

    def noise(self, *lead: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """For as many draws as the leading dims have."""
        ...

    def draw(self, raw: Tensor, noise: Tensor | None) -> Tensor:
        """``(..., raw)`` -> a sample ``(..., size)`` with gradient; without noise the most likely value."""
        ...

    def kl(self, raw: Tensor, other: Tensor) -> Tensor:
        """KL(raw || other) in nats, ``(...)``."""
        ...


@dataclass(frozen=True)
class GaussianBelief:
    """A diagonal normal distribution; its deviation is softplus(.) + floor (Dreamer).

    Attributes:
        size: dims.
        floor: the smallest deviation.
    """

    size: int
    floor: float = 0.1

    @property
    def raw(self) -> int:
        """Means and deviations."""
        return 2 * self.size

    def moments(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``(..., size)``."""
        mean, spread = raw.chunk(2, -1)
        # PyTorch takes ten times as long for the softplus of a slice
        return mean, F.softplus(spread.contiguous()) + self.floor

    def noise(self, *lead: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Standard normal ``(*lead, size)``."""
        return torch.randn(*lead, self.size, generator=generator, device=device)

    def draw(self, raw: Tensor, noise: Tensor | None) -> Tensor:
        """mean + deviation * noise."""
        if noise is None:
            return raw[..., : self.size]
        mean, std = self.moments(raw)
        return torch.addcmul(mean, std, noise)

    def kl(self, raw: Tensor, other: Tensor) -> Tensor:
        """Summed over dims."""
        (mean, std), (other_mean, other_std) = self.moments(raw), self.moments(other)
        variance = (std / other_std).square()
        distance = ((mean - other_mean) / other_std).square()
        return 0.5 * (variance + distance - 1.0 - variance.log()).sum(-1)


@dataclass(frozen=True)
class CategoricalBelief:
    """Several independent categorical distributions, drawn as one-hot vectors with straight-through gradients.

    Probabilities are (1 - unimix) softmax(.) + unimix / classes, so that none is ever zero and no KL infinite
    (DreamerV3).

    Attributes:
        groups: how many distributions.
        classes: of each.
        unimix: share of the uniform distribution.
    """

    groups: int
    classes: int
    unimix: float = 0.01

    @property
    def size(self) -> int:
        """All one-hot vectors, one after the other."""
        return self.groups * self.classes

    @property
    def raw(self) -> int:
        """Logits."""
        return self.size

    def probabilities(self, raw: Tensor) -> Tensor:
        """``(..., groups, classes)``."""
        softmax = raw.view(*raw.shape[:-1], self.groups, self.classes).softmax(-1)
        return (1.0 - self.unimix) * softmax + self.unimix / self.classes

    def noise(self, *lead: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Gumbel ``(*lead, groups, classes)``: the largest of log probability + noise is a sample."""
        shape = (*lead, self.groups, self.classes)
        uniform = torch.rand(shape, generator=generator, device=device).clamp(1e-12, 1.0 - 1e-7)
        return -torch.log(-torch.log(uniform))

    def draw(self, raw: Tensor, noise: Tensor | None) -> Tensor:
        """One-hot vectors, with the gradient of the probabilities."""
        probabilities = self.probabilities(raw)
        score = probabilities.detach()
        if noise is not None:
            score = score.log() + noise
        one_hot = F.one_hot(score.argmax(-1), self.classes).to(probabilities.dtype)
        return (one_hot + probabilities - probabilities.detach()).flatten(-2)

    def kl(self, raw: Tensor, other: Tensor) -> Tensor:
        """Summed over groups."""
        mine, theirs = self.probabilities(raw), self.probabilities(other)
        return (mine * (mine.log() - theirs.log())).sum((-2, -1))
