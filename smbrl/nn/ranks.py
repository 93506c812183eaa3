"""One update made by several processes, each with a share of the batch, that comes to the numbers of a single one.

Alone (which is almost always) everything here does nothing. In a team, while ``together`` lasts:

- losses are means over what is real, and ``real_count`` is what they divide by: with it the mean over the processes of
  each one's loss is the loss of the whole batch, however the masks fall;
- ``average`` makes the gradients those of that loss, before they are clipped (``smbrl.nn.optim`` calls it);
- what is drawn with ``torch.rand`` or ``torch.randn`` for the windows of a share (its first dimension) is drawn for the
  whole batch, by every process alike, and cut: noise is that of a single process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Place:
    """Of a process in a team.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        share: windows that each of them has of a batch.
    """

    rank: int
    size: int
    share: int

    def cut(self, whole: Tensor) -> Tensor:
        """This process's rows of ``whole (share * size, ...)``."""
        return whole[self.rank * self.share : (self.rank + 1) * self.share]


_place: Place | None = None


def real_count(mask: Tensor) -> Tensor:
    """Sum of a mask, as what a mean over its windows divides by: in a team the mean of this over the processes."""
    own = mask.sum()
    return own if _place is None else mean(own)


def mean(value: Tensor) -> Tensor:
    """Of a value without gradient over the processes of a team; alone the value itself."""
    if _place is None:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / _place.size


def average(parameters: Sequence[nn.Parameter]) -> None:
    """Replace gradients by their means over the processes of a team; alone nothing happens."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if _place is None or not grads:
        return
    flat = mean(torch.cat([grad.flatten() for grad in grads]))
    for grad, part in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


@contextmanager
def together(place: Place) -> Iterator[None]:
    """Inside, this process makes its share of an update; all of the team have to come to the same calls."""
    global _place
    _place = place
    try:
        with _WholeNoise(place):
            yield
    finally:
        _place = None


class _WholeNoise(TorchFunctionMode):
    """Draws for the whole batch what is drawn for a share of it."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.rand and func is not torch.randn:
            return func(*args, **kwargs)
        shape = kwargs.pop("size", None) or (args[0] if args and not isinstance(args[0], int) else args)
        if not len(shape) or shape[0] != self.place.share:
            return func(shape, **kwargs)
        return self.place.cut(func((self.place.share * self.place.size, *shape[1:]), **kwargs))
