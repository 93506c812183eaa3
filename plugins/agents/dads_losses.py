"""What DADS learns from: how well a skill can be told from what it does, and where the task paid."""

from __future__ import annotations

import math

import torch
from smbrl_plugins.dynamics.skill_mixture import SkillMixture
from torch import Tensor, nn

from smbrl.interfaces import TanhNormal
from smbrl.nn.mlp import MLP

ROWS = 80_000
"""States times skills that are compared at a time; more would need too much memory."""


def uniform_skills(shape: tuple[int, ...], device: torch.device, generator: torch.Generator) -> Tensor:
    """z ~ p(z), uniform in [-1, 1]."""
    return 2.0 * torch.rand(shape, generator=generator, device=device) - 1.0


@torch.no_grad()
def intrinsic_reward(
    dynamics: SkillMixture, state: Tensor, skill: Tensor, following: Tensor, others: int, generator: torch.Generator
) -> Tensor:
    """log(L + 1) - log(1 + sum_i q(s' | s, z_i) / q(s' | s, z)), z_i ~ p(z), i = 1 .. L; nats, at most log(L + 1).

    It is zero where the skill makes no difference. The skill itself counts among those it is compared with, as in
    the authors' code; the paper's equation leaves it out.

    Args:
        dynamics: q.
        state, skill, following: ``(B, S), (B, Z), (B, S)``.
        others: L.
        generator: of the z_i.
    """
    own = dynamics.log_prob(state, skill, following)
    found = []
    for rows in torch.split(torch.arange(len(state), device=state.device), max(1, ROWS // others)):
        skills = uniform_skills((len(rows), others, skill.shape[-1]), state.device, generator)
        before, after = state[rows].unsqueeze(1), following[rows].unsqueeze(1)
        before, after = before.expand(-1, others, -1), after.expand(-1, others, -1)
        ratio = (dynamics.log_prob(before, skills, after) - own[rows].unsqueeze(1)).clamp(-50.0, 50.0)
        found.append(math.log(others + 1.0) - torch.log1p(ratio.exp().sum(1)))
    return torch.cat(found)


class RewardModel(nn.Module):
    """R(s, s'), learned from what was paid: a planner over skills has nothing else to go by.

    Half of every batch are transitions that paid, once there are any; they are kept apart because they are rare.

    Args:
        state: size S of the normalised observation.
        hidden: width of the two hidden layers.
        kept: how many transitions that paid are kept, the latest.
    """

    def __init__(self, state: int, hidden: int, kept: int) -> None:
        super().__init__()
        self.mlp = MLP(2 * state, [hidden] * 2, 1)
        self.kept = kept
        # one row more than are kept: what did not pay is written there
        self.register_buffer("paid", torch.zeros(kept + 1, 2 * state + 1))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("largest", torch.zeros(()))
        self.paid: Tensor
        self.count: Tensor
        self.largest: Tensor

    def forward(self, state: Tensor, following: Tensor) -> Tensor:
        """``(..., S), (..., S) -> (...)``, in the task's units."""
        return self.scaled(state, following) * self.largest

    def scaled(self, state: Tensor, following: Tensor) -> Tensor:
        """In units of the largest reward ever seen."""
        out: Tensor = self.mlp(torch.cat([following, following - state], -1))
        return out.squeeze(-1)

    @torch.no_grad()
    def keep(self, state: Tensor, following: Tensor, reward: Tensor) -> None:
        """Remember those of ``(B, S), (B, S), (B)`` that paid."""
        paid = reward != 0
        place = (self.count + paid.long().cumsum(0) - 1) % self.kept
        place = torch.where(paid, place, torch.full_like(place, self.kept))
        self.paid[place] = torch.cat([state, following, reward.unsqueeze(-1)], -1)
        self.count += paid.sum()
        self.largest.copy_(torch.maximum(self.largest, reward.abs().max()))

    def loss(self, state: Tensor, following: Tensor, reward: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error in units of the largest reward; half of the weight on what paid, where anything did."""
        scale = self.largest.clamp(min=1e-8)
        usual = (self.scaled(state, following) - reward / scale).square().mean()
        share = torch.rand(len(state), generator=generator, device=state.device)
        held = self.count.clamp(max=self.kept)
        size = state.shape[-1]
        before, after, paid = torch.split(self.paid[(share * held).long()], [size, size, 1], -1)
        rare = (self.scaled(before, after) - paid.squeeze(-1) / scale).square().mean()
        return torch.where(held > 0, 0.5 * (usual + rare), usual)


class SkillImagination:
    """What a planner over skills searches through: states as the skill dynamics expect them, learned rewards.

    Attributes:
        decision: size of a skill.
    """

    def __init__(self, dynamics: SkillMixture, reward: RewardModel, decision: int) -> None:
        self.dynamics, self.reward, self.decision = dynamics, reward, decision

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        """One env step under a skill: next state, reward."""
        lead = torch.broadcast_shapes(state.shape[:-1], decision.shape[:-1])  # type: ignore[no-untyped-call]
        state = state.expand(*lead, state.shape[-1])
        following = self.dynamics.step(state, decision.expand(*lead, decision.shape[-1]))
        return following, self.reward(state, following)

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """Nothing is known of what comes after the plan."""
        return torch.zeros(state.shape[:-1], device=state.device)

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """A skill from p(z)."""
        return uniform_skills((*state.shape[:-1], self.decision), state.device, generator)

    def uncertainty(self, state: Tensor) -> Tensor:
        """What the dynamics say."""
        return self.dynamics.uncertainty(state)

    def policy(self, state: Tensor) -> TanhNormal:
        """Roughly p(z), as the distribution that planners know."""
        zeros = torch.zeros(*state.shape[:-1], self.decision, device=state.device)
        return TanhNormal(zeros, torch.ones_like(zeros))
