"""DADS's skill dynamics: one env step ahead under a skill, as a density."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smbrl.interfaces import Dynamics


class SkillMixture(Dynamics):
    """q(s' | s, z): a mixture of Gaussians of unit variance over the normalised change of the state.

    The state is the normalised observation itself. Elements such as coordinates can be kept from the network and
    be predicted all the same, so that a skill does the same everywhere. Inputs and changes are normalised by
    statistics over batches while learning, by their running averages otherwise. (Sharma, Gu, Levine, Kumar, Hausman:
    Dynamics-Aware Unsupervised Discovery of Skills, ICLR 2020, section 4; what is normalised is their code's.)

    Args:
        latent: size S of the state.
        decision: size of a skill.
        experts: components of the mixture.
        hidden, layers: width and number of hidden layers (ReLU).
        unseen: elements of the state that are predicted but not read.
        momentum: of the running averages.
    """

    def __init__(
        self,
        latent: int,
        decision: int,
        *,
        experts: int = 4,
        hidden: int = 128,
        layers: int = 2,
        unseen: tuple[int, ...] = (),
        momentum: float = 0.01,
    ) -> None:
        super().__init__()
        self.state = self.latent_size = latent
        self.experts, self.unseen = experts, tuple(unseen)
        self.register_buffer(
            "seen", torch.tensor([i for i in range(latent) if i not in unseen], dtype=torch.int64), persistent=False
        )
        self.seen: Tensor
        count = latent - len(self.unseen)
        self.inputs, self.changes = _Norm(count, momentum), _Norm(latent, momentum)
        self.gain, self.shift = nn.Parameter(torch.ones(count)), nn.Parameter(torch.zeros(count))
        widths = [count + decision, *[hidden] * layers]
        trunk: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            trunk += [nn.Linear(before, after), nn.ReLU()]
        self.trunk = nn.Sequential(*trunk)
        self.head = nn.Linear(hidden, experts * (1 + latent))

    def mixture(self, state: Tensor, decision: Tensor, fit: bool = False) -> tuple[Tensor, Tensor]:
        """Log weights ``(..., K)`` and means ``(..., K, S)`` of the normalised change."""
        read = self.inputs(state[..., self.seen], fit) * self.gain + self.shift
        out = self.head(self.trunk(torch.cat([read, decision], -1)))
        logits, means = torch.split(out, [self.experts, self.experts * self.state], -1)
        return F.log_softmax(logits, -1), means.view(*means.shape[:-1], self.experts, self.state)

    def log_prob(self, state: Tensor, decision: Tensor, following: Tensor, *, fit: bool = False) -> Tensor:
        """log q(s' | s, z) in nats, of the normalised change: ``(..., S), (..., Z), (..., S) -> (...)``.

        With ``fit`` the statistics are those of this batch, and the running ones move towards them.
        """
        weights, means = self.mixture(state, decision, fit)
        change = self.changes(following - state, fit).unsqueeze(-2)
        normal = -0.5 * ((change - means) ** 2 + math.log(2.0 * math.pi)).sum(-1)
        return torch.logsumexp(weights + normal, -1)

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The expected next state; with a generator a sampled one."""
        weights, means = self.mixture(state, decision)
        if generator is None:
            change = (weights.exp().unsqueeze(-1) * means).sum(-2)
        else:
            flat = weights.exp().reshape(-1, self.experts)
            drawn = torch.multinomial(flat, 1, generator=generator).view(*weights.shape[:-1], 1, 1)
            change = means.gather(-2, drawn.expand(*weights.shape[:-1], 1, self.state)).squeeze(-2)
            change = change + torch.randn(change.shape, generator=generator, device=change.device)
        return state + self.changes.undo(change)


class _Norm(nn.Module):
    """Mean 0 and variance 1, by statistics of the batch or their running averages."""

    def __init__(self, size: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.mean: Tensor
        self.variance: Tensor

    def forward(self, x: Tensor, fit: bool) -> Tensor:
        if not fit or not len(self.mean):
            return (x - self.mean) / (self.variance + 1e-3).sqrt()
        rows = x.flatten(0, -2)
        mean, variance = rows.mean(0), rows.var(0, unbiased=False)
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.variance.lerp_(variance, self.momentum)
        return (x - mean) / (variance + 1e-3).sqrt()

    def undo(self, x: Tensor) -> Tensor:
        return x * (self.variance + 1e-3).sqrt() + self.mean
