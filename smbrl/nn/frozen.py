"""Networks as plain numpy: a few microseconds a layer for single states, where torch's calls cost more than
the arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float32]


def as_array(tensor: Tensor) -> Array:
    """A float32 copy that no later update changes."""
    return tensor.detach().float().cpu().numpy().copy()


def elu_inplace(x: Array) -> Array:
    """ELU: max(x, exp(min(x, 0)) - 1)."""
    return np.maximum(x, np.expm1(np.minimum(x, 0.0)), out=x)


class FrozenLayers:
    """Linear layers with ELU between them, ``(E, inputs) -> (E, outputs)``."""

    def __init__(self, layers: list[nn.Linear]) -> None:
        # transposed and contiguous: x @ w reads both row by row
        self.weights = [np.ascontiguousarray(as_array(layer.weight).T) for layer in layers]
        self.biases = [as_array(layer.bias) for layer in layers]

    def __call__(self, x: Array) -> Array:
        """Evaluate; ``x`` is left alone."""
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight
            x += bias
            if number < last:
                elu_inplace(x)
        return x
