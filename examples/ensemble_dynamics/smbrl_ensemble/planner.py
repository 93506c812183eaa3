"""Planning that avoids what the model is not sure of."""

from __future__ import annotations

import torch
from smbrl_plugins.planners.cem import CEM
from torch import Tensor

from smbrl.interfaces import Planner, PlanningModel, TanhNormal


class Pessimistic(Planner):
    """Any planner, on a model that pays less for a decision the less it knows where that leads.

    R'(h, z) = R(h, z) - weight * max(0, u(h') - free), with u the dynamics' uncertainty about the state that follows:
    for an ensemble, how far its members disagree. A search finds the errors of a model wherever they look like
    reward; the penalty takes them away. (MOPO, Yu et al. 2020, in the planner instead of the learner; measured
    with latents, not observations.) Dynamics that know no uncertainty leave the plan as it is.

    Args:
        planner: what searches; its own bindings reach it.
        weight: reward that a unit of uncertainty costs; 0 switches pessimism off.
        free: uncertainty that costs nothing.
    """

    def __init__(self, *, planner: type[Planner] = CEM, weight: float = 1.0, free: float = 0.0) -> None:
        self.planner = planner()
        self.searches = self.planner.searches
        self.weight, self.free = weight, free

    def initial_memory(self, envs: int, decision: int, device: torch.device) -> Tensor:
        """The inner planner's."""
        return self.planner.initial_memory(envs, decision, device)

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
        """The inner planner's, on the wary model."""
        wary = _Wary(model, self.weight, self.free)
        return self.planner.plan(wary, state, memory, step=step, explore=explore, generator=generator)


class _Wary:
    """A ``PlanningModel`` whose rewards are less where it is unsure."""

    def __init__(self, model: PlanningModel, weight: float, free: float) -> None:
        self.model, self.weight, self.free = model, weight, free
        self.decision = model.decision

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        following, reward = self.model.predict(state, decision)
        return following, reward - self.weight * (self.model.uncertainty(following) - self.free).clamp(min=0.0)

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        return self.model.value(state, generator)

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        return self.model.propose(state, generator)

    def policy(self, state: Tensor) -> TanhNormal:
        return self.model.policy(state)

    def uncertainty(self, state: Tensor) -> Tensor:
        return self.model.uncertainty(state)
