"""Skill dynamics that go one env step at a time: the paper's ablation."""

from __future__ import annotations

import torch
from torch import Tensor

from smbrl.interfaces import Dynamics
from smbrl.nn.mlp import MLP


class SingleStepDynamics(Dynamics):
    """A flat model at the level of decisions: H predictions of one env step, the skill held, make one decision.

    What the frozen skill policy does in a state is part of what is predicted: the model sees the skill, as the data
    it is pre-trained on were produced under it, and encodes every env step there. Rewards are predicted for every
    env step and summed. (SkiMo's ablation "w/ single-step dynamics": ten times the predictions, and their errors.)

    Args:
        latent: size of the latent.
        decision: size of a skill.
        steps: H, env steps of a skill.
        hidden, layers: width and number of hidden layers.
    """

    def __init__(self, latent: int, decision: int, *, steps: int = 10, hidden: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.state = self.latent_size = latent
        self.steps = steps
        self.mlp = MLP((latent, decision), [hidden] * layers, latent)

    def advance(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One env step ahead."""
        return self.mlp(state, decision)  # type: ignore[no-any-return]

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See the contract."""
        for _ in range(self.steps):
            state = self.advance(state, decision)
        return state
