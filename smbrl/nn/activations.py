"""The ELU between layers, applied in place."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _InPlaceELU(torch.autograd.Function):
    """ELU that overwrites its input and differentiates from its output, so that a layer leaves one tensor in
    memory instead of two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        F.elu(x, inplace=True)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.elu_backward(grads[0], 1.0, 1.0, 1.0, True, y)  # type: ignore[no-any-return]


def elu_(x: Tensor) -> Tensor:
    """ELU (alpha 1) of a tensor that nobody else needs, such as the fresh output of a linear layer."""
    if torch.compiler.is_compiling():
        return F.elu(x)  # the compiler fuses it with its neighbours
    if not (torch.is_grad_enabled() and x.requires_grad):
        return F.elu(x, inplace=True)
    result: Tensor = _InPlaceELU.apply(x)  # type: ignore[no-untyped-call]
    return result
