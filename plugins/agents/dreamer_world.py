"""The world model of Dreamer: what it learns from replayed windows, and how a policy is imagined in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from smbrl_plugins.dynamics.rssm import RSSM, Followed
from torch import Tensor, nn

from smbrl.interfaces import Encoder, Metrics, TanhNormal, Windows
from smbrl.nn.heads import GaussianDecoder
from smbrl.nn.mlp import MLP
from smbrl.nn.regression import ScalarHead, UnitDecoder


class Seen(NamedTuple):
    """What the model makes of a batch of windows; without gradient.

    Attributes:
        states: after each observation ``(B, N + 1, S)``.
        alive: 1 where another decision can be made: the observation is real, and the MDP did not end there
            (running out of time is no end) ``(B, N + 1)``.
    """

    states: Tensor
    alive: Tensor


class Dream(NamedTuple):
    """An imagined rollout of H decisions, time first.

    Attributes:
        states: where it starts, and after each decision ``(H + 1, ..., S)``.
        decision: ``(H, ..., Z)``.
        policy: that they were drawn from.
    """

    states: Tensor
    decision: Tensor
    policy: TanhNormal


@dataclass(frozen=True)
class Balance:
    """The KL divergence of posterior q from prior p, whose two sides can learn at different rates.

    L = dynamics * max(free, KL(sg(q) || p)) + representation * max(free, KL(q || sg(p))). With both weights 1 its
    gradient is that of Dreamer's max(free, KL(q || p)); with different ones it is DreamerV3's balancing.

    Attributes:
        dynamics: weight of the prior's side.
        representation: weight of the posterior's side.
        free: nats below which there is nothing to gain.
        averaged: compare with ``free`` the mean over the batch (Dreamer) or each state's KL (DreamerV3).
    """

    dynamics: float = 1.0
    representation: float = 1.0
    free: float = 3.0
    averaged: bool = True

    def __call__(self, model: RSSM, seen: Followed, real: Tensor) -> tuple[Tensor, Tensor]:
        """``real (B, T)`` marks what counts -> the loss and the mean KL, scalars."""
        kl = model.belief.kl
        prior = self.mean(kl(seen.posterior.detach(), seen.prior), real)
        posterior = self.mean(kl(seen.posterior, seen.prior.detach()), real)
        loss = self.dynamics * prior + self.representation * posterior
        with torch.no_grad():
            plain = (kl(seen.posterior, seen.prior) * real).sum() / real.sum()
        return loss, plain

    def mean(self, kl: Tensor, real: Tensor) -> Tensor:
        """Over what is real, with free nats."""
        if self.averaged:
            return ((kl * real).sum() / real.sum()).clamp(min=self.free)
        return (kl.clamp(min=self.free) * real).sum() / real.sum()


class WorldModel(nn.Module):
    """Encoder, recurrent dynamics, and heads that read its states.

    A decision leads from one observation to the next, and the reward it brings belongs to the state it leads to.

    Args:
        encoder: maps raw observations to e.
        dynamics: over decisions.
        decoder: of normalised observations.
        reward: of the state that a decision leads to.
        goes_on: logit that the episode goes on after that state; None: it always does.
        balance: of the KL.
    """

    def __init__(
        self,
        encoder: Encoder,
        dynamics: RSSM,
        decoder: GaussianDecoder | UnitDecoder,
        reward: ScalarHead,
        goes_on: MLP | None,
        balance: Balance,
    ) -> None:
        super().__init__()
        self.encoder, self.dynamics, self.decoder = encoder, dynamics, decoder
        self.reward, self.goes_on = reward, goes_on
        self.balance = balance

    def loss(self, windows: Windows, generator: torch.Generator) -> tuple[Tensor, Seen, Metrics]:
        """-E[ln p(o|s) + ln p(r|s) + ln p(goes on|s)] + KL: scalar to minimise, the states, metrics.

        Every term is a mean over what is real; what lies past an episode's end is never counted.
        """
        real = F.pad(windows.mask, (1, 0), value=1.0)
        followed = self.dynamics.follow(self.encoder(windows.obs), windows.decision, generator)
        latent = self.dynamics.latent(followed.states)
        nll = self.decoder.nll(latent, self.encoder.normalise(windows.obs))
        reconstruction = (nll * real).sum() / real.sum()
        count = windows.mask.sum()
        reward = (self.reward.nll(latent[:, 1:], target=windows.reward) * windows.mask).sum() / count
        divergence, kl = self.balance(self.dynamics, followed, real)
        total = reconstruction + reward + divergence
        metrics = {"reconstruction": reconstruction, "reward_error": reward, "kl": kl}
        if self.goes_on is not None:
            logit = self.goes_on(latent[:, 1:]).squeeze(-1)
            error = F.binary_cross_entropy_with_logits(logit, 1.0 - windows.terminated, reduction="none")
            continuation = (error * windows.mask).sum() / count
            total = total + continuation
            metrics["continuation"] = continuation
        alive = F.pad(windows.mask * (1.0 - windows.terminated), (1, 0), value=1.0)
        metrics["world_loss"] = total
        return total, Seen(followed.states.detach(), alive), {n: v.detach() for n, v in metrics.items()}

    def imagine(
        self, policy: Callable[[Tensor], TanhNormal], start: Tensor, steps: int, generator: torch.Generator
    ) -> Dream:
        """Follow a policy for ``steps`` decisions from ``start (..., S)``.

        The policy reads states without gradient: a decision changes what comes after it, not how it was made.
        """
        states, decisions, means, deviations = [start], [], [], []
        for _ in range(steps):
            chosen = policy(self.dynamics.latent(states[-1]).detach())
            decisions.append(chosen.rsample(generator))
            states.append(self.dynamics.step(states[-1], decisions[-1], generator))
            means.append(chosen.mean)
            deviations.append(chosen.std)
        return Dream(
            torch.stack(states), torch.stack(decisions), TanhNormal(torch.stack(means), torch.stack(deviations))
        )

    def judge(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Of states ``(..., S)``: the reward of having come there, and the probability that the episode goes on."""
        latent = self.dynamics.latent(states)
        reward = self.reward(latent)
        if self.goes_on is None:
            return reward, torch.ones_like(reward)
        return reward, torch.sigmoid(self.goes_on(latent).squeeze(-1))
