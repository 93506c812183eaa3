"""What planners over sequences of decisions have in common: imagining them, judging them, remembering the plan."""

from __future__ import annotations

import torch
from torch import Tensor

from smbrl.interfaces import Planner, PlanningModel
from smbrl.nn.schedules import linear

WORST = -1e9
"""What a sequence is worth whose imagination exploded: it is the worst plan, not the end of the run."""


class SequencePlanner(Planner):
    """Base of planners that look ``horizon`` decisions ahead.

    A sequence of h decisions is worth sum_t discount^t R(h_t, z_t) + discount^h V(h_h), V the model's value.
    Memory, per environment: the horizon of the previous plan (0: there is none), the plan, and whatever else a
    planner stores behind it.

    Args:
        horizon: decisions looked ahead at the end of its schedule.
        first_horizon, horizon_steps: it grows from ``first_horizon`` over this many env steps.
        discount: per decision.
        limit: decisions are clipped to +-limit.
    """

    def __init__(self, horizon: int, first_horizon: int, horizon_steps: int, discount: float, limit: float) -> None:
        self.horizon, self.first_horizon, self.horizon_steps = horizon, first_horizon, horizon_steps
        self.discount, self.limit = discount, limit

    def initial_memory(self, envs: int, decision: int, device: torch.device) -> Tensor:
        """See the contract; zeros say that there is no previous plan."""
        return torch.zeros(envs, 1 + self.horizon * decision, device=device)

    def horizon_at(self, step: int) -> int:
        """Decisions looked ahead at this env step."""
        # the epsilon keeps a schedule that has ended from being rounded down
        return int(linear(step, self.first_horizon, self.horizon, self.horizon_steps) + 1e-9)

    def remembered(self, memory: Tensor, plan: Tensor) -> Tensor:
        """Memory of the same shape that holds ``plan (E, h, Z)`` and nothing behind it."""
        memory = torch.zeros_like(memory)
        memory[:, 0] = plan.shape[1]
        memory[:, 1 : 1 + plan[0].numel()] = plan.flatten(1)
        return memory

    def shifted(self, memory: Tensor, fresh: Tensor) -> Tensor:
        """The previous plan without its first decision, its last from ``fresh (E, h, Z)``; all of it fresh, moved by
        one alike, where there is no previous plan of h decisions."""
        horizon = fresh.shape[1]
        previous = memory[:, 1 : 1 + fresh[0].numel()].view_as(fresh)
        same = (memory[:, 0] == horizon).view(-1, 1, 1)
        return torch.cat([torch.where(same, previous[:, 1:], fresh[:, :-1]), fresh[:, -1:]], 1)

    def sequences(
        self, model: PlanningModel, state: Tensor, count: int, horizon: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The policy's own sequences ``(E, count, h, Z)`` and what they are worth ``(E, count)``, imagined once."""
        states = state.unsqueeze(1).expand(-1, count, -1)
        value = torch.zeros(states.shape[:2], device=state.device)
        decisions = []
        for t in range(horizon):
            decisions.append(model.propose(states, generator))
            states, reward = model.predict(states, decisions[-1])
            value = value + self.discount**t * reward
        value = value + self.discount**horizon * model.value(states, generator)
        return torch.stack(decisions, 2).clamp_(-self.limit, self.limit), value

    def evaluate(self, model: PlanningModel, state: Tensor, decisions: Tensor, generator: torch.Generator) -> Tensor:
        """Imagined return ``(E, S)`` of sequences ``(E, S, h, Z)`` from states ``(E, ...)``."""
        states, value = self.imagine(model, state, decisions)
        return value + self.discount ** decisions.shape[2] * model.value(states, generator)

    def imagine(self, model: PlanningModel, state: Tensor, decisions: Tensor) -> tuple[Tensor, Tensor]:
        """Where sequences ``(E, S, h, Z)`` lead ``(E, S, ...)`` and their discounted rewards ``(E, S)``."""
        # broadcasts: the first step multiplies each environment's state once, not once per sequence
        states = state.unsqueeze(1)
        value = torch.zeros(decisions.shape[:2], device=state.device)
        for t, decision in enumerate(decisions.movedim(2, 0).contiguous()):
            states, reward = model.predict(states, decision)
            value = value + self.discount**t * reward
        return states, value


def finite(values: Tensor) -> Tensor:
    """Values with the worst there is in place of what is no number."""
    return torch.nan_to_num(values, nan=WORST, posinf=WORST, neginf=WORST)


def best(decisions: Tensor, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` sequences of ``(E, S, h, Z)`` with the highest values ``(E, S)``, best first, and their values."""
    top, index = finite(values).topk(min(count, values.shape[1]), dim=1)
    return decisions.gather(1, index[:, :, None, None].expand(-1, -1, *decisions.shape[2:])), top


def weighted(decisions: Tensor, weights: Tensor) -> Tensor:
    """sum_k w_k z_k of sequences ``(E, K, h, Z)`` and weights ``(E, K)`` -> ``(E, h, Z)``."""
    return (weights[:, :, None, None] * decisions).sum(1)
