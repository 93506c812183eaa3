"""Encoder: observation -> latent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smbrl.interfaces.part import Part
from smbrl.interfaces.task import TaskSpec


class Encoder(Part, nn.Module, ABC):
    """``(..., O) -> (..., latent)``: E(s) of the paper.

    Constructor: ``(spec: TaskSpec, latent: int, *, ...)``.

    An encoder takes *raw* observations (the units of the environment) and normalises them itself, so that
    whoever holds an encoder needs no second object to use it. float32 in, the autocast type out.

    Attributes:
        latent: size of the last dimension it returns.
        shift, scale: buffers (O,) of the normalisation (identity where ``normalise=False``).
    """

    kind: ClassVar[str] = "encoder"
    given: ClassVar[tuple[str, ...]] = ("spec", "latent")
    shift: Tensor
    scale: Tensor

    def __init__(self, spec: TaskSpec, latent: int, *, normalise: bool = True) -> None:
        nn.Module.__init__(self)
        self.spec = spec
        self.latent = latent
        self.register_buffer("shift", torch.tensor(spec.shift if normalise else (0.0,) * spec.observation))
        self.register_buffer("scale", torch.tensor(spec.scale if normalise else (1.0,) * spec.observation))

    def normalise(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` in the units the networks see; what a decoder reconstructs."""
        return obs * self.scale + self.shift

    def denormalise(self, seen: Tensor) -> Tensor:
        """The inverse of ``normalise``; override both or neither."""
        return (seen - self.shift) / self.scale

    def augment(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        """What a learner sees in place of raw observations ``(B, ..., O)`` of B windows while it learns; the same
        shape. By default what there is; encoders of images move them about."""
        return obs

    def fast(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]] | None:
        """The encoder as it is now in plain numpy, ``(E, O) -> (E, latent)``, for small batches on the CPU where
        torch's overhead dominates; None where there is no such path. Same numbers to 1e-5."""
        return None

    @abstractmethod
    def forward(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> latents ``(..., latent)``."""
