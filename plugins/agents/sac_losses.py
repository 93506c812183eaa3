"""What a soft actor-critic learns: critics, policy, temperature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from smbrl_plugins.agents.latent_mpc_losses import Targets
from torch import Tensor, nn

from smbrl.interfaces import Encoder, TanhNormal, TaskSpec, Windows
from smbrl.nn.heads import ScalarEnsemble

Policy = Callable[[Tensor], TanhNormal]
"""Raw observations ``(..., O)`` -> distribution over decisions ``(..., Z)``."""
Cost = Callable[[TanhNormal, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Policy at observations, these observations, randomness -> a sample ``(..., Z)``, and D(s) ``(...)`` in nats: what
alpha weighs against the value."""


def surprise(policy: TanhNormal, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """D = log pi(a | s) of the sample: its mean is minus the entropy (maximum-entropy reinforcement learning)."""
    return policy.rsample_with_log_prob(generator)


@dataclass(frozen=True)
class Divergence:
    """D = KL(pi(. | s) || p(. | s)), closed form: stay close to a prior.

    Attributes:
        prior: p; takes no gradient.
        limit: of one state's KL, beyond which it gives no gradient.
    """

    prior: Policy
    limit: float = 100.0

    def __call__(self, policy: TanhNormal, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See ``Cost``."""
        with torch.no_grad():
            prior = self.prior(obs)
        return policy.rsample(generator), policy.kl(prior).clamp(max=self.limit)


class Critics(nn.Module):
    """Q_j(s, z), all at once.

    Args:
        spec: the task's shapes and normalisation.
        decision: size Z.
        count: of critics.
        encoder: of their own; None lets them see the normalised observation.
        latent: what the encoder returns.
        hidden, layers: width and number of hidden layers.
    """

    def __init__(
        self,
        spec: TaskSpec,
        decision: int,
        count: int,
        encoder: type[Encoder] | None,
        latent: int,
        hidden: int,
        layers: int,
    ) -> None:
        super().__init__()
        self.encoder = None if encoder is None else encoder(spec, latent)
        self.register_buffer("shift", torch.tensor(spec.shift), persistent=False)
        self.register_buffer("scale", torch.tensor(spec.scale), persistent=False)
        self.shift: Tensor
        self.scale: Tensor
        size = spec.observation if self.encoder is None else latent
        self.heads = ScalarEnsemble(count, (size, decision), hidden, layers)

    def forward(self, obs: Tensor, decision: Tensor) -> Tensor:
        """Raw observations ``(..., O)``, decisions ``(..., Z)`` -> ``(C, ...)``."""
        seen = obs * self.scale + self.shift if self.encoder is None else self.encoder(obs)
        return self.heads(seen, decision)  # type: ignore[no-any-return]

    def augmented(self, windows: Windows, generator: torch.Generator) -> Windows:
        """As the encoder wants them seen while learning."""
        if self.encoder is None:
            return windows
        return replace(windows, obs=self.encoder.augment(windows.obs, generator))


@torch.no_grad()
def goals(
    windows: Windows,
    *,
    policy: Policy,
    critics: Critics,
    cost: Cost,
    alpha: Tensor,
    targets: Targets,
    generator: torch.Generator,
) -> Tensor:
    """y = r + discount (1 - terminated) [ min_j Q^-_j(s', z') - alpha D(s') ], z' ~ pi(. | s'); ``(B, N)``."""
    following = windows.obs[:, 1:]
    decision, price = cost(policy(following), following, generator)
    return targets(windows, critics(following, decision).amin(0) - alpha * price)


def critic_loss(q: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """1/2 sum_j (Q_j - y)^2, mean over real decisions; ``q (C, B, N)``, the others ``(B, N)``."""
    return 0.5 * ((q - y).square().sum(0) * mask).sum() / mask.sum()


def actor_loss(q: Tensor, price: Tensor, alpha: Tensor, mask: Tensor) -> Tensor:
    """alpha D - min_j Q_j at a fresh sample, mean over real decisions; ``q (C, B, N)``, D ``(B, N)``."""
    return ((alpha * price - q.amin(0)) * mask).sum() / mask.sum()


def temperature_loss(log_alpha: Tensor, target: float, price: Tensor) -> Tensor:
    """alpha (target - D): alpha rises while D, detached, exceeds the target."""
    return log_alpha.exp() * (target - price)
