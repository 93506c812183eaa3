"""Multi-layer perceptrons with orthogonal weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smbrl.nn import networks
from smbrl.nn.layers import joined, linear_elu
from smbrl.nn.optim import held
from smbrl.nn.precision import network_weight


class MLP(nn.Module):
    """Linear layers with ELU between them and nothing after the last.

    Every weight is orthogonal with gain 1 (``last_gain`` for the last), every bias zero: the paper's
    initialisation.

    Args:
        inputs: size of the input, or sizes of inputs that are to be concatenated.
        hidden: widths of the hidden layers.
        output: size of the output.
        exact: the last product is float32 always: bfloat16 resolves a value of 100 to 0.5 only.
    """

    def __init__(
        self,
        inputs: int | Sequence[int],
        hidden: Sequence[int],
        output: int,
        *,
        last_gain: float = 1.0,
        exact: bool = False,
    ) -> None:
        super().__init__()
        self.exact = exact
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
        """``(..., input)`` each, leading dims broadcasting -> ``(..., output)`` float32."""
        if networks.usable(inputs):
            network = networks.network(self, self.linears[0].weight, self.described)
            if network.fits:
                return networks.run(network, inputs)[0]
        *hidden, last = self.linears
        if not hidden:
            return F.linear(torch.cat(inputs, -1), last.weight, last.bias).float()
        x, weight, bias, lead = joined(inputs, hidden[0].weight, hidden[0].bias)
        x = linear_elu(x, weight, bias)
        for layer in hidden[1:]:
            x = linear_elu(x, network_weight(layer.weight), layer.bias.unsqueeze(0))
        if self.exact:
            with torch.autocast(x.device.type, enabled=False):
                return F.linear(x.float(), last.weight, last.bias).view(*lead, -1)
        weight = network_weight(last.weight)
        return F.linear(x, weight, last.bias.to(weight.dtype)).view(*lead, -1).float()

    def fork(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The output twice: gradients of the first reach the inputs only, of the second the parameters only; see
        ``networks.fork``."""
        if networks.usable(inputs):
            network = networks.network(self, self.linears[0].weight, self.described)
            if network.fits:
                first, second = networks.fork(network, inputs)
                return first[0], second[0]
        with held(self):
            first = self(*inputs)
        return first, self(*[x.detach() for x in inputs])

    def described(self) -> list[list[networks.Layer]]:
        """One head, for ``networks``."""
        *hidden, last = self.linears
        layers = [networks.Layer(networks.ELU, layer.weight, layer.bias) for layer in hidden]
        # what a linear layer sums up is float32 there too; its weights are not
        kind = networks.SCALAR if self.exact and last.out_features == 1 else networks.LINEAR
        return [[*layers, networks.Layer(kind, last.weight, last.bias)]]
