"""Multi-layer perceptrons with orthogonal weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smbrl.nn.activations import elu_
from smbrl.nn.precision import network_dtype


def linear_of(inputs: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """``weight @ concat(inputs) + bias`` where the inputs' leading dims may broadcast.

    An input that stays the same while another runs on (a skill during its H steps, a state from which 512
    plans start) is multiplied once with its own columns of the weight, not once per copy.
    """
    dtype = network_dtype(weight)
    inputs = [x.to(dtype) for x in inputs]
    if all(x.shape[:-1] == inputs[0].shape[:-1] for x in inputs):
        return F.linear(inputs[0] if len(inputs) == 1 else torch.cat(list(inputs), -1), weight, bias)
    parts = torch.split(weight, [x.shape[-1] for x in inputs], dim=1)
    total = F.linear(inputs[0], parts[0], bias)
    for x, part in zip(inputs[1:], parts[1:], strict=True):
        total = total + F.linear(x, part)
    return total


class MLP(nn.Module):
    """Linear layers with ELU between them and nothing after the last.

    Every weight is orthogonal with gain 1 (``last_gain`` for the last), every bias zero: the paper's
    initialisation.

    Args:
        inputs: size of the input, or sizes of inputs that are to be concatenated.
        hidden: widths of the hidden layers.
        output: size of the output.
    """

    def __init__(
        self, inputs: int | Sequence[int], hidden: Sequence[int], output: int, *, last_gain: float = 1.0
    ) -> None:
        super().__init__()
        size = inputs if isinstance(inputs, int) else sum(inputs)
        widths = [size, *hidden, output]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        for layer in self.linears:
            nn.init.orthogonal_(layer.weight, last_gain if layer is self.layers[-1] else 1.0)
            nn.init.zeros_(layer.bias)

    @property
    def linears(self) -> list[nn.Linear]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, *inputs: Tensor) -> Tensor:
        """``(..., input)`` each, leading dims broadcasting -> ``(..., output)``."""
        first, *rest = self.linears
        x = linear_of(inputs, first.weight, first.bias)
        for layer in rest:
            x = layer(elu_(x))
        return x
