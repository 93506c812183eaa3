"""What Dreamer's policy and value learn in imagination."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from smbrl_plugins.agents.dreamer_world import Dream
from torch import Tensor

from smbrl.interfaces import Metrics
from smbrl.nn.regression import ScalarHead


def lambda_returns(reward: Tensor, following: Tensor, discount: Tensor, lam: float) -> Tensor:
    """V_t = r_t + d_t ((1 - lambda) v_{t+1} + lambda V_{t+1}), the last one r + d v. Time first.

    Args:
        reward: r_t ``(H, ...)``.
        following: v_{t+1} ``(H, ...)``.
        discount: d_t, 0 where nothing comes after ``(H, ...)``.
        lam: 0 trusts the values, 1 the rewards.
    """
    value = following[-1]
    out = []
    for t in range(len(reward) - 1, -1, -1):
        value = reward[t] + discount[t] * ((1.0 - lam) * following[t] + lam * value)
        out.append(value)
    return torch.stack(out[::-1])


@dataclass(frozen=True)
class Outlook:
    """What a dream is worth.

    A state's return counts the reward of having come there, as in the paper's V_R; the state a dream starts from is
    real and the episode goes on there.

    Attributes:
        discount: per decision.
        lam: of the returns.
    """

    discount: float
    lam: float

    def __call__(self, reward: Tensor, goes_on: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All ``(H + 1, ...)`` -> returns ``(H, ...)``, and their weights: discounted probabilities of getting
        there, without gradient ``(H, ...)``."""
        goes_on = torch.cat([torch.ones_like(goes_on[:1]), goes_on[1:]])
        discount = self.discount * goes_on[:-1]
        returns = lambda_returns(reward[:-1], value[1:], discount, self.lam)
        reached = torch.cat([torch.ones_like(discount[:1]), discount[:-1]]).detach()
        return returns, torch.cumprod(reached, 0)


@dataclass(frozen=True)
class ActorLoss:
    """- E[(1 - reinforce) V / S + reinforce ln pi(a) sg((V - v) / S) + entropy H(pi)], weighted.

    Attributes:
        reinforce: share of the gradient that comes from the log probability of what was decided (DreamerV3: 1), not
            through the dynamics (Dreamer: 0).
        entropy: weight of the policy's entropy, that after tanh.
    """

    reinforce: float = 0.0
    entropy: float = 0.0

    def __call__(self, dream: Dream, returns: Tensor, value: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        """Returns, values and weights ``(H, ...)``, S a scalar -> scalar to minimise."""
        gain = self.entropy * dream.policy.squashed_entropy()
        if self.reinforce < 1.0:
            gain = gain + (1.0 - self.reinforce) * returns / scale
        if self.reinforce > 0.0:
            advantage = ((returns - value) / scale).detach()
            gain = gain + self.reinforce * dream.policy.log_prob(dream.decision.detach()) * advantage
        return -(weight * gain).mean()


def value_loss(head: ScalarHead, raw: Tensor, returns: Tensor, weight: Tensor) -> Tensor:
    """The head's own error of what it says, ``raw (H, ..., outputs)``, from ``returns (H, ...)``, weighted
    ``(H, ...)``; mean."""
    return (weight * head.error(raw, returns)).mean()


def summary(returns: Tensor, value: Tensor, dream: Dream, alive: Tensor) -> Metrics:
    """What to look at of dreams from starts of which ``alive (...)`` are real; detached scalars."""
    share = alive / alive.sum()
    means = {
        "imagined_return": (returns[0] * share).sum(),
        "imagined_value": (value[0] * share).sum(),
        "entropy": (dream.policy.squashed_entropy().mean(0) * share).sum(),
    }
    return {name: mean.detach() for name, mean in means.items()}
