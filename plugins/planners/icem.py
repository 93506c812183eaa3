"""CEM with noise that is correlated over time and elites that are kept."""

from __future__ import annotations

import math

import torch
from smbrl_plugins.planners.sequences import SequencePlanner, best
from torch import Tensor

from smbrl.interfaces import PlanningModel


class ICEM(SequencePlanner):
    """The improved cross-entropy method: few samples, well used.

    Against plain CEM: noise whose power falls with frequency^-colour over a sequence's time, so that samples go
    somewhere; a share of the elites competes again in the next iteration and, moved on by one decision, at the next
    decision; fewer samples in later iterations; the mean itself competes in the last; the best sequence found is what
    is executed. (Pinneri et al., Sample-efficient Cross-Entropy Method for Real-time Planning, CoRL 2020.)

    Args:
        horizon, first_horizon, horizon_steps: decisions looked ahead and their schedule in env steps.
        samples: sequences drawn in the first iteration.
        decay: each later iteration draws this many times fewer, at least twice the elites.
        policy_samples: sequences of the policy that compete in the first iteration.
        elites, iterations: sequences that the Gaussian is fitted to, and how often.
        kept: share of the elites that is kept.
        colour: exponent of the noise: 0 white, 1 pink, 2 brown.
        momentum: share of the old mean and deviation kept in an iteration.
        std: deviation that every decision's search starts from.
        discount: per decision.
        limit: decisions are clipped to +-limit.
    """

    def __init__(
        self,
        *,
        horizon: int = 10,
        first_horizon: int = 10,
        horizon_steps: int = 0,
        samples: int = 64,
        decay: float = 1.25,
        policy_samples: int = 0,
        elites: int = 10,
        iterations: int = 3,
        kept: float = 0.3,
        colour: float = 2.0,
        momentum: float = 0.1,
        std: float = 0.5,
        discount: float = 0.99,
        limit: float = 0.999,
    ) -> None:
        super().__init__(horizon, first_horizon, horizon_steps, discount, limit)
        self.samples, self.decay, self.policy_samples = samples, decay, policy_samples
        self.elites, self.iterations = elites, iterations
        self.kept = math.ceil(kept * elites)
        self.colour, self.momentum, self.std = colour, momentum, std

    def initial_memory(self, envs: int, decision: int, device: torch.device) -> Tensor:
        """The base's, and behind it the kept elites."""
        return torch.zeros(envs, 1 + (1 + self.kept) * self.horizon * decision, device=device)

    @torch.no_grad()
    def plan(
        self,
        model: PlanningModel,
        state: Tensor,
        memory: Tensor,
        *,
        step: int,
        explore: bool,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """See the contract."""
        horizon = self.horizon_at(step)
        mean = self.moved_mean(memory, horizon, model.decision)
        std = torch.full_like(mean, self.std)
        others = [self.moved_elites(memory, mean, std, generator)]
        if self.policy_samples:
            others.append(self.sequences(model, state, self.policy_samples, horizon, generator)[0])
        elites = others[0]
        for iteration in range(self.iterations):
            count = max(int(self.samples / self.decay**iteration), 2 * self.elites)
            others += [self.drawn(mean, std, count, generator)]
            if iteration == self.iterations - 1:
                others.append(mean.unsqueeze(1))
            candidates = torch.cat(others, 1)
            elites, _ = best(candidates, self.evaluate(model, state, candidates, generator), self.elites)
            mean = self.momentum * mean + (1.0 - self.momentum) * elites.mean(1)
            std = self.momentum * std + (1.0 - self.momentum) * elites.std(1, correction=0)
            others = [elites[:, : self.kept]]
        memory = self.remembered(memory, mean)
        behind = 1 + mean[0].numel()
        memory[:, behind : behind + others[0][0].numel()] = others[0].flatten(1)
        return elites[:, 0, 0], memory

    def drawn(self, mean: Tensor, std: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """``count`` sequences around the mean ``(E, h, Z)``, ``(E, count, h, Z)``."""
        envs, horizon, decision = mean.shape
        noise = coloured((envs, count, decision), horizon, self.colour, generator, mean.device).transpose(-1, -2)
        return (mean.unsqueeze(1) + std.unsqueeze(1) * noise).clamp_(-self.limit, self.limit)

    def moved_mean(self, memory: Tensor, horizon: int, decision: int) -> Tensor:
        """The previous mean without its first decision, its last repeated ``(E, h, Z)``; zeros without one."""
        fresh = torch.zeros(len(memory), horizon, decision, device=memory.device)
        last = memory[:, 1 : 1 + fresh[0].numel()].view_as(fresh)[:, -1:]
        fresh[:, -1:] = torch.where((memory[:, 0] == horizon).view(-1, 1, 1), last, 0.0)
        return self.shifted(memory, fresh)

    def moved_elites(self, memory: Tensor, mean: Tensor, std: Tensor, generator: torch.Generator) -> Tensor:
        """The kept elites moved on by one decision, their last drawn anew ``(E, kept, h, Z)``; all of them drawn anew
        where there is no previous plan of as many decisions."""
        fresh = self.drawn(mean, std, self.kept, generator)
        behind = 1 + mean[0].numel()
        kept = memory[:, behind : behind + fresh[0].numel()].view_as(fresh)
        same = (memory[:, 0] == mean.shape[1]).view(-1, 1, 1, 1)
        return torch.where(same, torch.cat([kept[:, :, 1:], fresh[:, :, -1:]], 2), fresh)


def coloured(
    lead: tuple[int, ...], length: int, exponent: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Gaussian noise ``(*lead, length)`` of unit variance whose power falls with frequency^-exponent.

    Drawn as Fourier coefficients (Timmer and Koenig, On generating power law noise, 1995); the lowest frequency, of
    which a short sequence sees no full period, has the power of 1 / length.
    """
    frequency = torch.fft.rfftfreq(length, device=device).clamp(min=1.0 / length)
    scale = frequency ** (-0.5 * exponent)
    parts = torch.randn(2, *lead, len(scale), generator=generator, device=device)
    alone = torch.zeros(len(scale), dtype=torch.bool, device=device)  # coefficients that have no imaginary part
    alone[0] = True
    if length % 2 == 0:
        alone[-1] = True
    real = torch.where(alone, math.sqrt(2.0), 1.0) * parts[0]
    imaginary = torch.where(alone, 0.0, parts[1])
    deviation = (torch.where(alone, 2.0, 4.0) * scale.square()).sum().sqrt() / length
    noise: Tensor = torch.fft.irfft(torch.complex(real * scale, imaginary * scale), n=length)
    return noise.div_(deviation)
