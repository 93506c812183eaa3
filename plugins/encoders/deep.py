"""An encoder with as many layers as wanted."""

from __future__ import annotations

from torch import Tensor

from smbrl.interfaces import Encoder, TaskSpec
from smbrl.nn.mlp import MLP
from smbrl.nn.twohot import symexp, symlog


class DeepEncoder(Encoder):
    """e = MLP(o) with ELU between the layers and nothing after the last.

    Args:
        spec: the task's shapes and normalisation.
        latent: size of the output.
        hidden: width of the hidden layers.
        layers: number of hidden layers.
        symlog: squash the (normalised) observation, for tasks whose observations have no known scale (DreamerV3);
            decoders then reconstruct it squashed.
        normalise: apply the task's normalisation; without it the network sees the environment's units.
    """

    def __init__(
        self,
        spec: TaskSpec,
        latent: int,
        *,
        hidden: int = 256,
        layers: int = 2,
        symlog: bool = False,
        normalise: bool = True,
    ) -> None:
        super().__init__(spec, latent, normalise=normalise)
        self.symlog = symlog
        self.mlp = MLP(spec.observation, [hidden] * layers, latent)

    def normalise(self, obs: Tensor) -> Tensor:
        """See the contract; squashed where that was asked for."""
        seen = super().normalise(obs)
        return symlog(seen) if self.symlog else seen

    def denormalise(self, seen: Tensor) -> Tensor:
        """See the contract."""
        return super().denormalise(symexp(seen) if self.symlog else seen)

    def forward(self, obs: Tensor) -> Tensor:
        """See the contract."""
        return self.mlp(self.normalise(obs))  # type: ignore[no-any-return]
