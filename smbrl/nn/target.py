"""Slowly moving copies of networks."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def move_towards(target: nn.Module, online: nn.Module, keep: float) -> None:
    """target <- keep * target + (1 - keep) * online, parameters only, in one fused call."""
    torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), 1.0 - keep)


def frozen_copy(module: nn.Module) -> nn.Module:
    """A deep copy whose parameters take no gradient."""
    import copy

    twin = copy.deepcopy(module)
    return twin.requires_grad_(False)
