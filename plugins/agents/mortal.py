"""A latent model seen by a planner that knows when an episode is over."""

from __future__ import annotations

import torch
from smbrl_plugins.agents.latent_model import LatentModel
from torch import Tensor

from smbrl.interfaces import TanhNormal


class Mortal:
    """A ``PlanningModel`` that pays nothing after a state at which the MDP has probably ended.

    Its state is the model's with one number behind it: 1 while alive, 0 after. (TD-MPC2's episodic option.)

    Args:
        model: with a termination head.

    Attributes:
        decision: size Z of a decision.
    """

    def __init__(self, model: LatentModel) -> None:
        self.model = model
        self.decision = model.decision

    @staticmethod
    def begin(state: Tensor) -> Tensor:
        """The model's ``(..., S)`` -> alive ``(..., S + 1)``."""
        return torch.cat([state, torch.ones_like(state[..., :1])], -1)

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        """See ``PlanningModel``; the decision that ends the MDP is still paid."""
        state, alive = state[..., :-1], state[..., -1]
        following, reward = self.model.predict(state, decision)
        assert self.model.termination is not None
        logit: Tensor = self.model.termination(self.model.dynamics.latent(following))
        after = alive * (logit <= 0.0)
        return torch.cat([following, after.unsqueeze(-1)], -1), alive * reward

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """See ``PlanningModel``."""
        return state[..., -1] * self.model.value(state[..., :-1], generator)

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """See ``PlanningModel``."""
        return self.model.propose(state[..., :-1], generator)

    def uncertainty(self, state: Tensor) -> Tensor:
        """See ``PlanningModel``; nothing is uncertain after the end."""
        return state[..., -1] * self.model.uncertainty(state[..., :-1])

    def policy(self, state: Tensor) -> TanhNormal:
        """See ``PlanningModel``."""
        return self.model.policy(state[..., :-1])
