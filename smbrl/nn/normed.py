"""Networks of Linear, LayerNorm and Mish: what TD-MPC2 is made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormedMLP(nn.Module):
    """Hidden layers Linear - LayerNorm - Mish; the last layer plain, or Linear - LayerNorm where ``norm_last``.

    Weights start as normal numbers of deviation 0.02 cut off at two, biases at zero. (TD-MPC2, Hansen et al. 2024.)

    Args:
        inputs: size of the input, or sizes of inputs that are to be concatenated.
        hidden: widths of the hidden layers.
        output: size of the output.
        norm_last: see above.
    """

    def __init__(
        self, inputs: int | Sequence[int], hidden: Sequence[int], output: int, *, norm_last: bool = False
    ) -> None:
        super().__init__()
        widths = [inputs if isinstance(inputs, int) else sum(inputs), *hidden, output]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in ([*hidden, output] if norm_last else hidden))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
            nn.init.zeros_(layer.bias)

    def forward(self, *inputs: Tensor) -> Tensor:
        """``(..., input)`` each, leading dims broadcasting -> ``(..., output)`` float32."""
        x = joined(inputs)
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number < len(self.norms):
                x = self.norms[number](x)
            if number < last:
                x = F.mish(x)
        return x.float()


class NormedEnsemble(nn.Module):
    """M networks like ``NormedMLP`` of the same shape on the same input, computed as one; the last layer starts at 0.

    Args:
        heads: M.
        inputs: sizes of the inputs, concatenated.
        width, layers: width and number of hidden layers.
        outputs: size of a network's output.
        dropout: share of the first layer's outputs that is dropped where a generator is given.
        undropped: so many first networks drop nothing.
    """

    def __init__(
        self,
        heads: int,
        inputs: Sequence[int],
        width: int,
        layers: int,
        outputs: int,
        *,
        dropout: float = 0.0,
        undropped: int = 0,
    ) -> None:
        super().__init__()
        self.heads, self.width, self.layers = heads, width, layers
        self.dropout, self.undropped = dropout, undropped
        sizes = [sum(inputs), *[width] * layers]
        self.weights = nn.ParameterList(
            nn.Parameter(nn.init.trunc_normal_(torch.empty(heads, a, width), std=0.02, a=-0.04, b=0.04))
            for a in sizes[:-1]
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(heads, 1, width)) for _ in range(layers))
        self.norm_weights = nn.ParameterList(nn.Parameter(torch.ones(heads, 1, width)) for _ in range(layers))
        self.norm_biases = nn.ParameterList(nn.Parameter(torch.zeros(heads, 1, width)) for _ in range(layers))
        self.last_weight = nn.Parameter(torch.zeros(heads, width, outputs))
        self.last_bias = nn.Parameter(torch.zeros(heads, 1, outputs))

    def forward(self, *inputs: Tensor, heads: slice = slice(None), generator: torch.Generator | None = None) -> Tensor:
        """``(..., input)`` each, leading dims broadcasting -> ``(M, ..., outputs)`` float32; ``heads`` picks some."""
        x = joined(inputs)
        lead = x.shape[:-1]
        count = len(range(self.heads)[heads])
        x = x.reshape(1, -1, x.shape[-1]).expand(count, -1, -1)
        hidden = zip(self.weights, self.biases, self.norm_weights, self.norm_biases, strict=True)
        for number, (weight, bias, gain, shift) in enumerate(hidden):
            x = torch.matmul(x, weight[heads]) + bias[heads]
            if number == 0 and generator is not None and self.dropout > 0.0:
                x = self.dropped(x, range(self.heads)[heads], generator)
            x = F.mish(F.layer_norm(x, x.shape[-1:]) * gain[heads] + shift[heads])
        x = torch.matmul(x, self.last_weight[heads]) + self.last_bias[heads]
        return x.float().view(count, *lead, -1)

    def dropped(self, x: Tensor, heads: range, generator: torch.Generator) -> Tensor:
        """``x (M, n, width)`` with some zeros and the rest larger, so that the mean stays."""
        keep = torch.rand(x.shape, generator=generator, device=x.device) >= self.dropout
        thinned = x * keep / (1.0 - self.dropout)
        whole = torch.tensor([head < self.undropped for head in heads], device=x.device)
        return torch.where(whole.view(-1, 1, 1), x, thinned)


def joined(inputs: Sequence[Tensor]) -> Tensor:
    """Inputs whose leading dims broadcast, concatenated."""
    lead = torch.broadcast_shapes(*[x.shape[:-1] for x in inputs])  # type: ignore[no-untyped-call]
    return torch.cat([x.expand(*lead, x.shape[-1]).float() for x in inputs], -1)
