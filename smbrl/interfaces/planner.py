"""Planner: choose a decision by searching through a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from smbrl.interfaces.distributions import TanhNormal
from smbrl.interfaces.part import Part


class PlanningModel(Protocol):
    """What a planner needs to know of an agent. Leading dims are any; no gradient flows."""

    decision: int
    """size Z of a decision"""

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        """``(..., S), (..., Z) -> next state (..., S), reward (...)``."""
        ...

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """``(..., S) -> (...)``: min over critics of Q(h, a), a a policy sample."""
        ...

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """A policy sample ``(..., S) -> (..., Z)``."""
        ...

    def policy(self, state: Tensor) -> TanhNormal:
        """The policy itself, ``(..., S) ->`` a distribution over ``(..., Z)``."""
        ...

    def uncertainty(self, state: Tensor) -> Tensor:
        """How unsure the dynamics are of a predicted state, ``(..., S) -> (...)``; see ``Dynamics.uncertainty``."""
        ...


class Planner(Part, ABC):
    """Batched over E environments; holds settings, no state.

    Constructor: nothing positional. What a planner carries from one decision to the next (the previous
    plan) is the memory tensor that ``plan`` takes and returns, so that it is checkpointed with the agent.
    """

    kind: ClassVar[str] = "planner"
    searches: ClassVar[bool] = True
    """False where the policy is played as it is."""

    @abstractmethod
    def initial_memory(self, envs: int, decision: int, device: torch.device) -> Tensor:
        """Memory at an episode's start, first dimension E; ``plan`` gets this row where an episode begins."""

    @abstractmethod
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
        """Choose decisions.

        Args:
            model: the agent's model, policy and value.
            state: ``(E, S)``.
            memory: ``(E, ...)`` from ``initial_memory`` or the previous call.
            step: env steps of the run so far, for schedules.
            explore: training (with exploration noise) or evaluation (without).
            generator: the only source of randomness.

        Returns:
            decision ``(E, Z)`` in [-1, 1], memory.
        """
