"""TD-MPC2's encoder."""

from __future__ import annotations

import torch
from smbrl_plugins.encoders.fourier import fourier_features
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Encoder, TaskSpec
from smbrl.nn.normed import NormedMLP
from smbrl.nn.simnorm import SimNorm


class SimNormEncoder(Encoder):
    """Linear - LayerNorm - Mish, then Linear - LayerNorm - SimNorm: latents made of simplices.

    (Hansen, Su, Wang: TD-MPC2, 2024.)

    Args:
        spec: the task's shapes and normalisation.
        latent: size of the latent.
        hidden: width of the hidden layer.
        group: of ``SimNorm``; divides ``latent``.
        octaves: of Fourier features of the position, as in ``FourierEncoder``; 0 for none (the paper).
        normalise: apply the task's normalisation.

    Raises:
        SmbrlError: ``group`` does not divide ``latent``.
    """

    def __init__(
        self,
        spec: TaskSpec,
        latent: int,
        *,
        hidden: int = 256,
        group: int = 8,
        octaves: int = 0,
        normalise: bool = True,
    ) -> None:
        super().__init__(spec, latent, normalise=normalise)
        check_groups("SimNormEncoder", latent, group)
        self.octaves = octaves
        size = spec.observation + 2 * octaves * len(spec.position)
        self.mlp = NormedMLP(size, [hidden], latent, norm_last=True)
        self.norm = SimNorm(group)
        self.register_buffer("position", torch.tensor(spec.position, dtype=torch.long), persistent=False)
        self.position: Tensor

    def forward(self, obs: Tensor) -> Tensor:
        """See the contract."""
        return self.norm(self.mlp(fourier_features(self.normalise(obs), self.position, self.octaves)))  # type: ignore[no-any-return]


def check_groups(name: str, latent: int, group: int) -> None:
    """Refuse a latent that cannot be cut into groups."""
    if latent % group:
        raise SmbrlError(f"{name}.group is {group}, which does not divide the latent of {latent}; bind one that does")
