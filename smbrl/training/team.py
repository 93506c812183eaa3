"""Pre-training in several processes that ``torchrun`` started, on one machine or several.

Process 0 leads: it alone has a run folder, logs, saves, validates, and learns online. The others follow: they get what
process 0 begins with (so they need no run folder, and resume with it), make their shares of its updates, and leave.
What is sent between them is tensors and JSON, as in a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Metrics, SkillWindows
from smbrl.nn import ranks
from smbrl.training.checkpoint import flatten, restore

PATIENCE = timedelta(days=1)
"""The others wait while process 0 generates data."""


def size() -> int:
    """How many processes torchrun started; 1 without it."""
    known = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"))
    return int(os.environ["WORLD_SIZE"]) if known else 1


def rank() -> int:
    """The number of this one among them."""
    return int(os.environ["RANK"]) if size() > 1 else 0


def own_device(device: str) -> str:
    """The device that a process of several takes where one takes ``device``: each its own GPU."""
    if size() > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return device


def check(batch: int) -> None:
    """Refuse a batch that cannot be shared.

    Raises:
        SmbrlError: it is no multiple of the number of processes.
    """
    if batch % size():
        raise SmbrlError(
            f"Pretraining.batch is {batch}, which {size()} processes cannot share equally: bind a multiple of {size()}"
        )


class Team:
    """The processes, seen from one of them.

    Args:
        device: of this one.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.size = rank(), size()
        self._checked = False
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)

    def update(self, agent: nn.Module, windows: SkillWindows, generator: torch.Generator) -> Metrics:
        """``agent.pretrain`` on this process's share of the whole batch; metrics are those of the whole batch.

        Raises:
            SmbrlError: the processes came to different weights.
        """
        place = ranks.Place(self.rank, self.size, len(windows.mask) // self.size)
        share = SkillWindows(**{item.name: place.cut(getattr(windows, item.name)) for item in fields(windows)})
        with ranks.together(place):
            found: Metrics = agent.pretrain(share, generator)  # type: ignore[operator]
            values = ranks.mean(torch.stack([value.reshape(()).float() for value in found.values()]))
            if not self._checked:
                self._check(agent)
        return dict(zip(found, values.unbind(), strict=True))

    def _check(self, agent: nn.Module) -> None:
        """After the first update all must have the same weights."""
        self._checked = True
        own = torch.stack([parameter.detach().double().sum() for parameter in agent.parameters()])
        first = own.clone()
        dist.broadcast(first, 0)
        same = torch.tensor(float(torch.equal(own, first)), device=self.device)
        if float(ranks.mean(same)) < 1.0:
            raise SmbrlError(
                f"{type(agent).__name__} pre-trains with an optimiser of its own, so {self.size} processes come to "
                "different weights: use smbrl.nn.optim.Optimiser in it, or pre-train in one process"
            )

    # -- what process 0 tells the others -----------------------------------------------------------
    def go(self, on: bool = True) -> bool:
        """Process 0 says whether another update is made; the others hear it."""
        word = torch.tensor(float(on), device=self.device)
        dist.broadcast(word, 0)
        return bool(word)

    def send(self, state: dict[str, Any]) -> None:
        """From process 0 to the others."""
        tree, tensors = flatten(state)
        for data in (json.dumps(tree).encode(), save_tensors(tensors)):
            raw = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(self.device)
            dist.broadcast(torch.tensor(len(raw), device=self.device), 0)
            dist.broadcast(raw, 0)

    def receive(self) -> dict[str, Any]:
        """What process 0 sends."""
        tree, tensors = (self._bytes() for _ in range(2))
        state: dict[str, Any] = restore(json.loads(tree), load_tensors(tensors))
        return state

    def _bytes(self) -> bytes:
        count = torch.tensor(0, device=self.device)
        dist.broadcast(count, 0)
        raw: Tensor = torch.empty(int(count), dtype=torch.uint8, device=self.device)
        dist.broadcast(raw, 0)
        return raw.cpu().numpy().tobytes()


@contextmanager
def joined(device: torch.device) -> Iterator[Team | None]:
    """The team while this lasts; None where this is the only process."""
    if size() == 1:
        yield None
        return
    team = Team(device)
    try:
        yield team
    finally:
        with contextlib.suppress(RuntimeError):  # somebody is gone already
            dist.destroy_process_group()
