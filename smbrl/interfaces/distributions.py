"""The distribution over skills and actions."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
_QUADRATURE = torch.from_numpy(_NODES), torch.from_numpy(_WEIGHTS / _WEIGHTS.sum())
"""Where a standard normal is looked at for an expectation, and the weights there."""


class TanhNormal:
    """tanh(Normal(mean, std)), event dimension last: densities are summed over it.

    tanh is a bijection, so the KL divergence between two tanh-normals equals that of the underlying
    normals: closed form, no samples.

    Attributes:
        mean, std: of the normal before tanh, ``(..., Z)``.
    """

    __slots__ = ("mean", "std")

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.mean = mean
        self.std = std

    @property
    def mode(self) -> Tensor:
        """tanh(mean), ``(..., Z)`` (the median; what a deterministic policy plays)."""
        return torch.tanh(self.mean)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        """A reparameterised sample ``(..., Z)``."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return torch.tanh(self.mean + self.std * noise)

    def rsample_with_log_prob(self, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """A reparameterised sample ``(..., Z)`` and its log density ``(...)``, exact where ``log_prob`` must clamp."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        raw = self.mean + self.std * noise
        # log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x))
        squash = 2.0 * (0.6931471805599453 - raw - F.softplus(-2.0 * raw))
        normal = -0.5 * noise**2 - self.std.log() - 0.9189385332046727
        return torch.tanh(raw), (normal - squash).sum(-1)

    def kl(self, other: TanhNormal) -> Tensor:
        """KL(self || other) in nats, ``(...)``."""
        variance = (self.std / other.std) ** 2
        distance = ((self.mean - other.mean) / other.std) ** 2
        return 0.5 * (variance + distance - 1.0 - variance.log()).sum(-1)

    def kl_unit(self) -> Tensor:
        """KL(self || tanh N(0, I)) in nats, ``(...)``."""
        return 0.5 * (self.std**2 + self.mean**2 - 1.0 - 2.0 * self.std.log()).sum(-1)

    def log_prob(self, value: Tensor, limit: float = 1.0 - 1e-6) -> Tensor:
        """log density of ``value (..., Z)`` in (-1, 1); values closer to +-1 than ``limit`` are clamped."""
        value = value.clamp(-limit, limit)
        raw = torch.atanh(value)
        normal = -0.5 * ((raw - self.mean) / self.std) ** 2 - self.std.log() - 0.9189385332046727
        return (normal - torch.log1p(-(value**2))).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy of the normal before tanh, nats, ``(...)``."""
        return (self.std.log() + 1.4189385332046727).sum(-1)

    def squashed_entropy(self) -> Tensor:
        """Entropy after tanh, nats, ``(...)``; at most log 2 per dim. What to reward so that a policy stays undecided:
        the entropy before tanh grows without bound at both ends of the box.

        H = H(normal) + E[log(1 - tanh(x)^2)], the expectation by Gauss-Hermite quadrature.
        """
        nodes, weights = (part.to(self.mean) for part in _QUADRATURE)
        raw = self.mean.unsqueeze(-1) + self.std.unsqueeze(-1) * nodes
        squash = (2.0 * (0.6931471805599453 - raw - F.softplus(-2.0 * raw)) * weights).sum(-1)
        return self.entropy() + squash.sum(-1)

    def detach(self) -> TanhNormal:
        """The same without gradient."""
        return TanhNormal(self.mean.detach(), self.std.detach())

    def __getitem__(self, index: object) -> TanhNormal:
        return TanhNormal(self.mean[index], self.std[index])  # type: ignore[index]
