"""SkiMo's skill dynamics: from one latent straight to the one a skill later."""

from __future__ import annotations

import torch
from torch import Tensor

from smbrl.interfaces import Dynamics
from smbrl.nn.mlp import MLP


class SkillDynamics(Dynamics):
    """D(h, z) of the paper: an MLP that predicts the latent after the whole skill, not its change.

    Args:
        latent: size of the latent.
        decision: size of a skill (of an env action for a flat model: nothing here is about skills).
        hidden: width of the hidden layers.
        layers: number of hidden layers.
    """

    def __init__(self, latent: int, decision: int, *, hidden: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.state = self.latent_size = latent
        self.mlp = MLP((latent, decision), [hidden] * layers, latent)

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See the contract."""
        return self.mlp(state, decision)  # type: ignore[no-any-return]
