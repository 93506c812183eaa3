"""Policy: a trained agent that acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Mode, TaskSpec
from smbrl.policy.views import Imagination, Skills, can

Floats = NDArray[np.float32]


class Policy:
    """A trained agent that acts: observations in, env actions out, one call per env step.

    It remembers what lasts longer than a step: the skill being played, a planner's last plan, a model's belief. So
    call ``reset`` whenever an episode begins. Observations are raw, in the units of the environment.

    Args:
        agent: with its weights, prepared.
        about: where it comes from: the content of ``spec.json``.
        seed: of what is random in acting.

    Attributes:
        agent: itself.
        about: see above.
        spec: shapes and conventions of the task.
        horizon: env steps that a decision (a skill) lasts; 1 for flat methods.
        step: env steps of training, which planners' schedules go by.
        generator: the only source of randomness.
        skills: what its decisions are; None where they are env actions, or skills without data behind them.
        dynamics: its model of the world; None where it has none.
    """

    def __init__(self, agent: Agent, about: Mapping[str, Any], *, seed: int = 0) -> None:
        self.agent = agent
        self.about = dict(about)
        self.horizon = agent.horizon
        self.spec: TaskSpec = task_spec(about)
        self.step = int(about["step"]) if about["phase"] == "online" else 0
        self.device = agent.compute.device
        self.generator = torch.Generator(device=self.device)
        self.generator.manual_seed(seed)
        self.skills = Skills.of(agent)
        self.dynamics = Imagination.of(agent)
        self._memory: Tensor | None = None
        self._decision: Floats = np.zeros((0, agent.decision), np.float32)
        self._left: NDArray[np.int64] = np.zeros(0, np.int64)  # env steps that each decision still lasts

    def __repr__(self) -> str:
        about = self.about
        return f"<Policy {about.get('method', '?')} of {about.get('task', '?')}, {about['phase']} step {about['step']}>"

    @property
    def decision(self) -> Floats:
        """What is being played: the skills (or env actions) decided last ``(E, Z)``."""
        return self._decision.copy()

    def reset(self, rows: Sequence[int] | NDArray[Any] | None = None, *, seed: int | None = None) -> None:
        """Episodes begin.

        Args:
            rows: which of the environments that it acts in (numbers or a mask); None: all of them, and there may be
                another number of them from now on.
            seed: for the randomness from here on; None goes on with it.
        """
        if seed is not None:
            self.generator.manual_seed(seed)
        if rows is None or self._memory is None:
            self._memory = None
            return
        chosen = np.arange(len(self._left))[np.asarray(rows)]
        fresh = self.agent.initial_memory(len(self._left)).to(self.device)
        self._memory[torch.from_numpy(chosen).to(self.device)] = fresh[: len(chosen)]
        self._left[chosen] = 0

    def act(self, observation: ArrayLike | Tensor, *, mode: Mode = "evaluate") -> Floats:
        """Act for one environment or several.

        Args:
            observation: ``(O,)``, or ``(E, O)`` for E environments at once (the same ones at every call until
                ``reset``).
            mode: ``evaluate`` acts deterministically, as the run was evaluated; ``explore`` as in training; ``prior``
                samples the skill prior.

        Returns:
            Env actions in [-1, 1], ``(A,)`` or ``(E, A)``, float32.

        Raises:
            SmbrlError: the observation's shape is another, or it is not finite.
        """
        obs = self._observations(observation)
        rows = np.atleast_2d(obs)
        if self._memory is None:
            self._memory = self.agent.initial_memory(len(rows)).to(self.device)
            self._decision = np.zeros((len(rows), self.agent.decision), np.float32)
            self._left = np.zeros(len(rows), np.int64)
        elif len(rows) != len(self._left):
            raise SmbrlError(
                f"the policy acts in {len(self._left)} environments and was given {len(rows)} observations: "
                "call reset() before acting in another number of them"
            )
        due = np.flatnonzero(self._left == 0)
        if len(due):
            self._decide(rows, due, mode)
        actions = self.agent.low_level(rows, self._decision).copy()  # a flat agent's are the decision itself
        self._left -= 1
        return actions.reshape(*obs.shape[:-1], -1)

    def _decide(self, rows: Floats, due: NDArray[np.int64], mode: Mode) -> None:
        assert self._memory is not None
        index = torch.from_numpy(due).to(self.device)
        decision, after = self.agent.act(
            torch.from_numpy(rows[due]).to(self.device),
            self._memory[index],
            mode=mode,
            step=self.step,
            generator=self.generator,
        )
        self._memory = self._memory.clone()
        self._memory[index] = after
        self._decision[due] = decision.cpu().numpy()
        self._left[due] = self.horizon

    def value(self, observation: ArrayLike | Tensor) -> Floats:
        """What the policy expects to collect from here, discounted, in the learner's units: ``(..., O) -> (...)``.

        Raises:
            SmbrlError: the method has no value of observations.
        """
        if not can(self.agent, "state_value"):
            raise SmbrlError(f"{type(self.agent).__name__} has no value of observations")
        obs = torch.from_numpy(self._observations(observation, least=1, most=9)).to(self.device)
        value: Tensor = self.agent.state_value(obs)  # type: ignore[operator]
        return value.float().cpu().numpy()

    def _observations(self, observation: ArrayLike | Tensor, least: int = 1, most: int = 2) -> Floats:
        raw = observation.detach().cpu().numpy() if isinstance(observation, Tensor) else observation
        obs = np.ascontiguousarray(raw, np.float32)
        size = self.spec.observation
        if not least <= obs.ndim <= most or obs.shape[-1] != size:
            raise SmbrlError(f"the observation has shape {obs.shape}; expected ({size},), or (E, {size}) for several")
        if not np.isfinite(obs).all():
            raise SmbrlError("the observation is not finite: it has NaN or infinite elements")
        return obs


def task_spec(about: Mapping[str, Any]) -> TaskSpec:
    """The task's shapes and conventions, from the content of ``spec.json``."""
    raw: Mapping[str, Any] = about["task_spec"]
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
    return TaskSpec(**values)
