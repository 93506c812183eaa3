"""What learners share that decide in skills, or in env actions where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from smbrl_plugins.agents.offline import Offline
from torch import Tensor, nn

from smbrl.interfaces import Agent, FastPolicy, Metrics, SkillModel, SkillWindows, TanhNormal, TaskSpec
from smbrl.nn.optim import Optimiser
from smbrl.nn.precision import autocast


class SkillAgent(Agent):
    """Low level, pre-training and checkpoints; the learner on top says how decisions are made and improved.

    The constructor of a learner calls ``decide_in`` first, and sets ``offline`` and ``optimisers`` at its end.

    Attributes:
        skills: what a decision is; None for env actions.
        offline: what is learned before acting; None for nothing.
        optimisers: by name; the one of pre-training too.
    """

    skills: SkillModel | None
    offline: Offline | None
    optimisers: dict[str, Optimiser]

    def decide_in(self, skills: type[SkillModel] | None, spec: TaskSpec) -> None:
        """Build the skills, and know what a decision is."""
        nn.Module.__init__(self)
        self.spec = spec
        self.skills = None if skills is None else skills(spec)
        self.pretrains = self.skills is not None
        self.horizon = 1 if self.skills is None else self.skills.horizon
        self.decision = spec.action if self.skills is None else self.skills.skill
        self._online = self.skills is None
        self._count = 0  # updates of the phase
        self._fast: FastPolicy | None = None
        self.register_load_state_dict_post_hook(_forget_fast_policy)  # type: ignore[no-untyped-call]

    @property
    def offline_window(self) -> int:
        """See the contract."""
        return self.window if self.offline is None else self.offline.window

    def low_level(self, obs: NDArray[np.float32], decision: NDArray[np.float32]) -> NDArray[np.float32]:
        """The skill policy, as numpy where the skill model has that; flat: the decision itself."""
        if self.skills is None:
            return decision
        if self._fast is None:
            self._fast = self.skills.fast_policy() or _TorchPolicy(self.skills)
        return self._fast(obs, decision)

    @torch.no_grad()
    def skill_prior(self, obs: Tensor) -> TanhNormal:
        """p(z | s) of raw observations ``(..., O)``, over ``(..., Z)``.

        Raises:
            NotImplementedError: decisions are env actions.
        """
        if self.offline is None:
            raise NotImplementedError("an agent without skills has no prior over them")
        with autocast(self.compute):
            return self.offline.prior(obs)

    # -- pre-training ------------------------------------------------------------------------------
    def pretrain(self, windows: SkillWindows, generator: torch.Generator) -> Metrics:
        """See the contract."""
        assert self.offline is not None
        metrics = self.offline.pretrain(windows, generator, self.compute, self._count)
        self._count += 1
        self._fast = None
        return metrics

    @torch.no_grad()
    def validate(self, windows: SkillWindows, generator: torch.Generator) -> Metrics:
        """See the contract."""
        assert self.offline is not None
        with autocast(self.compute):
            return self.offline.loss(windows, generator)[1]

    def pretrain_key(self) -> dict[str, Any]:
        """See the contract; equal for every learner that stands on the same pre-training."""
        key = {} if self.offline is None else self.offline.key()
        return {**key, "precision": str(self.compute.dtype).removeprefix("torch.")}

    def pretrained_state(self) -> dict[str, Tensor]:
        """The networks that pre-training moves."""
        return {} if self.offline is None else self.offline.state()

    def load_pretrained(self, state: dict[str, Tensor]) -> None:
        """See the contract.

        Raises:
            SmbrlError: the state is that of something else.
        """
        if self.offline is not None:
            self.offline.load(state)
        self._fast = None

    def start_online(self) -> None:
        """Fresh optimisers; the low level stays as it is."""
        for optimiser in self.optimisers.values():
            optimiser.reset()
        self._online = True
        self._count = 0

    # -- checkpoints -------------------------------------------------------------------------------
    def training_state(self) -> dict[str, Any]:
        """Optimisers, counter, phase."""
        states = {name: optimiser.state() for name, optimiser in self.optimisers.items()}
        return {"optimisers": states, "count": self._count, "online": self._online}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``training_state``."""
        for name, optimiser in self.optimisers.items():
            optimiser.load_state(state["optimisers"].get(name, {}))
        self._count = int(state["count"])
        self._online = bool(state["online"])
        self._fast = None


def _forget_fast_policy(agent: nn.Module, _: object) -> None:
    agent._fast = None  # type: ignore[assignment]


class _TorchPolicy(FastPolicy):
    """The skill model's own ``act``, for models that have no numpy path."""

    def __init__(self, skills: SkillModel) -> None:
        self.skills = skills

    @torch.no_grad()
    def __call__(self, obs: NDArray[np.float32], skill: NDArray[np.float32]) -> NDArray[np.float32]:
        device = next(self.skills.parameters()).device
        action = self.skills.act(torch.from_numpy(obs).to(device), torch.from_numpy(skill).to(device))
        return action.float().cpu().numpy()
