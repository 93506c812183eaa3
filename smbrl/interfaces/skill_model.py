"""SkillModel: what a skill is, how it is inferred from data, and how it acts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smbrl.interfaces.distributions import TanhNormal
from smbrl.interfaces.part import Part


class SkillLosses(NamedTuple):
    """What ``SkillModel.loss`` returns.

    Attributes:
        total: scalar to minimise.
        skill: reparameterised posterior samples (..., Z), with gradient: what joint training feeds to the
            skill dynamics.
        posterior: the distribution they came from.
        metrics: detached scalars for the log.
    """

    total: Tensor
    skill: Tensor
    posterior: TanhNormal
    metrics: dict[str, Tensor]


class SkillModel(Part, nn.Module, ABC):
    """Skills z in (-1, 1)^Z of H env steps: q(z | s, a) and pi_L(a | s, z) of the paper (section 3.2).

    Constructor: ``(spec: TaskSpec, *, ...)``.

    Attributes:
        skill: size Z of a skill.
        horizon: H, env steps that a skill lasts.
    """

    kind: ClassVar[str] = "skill_model"
    given: ClassVar[tuple[str, ...]] = ("spec",)
    skill: int
    horizon: int

    @abstractmethod
    def posterior(self, obs: Tensor, actions: Tensor) -> TanhNormal:
        """``obs (..., H, O), actions (..., H, A) -> q(z | s, a)`` over ``(..., Z)``."""

    @abstractmethod
    def act(self, obs: Tensor, skill: Tensor) -> Tensor:
        """The low-level policy's mode: ``obs (..., O), skill (..., Z) -> action (..., A)`` in [-1, 1]."""

    @abstractmethod
    def loss(self, obs: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> SkillLosses:
        """L_VAE of the paper for ``obs (B, N, H, O), actions (B, N, H, A), mask (B, N)`` (1 = a real skill).

        Posterior samples are drawn from ``generator`` only.
        """

    def prior_network(self) -> nn.Module | None:
        """p(z | s) where the skill model has a prior of its own (SPiRL): a network from raw observations
        ``(..., O)`` to a ``TanhNormal`` over ``(..., Z)``, which a policy can start as a copy of. None where, as in
        SkiMo, the agent's policy head on the agent's encoder is the prior."""
        return None

    def prior(self, obs: Tensor) -> TanhNormal | None:
        """What ``prior_network`` says, None where there is none."""
        network = self.prior_network()
        return None if network is None else network(obs)

    def fast_policy(self) -> FastPolicy | None:
        """``act`` for the frozen model on the CPU as plain numpy, for single states where torch's overhead
        dominates; None to use ``act``. Same numbers to 1e-5."""
        return None


class FastPolicy(ABC):
    """A frozen low-level policy: ``(E, O), (E, Z) -> (E, A)``, float32 arrays."""

    @abstractmethod
    def __call__(self, obs: NDArray[np.float32], skill: NDArray[np.float32]) -> NDArray[np.float32]:
        """Act for E environments at once."""
