"""Heads: what reads a latent. Policy, reward, critics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from smbrl.interfaces.part import Part


class Scalars(nn.Module, ABC):
    """M scalar predictions of the same inputs: what they say, and how wrong it is.

    The raw output is what the error is taken of: the scalars themselves ``(M, ...)``, or whatever they are decoded
    from ``(M, ..., K)``. float32.

    Attributes:
        heads: M.
    """

    heads: int

    @abstractmethod
    def raw(self, *inputs: Tensor, heads: slice = slice(None), generator: torch.Generator | None = None) -> Tensor:
        """``(..., size)`` each -> ``(M, ...)`` or ``(M, ..., K)``; ``heads`` picks some. Given a generator, as in
        training: what is dropped is drawn from it. Without one nothing is."""

    def decode(self, raw: Tensor) -> Tensor:
        """Raw outputs of any leading dims -> scalars."""
        return raw

    def error(self, raw: Tensor, target: Tensor) -> Tensor:
        """What to minimise, for each raw output, of the shape of its scalar; targets broadcast."""
        return (raw - target).square()

    def forward(self, *inputs: Tensor, heads: slice = slice(None)) -> Tensor:
        """The scalars ``(M, ...)``."""
        return self.decode(self.raw(*inputs, heads=heads))


class Heads(Part, ABC):
    """Builds what a latent learner puts on its latent, and says how several critics become one value.

    Constructor: ``(latent: int, decision: int, hidden: int, layers: int, critics: int, *, ...)``: sizes of what is
    read, width and number of hidden layers, size of the Q ensemble. A recipe, without parameters of its own.
    """

    kind: ClassVar[str] = "heads"
    given: ClassVar[tuple[str, ...]] = ("latent", "decision", "hidden", "layers", "critics")

    def __init__(self, latent: int, decision: int, hidden: int, layers: int, critics: int) -> None:
        self.latent, self.decision = latent, decision
        self.hidden, self.layers, self.critics = hidden, layers, critics

    @abstractmethod
    def policy(self) -> nn.Module:
        """pi(z | h): ``(..., latent) -> TanhNormal`` over ``(..., Z)``."""

    @abstractmethod
    def scalars(self) -> Scalars:
        """R(h, z), number 0, and Q_j(h, z), the others, of ``(..., latent), (..., Z)``."""

    def termination(self) -> nn.Module | None:
        """Logit of the MDP having ended at a latent, ``(..., latent) -> (...)``; None does not learn it."""
        return None

    def pessimistic(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """Values of all critics ``(C, ...) -> (...)``, for the targets of learning: the smallest."""
        return values.amin(0)

    def expected(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """Values of all critics ``(C, ...) -> (...)``, for policy and planner: the smallest."""
        return values.amin(0)
