"""The paper's encoder: two linear layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from smbrl.interfaces import Encoder, TaskSpec
from smbrl.nn.frozen import FrozenLayers, as_array
from smbrl.nn.mlp import MLP


class MLPEncoder(Encoder):
    """E(s): Linear(O, hidden) - ELU - Linear(hidden, latent) on the normalised observation; not squashed.

    Args:
        spec: the task's shapes and normalisation.
        latent: size of the latent.
        hidden: width of the hidden layer.
        normalise: apply the task's normalisation; without it the network sees the environment's units.
    """

    def __init__(self, spec: TaskSpec, latent: int, *, hidden: int = 128, normalise: bool = True) -> None:
        super().__init__(spec, latent, normalise=normalise)
        self.mlp = MLP(spec.observation, [hidden], latent)

    def forward(self, obs: Tensor) -> Tensor:
        """See the contract."""
        return self.mlp(self.normalise(obs))  # type: ignore[no-any-return]

    def fast(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """See the contract."""
        layers, shift, scale = FrozenLayers(self.mlp.linears), as_array(self.shift), as_array(self.scale)

        def encode(obs: NDArray[np.float32]) -> NDArray[np.float32]:
            return layers(obs * scale + shift)

        return encode
