"""Agent: a learner that makes decisions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smbrl.interfaces.part import Part

Mode = Literal["explore", "evaluate", "prior"]
"""explore: act in training; evaluate: deterministic policy; prior: sample from the pre-trained prior (warm-up)."""

Metrics = dict[str, Tensor]
"""Detached scalars; they stay tensors until they are logged."""


@dataclass(frozen=True)
class Compute:
    """Where and how a run computes; ``smbrl.nn.precision.resolve`` makes one from what the user asked for.

    Attributes:
        device: the learner's.
        dtype: of matrix products inside networks; weights, losses and distributions are float32 always.
        compile: whether updates and planning are compiled (or captured as CUDA graphs).
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    compile: bool = False


@dataclass(frozen=True)
class SkillWindows:
    """A batch of offline windows of N decisions of H env steps.

    Attributes:
        obs: raw observations ``(B, N*H + 1, O)``.
        actions: ``(B, N*H, A)``.
        mask: ``(B, N)``; 1 where all H steps of the decision are inside the episode. Decision 0 is always real.
    """

    obs: Tensor
    actions: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Windows:
    """A batch of replayed windows of N decisions.

    Attributes:
        obs: raw observations before each decision, and after the last ``(B, N + 1, O)``.
        decision: ``(B, N, Z)``.
        reward: undiscounted sum of env rewards during the decision ``(B, N)``.
        terminated: 1 where the MDP ended during the decision (a time-out is not one) ``(B, N)``.
        mask: 1 for real decisions, 0 past the episode's end ``(B, N)``. Decision 0 is always real.
        lower_bound: discounted return from this decision to a *terminated* episode's end, -inf where the
            episode was truncated: a bound from below on the optimal value in a deterministic MDP ``(B, N)``.
    """

    obs: Tensor
    decision: Tensor
    reward: Tensor
    terminated: Tensor
    mask: Tensor
    lower_bound: Tensor


class Agent(Part, nn.Module, ABC):
    """A learner: networks, optimisers, and how it acts.

    Constructor: ``(spec: TaskSpec, *, ...)``; nested parts come as gin references (classes), e.g.
    ``LatentMPC.encoder = @FourierEncoder``, and the agent builds them with the sizes it knows.
    Optimisers are created in the constructor; ``prepare`` is called once, before anything else is.

    Attributes:
        horizon: env steps that a decision lasts (1 for flat methods).
        decision: size Z of a decision.
        window: N, decisions in a replayed window.
        discount: per decision.
        pretrains: whether ``pretrain`` is to be called before learning online.
    """

    kind: ClassVar[str] = "agent"
    given: ClassVar[tuple[str, ...]] = ("spec",)
    horizon: int
    decision: int
    window: int
    discount: float
    pretrains: bool = False

    compute: Compute = Compute()

    @property
    def learning_only(self) -> tuple[str, ...]:
        """Beginnings of those names in ``state_dict()`` that are read while learning only, such as ``("target.",)``:
        neither acting nor imagining needs them, and ``smbrl export`` leaves them out."""
        return ()

    @property
    def offline_window(self) -> int:
        """N, decisions in a window that ``pretrain`` gets; override where it is not ``window``."""
        return self.window

    def prepare(self, compute: Compute) -> None:
        """Move to the run's device and take over its precision; an agent that is never prepared computes in
        float32 on the CPU."""
        self.compute = compute
        self.to(compute.device)

    # -- acting ------------------------------------------------------------------------------------
    @abstractmethod
    def initial_memory(self, envs: int) -> Tensor:
        """What is carried between decisions, first dimension ``envs`` (may have no elements)."""

    @abstractmethod
    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Decide: raw ``obs (E, O)``, ``memory (E, ...)`` -> ``decision (E, Z)``, memory. No gradient."""

    @abstractmethod
    def low_level(self, obs: NDArray[np.float32], decision: NDArray[np.float32]) -> NDArray[np.float32]:
        """Env actions while a decision lasts: ``(E, O), (E, Z) -> (E, A)``; the identity for flat methods."""

    # -- learning ----------------------------------------------------------------------------------
    def pretrain(self, windows: SkillWindows, generator: torch.Generator) -> Metrics:
        """One update on offline windows."""
        raise NotImplementedError(f"{type(self).__name__} does not pre-train")

    def validate(self, windows: SkillWindows, generator: torch.Generator) -> Metrics:
        """The losses of ``pretrain`` on held-out windows, without learning from them."""
        return {}

    def pretrain_key(self) -> dict[str, Any]:
        """JSON-able: everything the result of pre-training depends on, besides data, seed and budget. Two
        agents with equal keys can load each other's pre-trained state."""
        return {}

    def pretrained_state(self) -> dict[str, Tensor]:
        """The tensors that pre-training produced."""
        return {}

    def load_pretrained(self, state: dict[str, Tensor]) -> None:
        """Take them over."""

    def start_online(self) -> None:
        """Called once between pre-training and online learning: freeze the prior, fresh optimisers."""

    @abstractmethod
    def update(self, windows: Windows, generator: torch.Generator) -> Metrics:
        """One update of everything that learns online."""

    # -- checkpoints -------------------------------------------------------------------------------
    def training_state(self) -> dict[str, Any]:
        """Nested dict of tensors and plain JSON values that, with ``state_dict()``, restores the learner
        exactly: optimisers, counters. Empty by default."""
        return {}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``training_state``."""
