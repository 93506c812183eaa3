"""Randomness: one seed, many independent named streams."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def derive(seed: int, *names: str | int) -> int:
    """The seed of the stream called ``names`` in the run with ``seed``: 63 bits, unrelated for different names."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(device: torch.device | str, seed: int, *names: str | int) -> torch.Generator:
    """A torch generator for the stream called ``names``."""
    made = torch.Generator(device=device)
    made.manual_seed(derive(seed, *names))
    return made


class Streams:
    """Named torch generators of one phase, saved and restored together.

    Args:
        device: where they draw.
        seed: of the run.
        phase: part of every stream's name.
        names: one generator each; ``streams["replay"]``.
    """

    def __init__(self, device: torch.device, seed: int, phase: str, names: Sequence[str]) -> None:
        self._generators = {name: generator(device, seed, phase, name) for name in names}

    def __getitem__(self, name: str) -> torch.Generator:
        return self._generators[name]

    def state(self) -> dict[str, Tensor]:
        """The state of every stream."""
        return {name: made.get_state() for name, made in self._generators.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on where ``state`` was taken."""
        for name, made in self._generators.items():
            made.set_state(state[name])


def seed_globals(seed: int, *names: str | int) -> None:
    """Seed the global generators of torch, numpy and Python, which smbrl itself never draws from in a phase but
    which a part written by somebody else may."""
    value = derive(seed, *names)
    torch.manual_seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - the legacy global state is what such a part would draw from
    random.seed(value)


def globals_state() -> dict[str, Any]:
    """The state of the global generators, as tensors and JSON values."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    version, words, gauss_next = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [torch.from_numpy(np.asarray(keys, np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss_next],
    }
    if torch.cuda.is_available():
        state["cuda"] = list(torch.cuda.get_rng_state_all())
    return state


def load_globals_state(state: dict[str, Any]) -> None:
    """Inverse of ``globals_state``; the CUDA part is left out where the number of devices differs."""
    torch.set_rng_state(state["torch"])
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss_next))
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def untouched_globals() -> Iterator[None]:
    """Whatever happens inside leaves the global generators as they were: evaluation, construction of parts."""
    state = globals_state()
    try:
        yield
    finally:
        load_globals_state(state)
