"""Adam with a global gradient clip, one per loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from smbrl.nn.ranks import average


class Optimiser:
    """Adam (betas 0.9, 0.999; eps 1e-7) that owns some parameters and minimises losses over them alone.

    Gradients are taken with respect to its own parameters only: nothing accumulates in networks that
    belong to somebody else, and no work is spent on them.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, *, clip: float = 100.0, eps: float = 1e-7):
        self.parameters = list(parameters)
        self.clip = clip
        self._lr, self._eps = lr, eps
        self.reset()

    def reset(self) -> None:
        """Forget all moments."""
        # conformance checks learn on the meta device, which has no fused operators
        fused = all(parameter.device.type != "meta" for parameter in self.parameters)
        self._adam = torch.optim.Adam(self.parameters, lr=self._lr, eps=self._eps, fused=fused)

    def minimise(self, loss: Tensor, share: float = 1.0, *, retain: bool = False) -> Tensor:
        """One step at ``share`` of the learning rate; returns the gradient's global norm before clipping, detached.

        Parameters that the loss does not depend on are left alone (no moment, no step). ``retain`` keeps the graph
        for another loss that shares a part of it.
        """
        grads = torch.autograd.grad(loss, self.parameters, allow_unused=True, retain_graph=retain)
        for parameter, grad in zip(self.parameters, grads, strict=True):
            # fused Adam walks through memory: a transposed gradient would go to the wrong weights
            parameter.grad = None if grad is None else grad.contiguous()
        average(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self._adam.param_groups[0]["lr"] = self._lr * share
        self._adam.step()
        for parameter in self.parameters:
            parameter.grad = None
        return norm.detach()

    def state(self) -> dict[str, Any]:
        """Moments and step counts as a nested dict of tensors, by the parameter's number."""
        return {str(number): dict(values) for number, values in self._adam.state_dict()["state"].items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        full = self._adam.state_dict()
        full["state"] = {int(number): {k: v.clone() for k, v in values.items()} for number, values in state.items()}
        self._adam.load_state_dict(full)


@contextmanager
def held(*modules: nn.Module) -> Iterator[None]:
    """Parameters take no gradient in here, so that nobody computes any; what flows through them does."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
