"""Hidden layers: a matrix product with what follows it, forward and backward in as few passes as there can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from smbrl.nn import kernels
from smbrl.nn.precision import network_weight


def joined(inputs: Sequence[Tensor], weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor, torch.Size]:
    """Prepare the product of ``weight`` with concatenated inputs whose leading dims may broadcast.

    An input that is one for many (a skill during its H steps, a state from which 512 plans start) is
    multiplied once with its own columns of the weight, and becomes part of the bias of its group.

    Args:
        inputs: ``(..., size)`` each; a short one has 1 where the others have their last leading dim.
        weight: ``(out, sum of sizes)``, a parameter.
        bias: ``(out)``, float32.

    Returns:
        rows ``(n, k)``, their part of the weight ``(out, k)``, the bias of each group of rows ``(groups, out)``
        as float32, and the leading dims of the result.
    """
    weight = network_weight(weight)
    lead = inputs[0].shape[:-1]
    if all(x.shape[:-1] == lead for x in inputs):
        rows = [x.reshape(-1, x.shape[-1]).to(weight.dtype) for x in inputs]
        return _cat(rows), weight, bias.unsqueeze(0), lead
    lead = torch.broadcast_shapes(*[x.shape[:-1] for x in inputs])  # type: ignore[no-untyped-call]
    short = {i for i, x in enumerate(inputs) if lead[-1] > 1 and x.shape[:-1] == (*lead[:-1], 1)}
    inputs = [x if i in short else x.expand(*lead, x.shape[-1]) for i, x in enumerate(inputs)]
    rows = [x.reshape(-1, x.shape[-1]).to(weight.dtype) for x in inputs]
    if not short:
        return _cat(rows), weight, bias.unsqueeze(0), lead
    parts = torch.split(weight, [x.shape[-1] for x in inputs], dim=1)
    long = [i for i in range(len(inputs)) if i not in short]
    once = F.linear(_cat([rows[i] for i in sorted(short)]), _cat([parts[i] for i in sorted(short)]))
    return _cat([rows[i] for i in long]), _cat([parts[i] for i in long]), once.float() + bias, lead


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), -1)


def linear_elu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """ELU(x @ weight.T + bias): ``x (n, k), weight (out, k)``; ``bias (groups, out)``, each for n / groups rows."""
    if kernels.usable(x):
        if not torch.is_grad_enabled():
            return _bias_elu(F.linear(x, weight), bias)
        return _LinearELU.apply(x, weight, bias, True)  # type: ignore[no-any-return, no-untyped-call]
    if len(bias) == 1:
        return F.elu(F.linear(x, weight, bias[0].to(x.dtype)), inplace=True)
    y = F.linear(x, weight).view(len(bias), -1, weight.shape[0]) + bias.unsqueeze(1).to(x.dtype)
    return F.elu(y, inplace=True).flatten(0, 1)


def batched_linear_elu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """ELU(x[m] @ weight[m] + bias[m]) for every m: ``x (M, n, k), weight (M, k, out), bias (M, out)``."""
    if kernels.usable(x):
        if not torch.is_grad_enabled():
            return _bias_elu(torch.bmm(x, weight), bias)
        return _LinearELU.apply(x, weight, bias, False)  # type: ignore[no-any-return, no-untyped-call]
    return F.elu(torch.baddbmm(bias.unsqueeze(1).to(x.dtype), x, weight), inplace=True)


def norm_tanh(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """tanh(weight * LayerNorm(x) + bias), heads first: ``x (n, M, width)``, others ``(M, width) -> (M, n, width)``."""
    if kernels.usable(x):
        if not torch.is_grad_enabled():
            return _norm_tanh(x.contiguous(), weight.contiguous(), bias.contiguous())[0]
        return _NormTanh.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    normed = F.layer_norm(x, x.shape[-1:])
    return torch.tanh(torch.addcmul(bias.to(x.dtype), normed, weight.to(x.dtype))).transpose(0, 1).contiguous()


def _bias_elu(y: Tensor, bias: Tensor) -> Tensor:
    kernels.call("smbrl_bias_elu", y, bias.contiguous(), len(bias), y.numel() // bias.numel(), bias.shape[1])
    return y


def _norm_tanh(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    rows, heads, width = x.shape
    y, saved = x.new_empty(heads, rows, width), torch.empty(rows, heads, 2)
    kernels.call("smbrl_norm_tanh", x, weight, bias, y, saved, rows, heads, width)
    return y, saved


class _LinearELU(torch.autograd.Function):
    """Keeps the layer's input and output only; the bias' gradient is summed while ELU is differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, transposed: bool) -> Tensor:
        y = _bias_elu(torch.matmul(x, weight.mT if transposed else weight), bias.detach())
        ctx.save_for_backward(x, weight, y)
        ctx.shape, ctx.transposed = (len(bias), y.numel() // bias.numel(), bias.shape[1]), transposed
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor, None]:
        x, weight, y = ctx.saved_tensors
        inner = torch.empty_like(y)
        bias = torch.empty(ctx.shape[0], ctx.shape[2])
        kernels.call("smbrl_elu_backward", grad.contiguous(), y, inner, bias, *ctx.shape)
        dx = dweight = None
        if ctx.needs_input_grad[0]:
            dx = torch.matmul(inner, weight if ctx.transposed else weight.mT)
        if ctx.needs_input_grad[1]:  # in the memory layout of the weight, which the optimiser relies on
            dweight = torch.matmul(inner.mT, x) if ctx.transposed else torch.matmul(x.mT, inner)
        return dx, dweight, bias, None


class _NormTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x, weight = x.contiguous(), weight.detach().contiguous()
        y, saved = _norm_tanh(x, weight, bias.detach().contiguous())
        ctx.save_for_backward(x, weight, y, saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, y, saved = ctx.saved_tensors
        out, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        arguments = (grad.contiguous(), y, x, weight, saved, out, dweight, dbias, *x.shape)
        kernels.call("smbrl_norm_tanh_backward", *arguments)
        return out, dweight, dbias
