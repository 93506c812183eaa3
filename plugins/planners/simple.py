"""Planners that hardly search: what the others are to be compared with."""

from __future__ import annotations

import torch
from smbrl_plugins.planners.sequences import SequencePlanner, best
from torch import Tensor

from smbrl.interfaces import Planner, PlanningModel


class PolicyOnly(Planner):
    """No search: a sample of the policy in training, its mode in evaluation."""

    searches = False

    def initial_memory(self, envs: int, decision: int, device: torch.device) -> Tensor:
        """Nothing to remember."""
        return torch.zeros(envs, 0, device=device)

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
        return (model.propose(state, generator) if explore else model.policy(state).mode), memory


class RandomShooting(SequencePlanner):
    """The best of sequences drawn uniformly from the box of decisions; nothing is refined or remembered.

    Args:
        horizon, first_horizon, horizon_steps: decisions looked ahead and their schedule in env steps.
        samples: sequences.
        discount: per decision.
        limit: decisions lie in +-limit.
    """

    def __init__(
        self,
        *,
        horizon: int = 10,
        first_horizon: int = 10,
        horizon_steps: int = 0,
        samples: int = 1000,
        discount: float = 0.99,
        limit: float = 0.999,
    ) -> None:
        super().__init__(horizon, first_horizon, horizon_steps, discount, limit)
        self.samples = samples

    def initial_memory(self, envs: int, decision: int, device: torch.device) -> Tensor:
        """Nothing to remember."""
        return torch.zeros(envs, 0, device=device)

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
        shape = (len(state), self.samples, self.horizon_at(step), model.decision)
        drawn = self.limit * (2.0 * torch.rand(shape, generator=generator, device=state.device) - 1.0)
        chosen, _ = best(drawn, self.evaluate(model, state, drawn, generator), 1)
        return chosen[:, 0, 0], memory
