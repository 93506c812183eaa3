"""An encoder that sees where it is: sines and cosines of the position."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smbrl.interfaces import Encoder, TaskSpec
from smbrl.nn.frozen import FrozenLayers, as_array
from smbrl.nn.mlp import MLP


class FourierEncoder(Encoder):
    """The paper's encoder with sin and cos of 2^k pi x added to its input, k = 1 .. octaves.

    x are the normalised coordinates that the task's ``position`` names; the raw input stays. A small network
    on raw coordinates learns spatial detail (the walls of a maze) slowly, because the functions it prefers are
    smooth; with these features the Maze needs about five times fewer pre-training updates. (Tancik et al.,
    "Fourier features let networks learn high frequency functions in low dimensional domains", 2020.)

    Args:
        spec: the task's shapes and normalisation; without positions this is the plain encoder.
        latent: size of the latent.
        hidden: width of the hidden layer.
        octaves: the finest feature has a period of 2^(1 - octaves) in normalised units.
        normalise: apply the task's normalisation.
    """

    def __init__(
        self, spec: TaskSpec, latent: int, *, hidden: int = 128, octaves: int = 6, normalise: bool = True
    ) -> None:
        super().__init__(spec, latent, normalise=normalise)
        self.octaves = octaves
        self.mlp = MLP(spec.observation + 2 * octaves * len(spec.position), [hidden], latent)
        self.register_buffer("position", torch.tensor(spec.position, dtype=torch.long), persistent=False)
        self.position: Tensor

    def features(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> ``(..., O + 2 * octaves * positions)``, float32."""
        return fourier_features(self.normalise(obs), self.position, self.octaves)

    def forward(self, obs: Tensor) -> Tensor:
        """See the contract."""
        return self.mlp(self.features(obs))  # type: ignore[no-any-return]

    def fast(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """See the contract."""
        layers, shift, scale = FrozenLayers(self.mlp.linears), as_array(self.shift), as_array(self.scale)
        size, octaves, position = self.spec.observation, self.octaves, list(self.spec.position)
        places = len(position)
        frequencies = np.repeat(np.pi * 2.0 ** np.arange(1, octaves + 1), places).astype(np.float32)
        where = np.array(position * octaves, dtype=np.intp)
        # the order of ``features``: per octave sines, then cosines
        shape = (octaves, 2, places)

        def encode(obs: NDArray[np.float32]) -> NDArray[np.float32]:
            inputs = np.empty((len(obs), size + 2 * octaves * places), np.float32)
            x = inputs[:, :size]
            np.multiply(obs, scale, out=x)
            x += shift
            angle = (x[:, where] * frequencies).reshape(len(obs), octaves, places)
            waves = inputs[:, size:].reshape(len(obs), *shape)
            np.sin(angle, out=waves[:, :, 0])
            np.cos(angle, out=waves[:, :, 1])
            return layers(inputs)

        return encode


def fourier_features(x: Tensor, position: Tensor, octaves: int) -> Tensor:
    """``x (..., O)`` and behind it sin and cos of 2^k pi of its elements ``position``, k = 1 .. octaves."""
    angle = 2.0 * math.pi * x[..., position]
    sin, cos = torch.sin(angle), torch.cos(angle)
    parts = [x]
    for octave in range(octaves):
        if octave:  # of the double angle: two products instead of two more series
            sin, cos = 2.0 * sin * cos, 1.0 - 2.0 * sin * sin
        parts += [sin, cos]
    return torch.cat(parts, -1)
