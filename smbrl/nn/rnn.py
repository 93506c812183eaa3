"""A gated recurrent unit."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from smbrl.nn import kernels
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
        products = []
        for value, parameter, bias in (
            (x, self.input_weight, self.input_bias),
            (state, self.state_weight, self.state_bias),
        ):
            weight = network_weight(parameter)
            products.append(F.linear(value.to(weight.dtype), weight, bias.to(weight.dtype)))
        return gated(products[0], products[1], state)


def gated(x: Tensor, h: Tensor, state: Tensor) -> Tensor:
    """The next state from the products of input and of state ``(..., 3 size)`` and the state ``(..., size)``."""
    if kernels.usable(x, torch.bfloat16) and x.dtype == h.dtype and state.dtype == torch.float32:
        if not torch.is_grad_enabled():
            return _gated(x.contiguous(), h.contiguous(), state.contiguous())
        return _Gated.apply(x, h, state)  # type: ignore[no-any-return, no-untyped-call]
    (reset, update, new), (reset_h, update_h, new_h) = x.float().chunk(3, -1), h.float().chunk(3, -1)
    candidate = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
    return torch.lerp(candidate, state, torch.sigmoid(update + update_h))


def _gated(x: Tensor, h: Tensor, state: Tensor) -> Tensor:
    out = torch.empty_like(state)
    size = state.shape[-1]
    kernels.call(_kernel(x), x, h, state, out, state.numel() // size, size)
    return out


def _kernel(x: Tensor) -> str:
    return "smbrl_gru" if x.dtype == torch.float32 else "smbrl_gru_half"


class _Gated(torch.autograd.Function):
    """Keeps the products and the state only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, state: Tensor) -> Tensor:
        x, h, state = x.contiguous(), h.contiguous(), state.contiguous()
        ctx.save_for_backward(x, h, state)
        return _gated(x, h, state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, h, state = ctx.saved_tensors
        dx, dh, dstate = torch.empty_like(x), torch.empty_like(h), torch.empty_like(state)
        size = state.shape[-1]
        arguments = (grad.contiguous(), x, h, state, dx, dh, dstate, state.numel() // size, size)
        kernels.call(f"{_kernel(x)}_backward", *arguments)
        return dx, dh, dstate
