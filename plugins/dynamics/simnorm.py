"""TD-MPC2's dynamics."""

from __future__ import annotations

import torch
from smbrl_plugins.encoders.simnorm import check_groups
from torch import Tensor

from smbrl.interfaces import Dynamics
from smbrl.nn.normed import NormedMLP
from smbrl.nn.simnorm import SimNorm


class SimNormDynamics(Dynamics):
    """The latent after a decision, made of simplices: hidden layers Linear - LayerNorm - Mish, then SimNorm.

    (Hansen, Su, Wang: TD-MPC2, 2024.)

    Args:
        latent: size of the latent.
        decision: size of a decision.
        hidden, layers: width and number of hidden layers.
        group: of ``SimNorm``; divides ``latent``.

    Raises:
        SmbrlError: it does not.
    """

    def __init__(self, latent: int, decision: int, *, hidden: int = 512, layers: int = 2, group: int = 8) -> None:
        super().__init__()
        check_groups("SimNormDynamics", latent, group)
        self.state = self.latent_size = latent
        self.mlp = NormedMLP((latent, decision), [hidden] * layers, latent, norm_last=True)
        self.norm = SimNorm(group)

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See the contract."""
        return self.norm(self.mlp(state, decision))  # type: ignore[no-any-return]
