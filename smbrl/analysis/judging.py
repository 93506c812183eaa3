"""Evaluating a run that was read back: how good, how sure, and written down."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smbrl.analysis.imagines import JUDGES, Judges, can
from smbrl.analysis.subtasks import timelines
from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Mode, Progress, Windows
from smbrl.training import evaluations
from smbrl.training.evaluate import EvaluationResult, evaluate
from smbrl.training.load import LoadedRun
from smbrl.training.seeding import derive, generator


class PolicyOnly(Agent):
    """An agent that acts by its policy alone, whatever it plans with otherwise."""

    def __init__(self, agent: Agent) -> None:
        torch.nn.Module.__init__(self)
        if not can(agent, *JUDGES):
            raise SmbrlError(f"{type(agent).__name__} has no policy apart from how it acts: leave --policy out")
        self.agent = agent
        self.compute = agent.compute
        self.horizon, self.decision = agent.horizon, agent.decision
        self.window, self.discount = agent.window, agent.discount

    def initial_memory(self, envs: int) -> Tensor:
        """Nothing is carried on."""
        return torch.zeros(envs, 0)

    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The policy's mode."""
        return cast(Judges, self.agent).policy_mode(obs), memory

    def low_level(self, obs: NDArray[np.float32], decision: NDArray[np.float32]) -> NDArray[np.float32]:
        """The wrapped agent's."""
        return self.agent.low_level(obs, decision)

    def update(self, windows: Windows, generator: torch.Generator) -> dict[str, Tensor]:
        """It does not learn."""
        raise NotImplementedError("an agent that is being evaluated does not learn")


@dataclass(frozen=True)
class Judgement:
    """An evaluation and what it was an evaluation of.

    Attributes:
        result: the episodes.
        how: ``as trained`` (with its planner, if it has one) or ``policy`` (without).
        seed: of the episodes; None: the run's own final evaluation again.
        step: env steps of training.
        seconds: that it took.
        path: where it was written.
        picture: of when sub-tasks were completed; None where the task has none.
    """

    result: EvaluationResult
    how: str
    seed: int | None
    step: int
    seconds: float
    path: Path
    picture: Path | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the success rate (Wilson)."""
        return evaluations.interval(self.result)


def judge(
    run: LoadedRun,
    *,
    episodes: int,
    seed: int | None = None,
    policy: bool = False,
    envs: int = 10,
    progress: Progress | None = None,
) -> Judgement:
    """Evaluate the deterministic policy and write the result into the run's folder.

    Args:
        run: read back.
        episodes: how many.
        seed: of the episodes; None: the episodes of the run's final evaluation, the same numbers.
        policy: without the planner.
        envs: that act in lock-step.
        progress: told (finished, total).

    Raises:
        SmbrlError: the agent has no policy of its own.
    """
    if episodes < 1:
        raise SmbrlError(f"{episodes} episodes tell nothing: ask for at least 1")
    step = run.step if run.phase == "online" else 0
    agent = PolicyOnly(run.agent) if policy else run.agent
    own = run.experiment.seed
    began = time.monotonic()
    result = evaluate(
        agent,
        run.task,
        episodes=episodes,
        seed=derive(own, "final") if seed is None else derive(seed, "judge"),
        generator=generator(agent.compute.device, own if seed is None else seed, "final", step),
        envs=envs,
        step=step,
        progress=progress,
    )
    seconds = time.monotonic() - began
    how = evaluations.POLICY if policy else evaluations.TRAINED
    path = evaluations.write(run.folder.path, result, how=how, seed=seed, step=step, seconds=seconds)
    picture = None
    if result.subtasks and result.completed is not None:
        done = evaluations.Completions(result.subtasks, result.completed, result.lengths, step, how)
        picture = timelines(done, run.folder.plots / "subtasks.png", limit=run.task.spec.time_limit)
    return Judgement(result, how, seed, step, seconds, path, picture)
