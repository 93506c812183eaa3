"""Dynamics: how a latent state changes under a decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from smbrl.interfaces.part import Part


class Dynamics(Part, nn.Module, ABC):
    """D(h, z) of the paper: one decision ahead in latent space.

    Constructor: ``(latent: int, decision: int, *, ...)``.

    A state is one tensor ``(..., S)`` (models with several pieces concatenate them and split inside). For the
    deterministic latents of SkiMo and TD-MPC the state is the latent itself, so ``initial`` and ``latent``
    are identities; an RSSM overrides them.

    Attributes:
        state: size S.
        latent_size: size of what ``latent`` returns (what the heads are built on).
        steps: predictions that ``step`` makes for one decision; a decision's reward is the sum of as many.
    """

    kind: ClassVar[str] = "dynamics"
    given: ClassVar[tuple[str, ...]] = ("latent", "decision")
    state: int
    latent_size: int
    steps: int = 1

    def initial(self, latent: Tensor) -> Tensor:
        """Encoded observations ``(..., latent)`` -> states ``(..., S)``."""
        return latent

    @abstractmethod
    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """``state (..., S), decision (..., Z) -> next state (..., S)``: one decision (H env steps for skills).

        A stochastic model draws the next state from ``generator``, and from nothing else; without one it gives the
        most likely state, so that whoever searches or predicts with it needs to know nothing of randomness.
        Deterministic models ignore the generator.
        """

    def advance(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One of the ``steps`` predictions of a decision. Models that need several override it and let ``step``
        repeat it."""
        return self.step(state, decision, generator)

    def latent(self, state: Tensor) -> Tensor:
        """States ``(..., S)`` -> what reward, value, policy and decoder heads read, ``(..., latent_size)``."""
        return state

    def error(self, state: Tensor, latent: Tensor) -> Tensor:
        """How wrong predicted states ``(..., S)`` are about the encoded observation ``(..., latent)`` they should
        have led to, ``(...)``, float32: what a learner of deterministic latents minimises (consistency).

        By default the mean squared error of the latent. A model of several members overrides it, so that each learns
        from its own error; a model whose learner has another loss (an RSSM's) does not need it.
        """
        return (self.latent(state).float() - latent.float()).square().mean(-1)

    def uncertainty(self, state: Tensor) -> Tensor:
        """How unsure the model is of predicted states ``(..., S)``: ``(...)``, not negative, in units of the latent,
        growing where it has not learned. Zero for models that do not know."""
        return torch.zeros(state.shape[:-1], device=state.device)
