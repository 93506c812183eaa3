"""A gated recurrent unit."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smbrl.nn.precision import network_weight


class GRU(nn.Module):
    """h' = (1 - u) n + u h with n = tanh(W_n x + r (U_n h)) (Cho et al. 2014, in PyTorch's form and initialisation).

    Products in the type of ``network_weight``, gates and the state in float32: a state that is carried over many
    steps must not be rounded at each.

    Args:
        inputs: size of x.
        size: of h.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(size)
        self.input_weight = nn.Parameter(torch.empty(3 * size, inputs).uniform_(-bound, bound))
        self.state_weight = nn.Parameter(torch.empty(3 * size, size).uniform_(-bound, bound))
        self.input_bias = nn.Parameter(torch.empty(3 * size).uniform_(-bound, bound))
        self.state_bias = nn.Parameter(torch.empty(3 * size).uniform_(-bound, bound))

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """``x (..., inputs), state (..., size)`` -> the next state ``(..., size)``, float32."""
        gates = []
        for value, parameter, bias in (
            (x, self.input_weight, self.input_bias),
            (state, self.state_weight, self.state_bias),
        ):
            weight = network_weight(parameter)
            gates.append(F.linear(value.to(weight.dtype), weight, bias.to(weight.dtype)).float())
        (reset, update, new), (reset_h, update_h, new_h) = (gate.chunk(3, -1) for gate in gates)
        candidate = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
        return torch.lerp(candidate, state, torch.sigmoid(update + update_h))
