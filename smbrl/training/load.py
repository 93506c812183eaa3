"""A run read back: to evaluate it, record it, draw it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from smbrl import config
from smbrl.data.replay import DecisionReplay
from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Task
from smbrl.training import online
from smbrl.training.agent_state import load_agent_state
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder


@dataclass(frozen=True)
class LoadedRun:
    """A run as its last whole checkpoint has it.

    Attributes:
        experiment: rebuilt from the run's configuration.
        task, agent: of it; the agent as trained.
        folder: of the run.
        phase: in which the checkpoint was written: ``pretrain`` or ``online``.
        step: how far the phase was.
        replay_observations: where decisions were made, raw observations, oldest first ``(decisions, O)``; empty
            before online learning.
    """

    experiment: Experiment
    task: Task
    agent: Agent
    folder: RunFolder
    phase: str
    step: int
    replay_observations: Tensor


def load_run(run: Path | str | RunFolder, device: str | None = None) -> LoadedRun:
    """Read a run.

    Args:
        run: its folder, its name, or ``last``.
        device: instead of the one it was trained on (which is taken where this machine has it).

    Raises:
        SmbrlError: there is no such run, or it has no checkpoint yet.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.find(str(run))
    checkpoint = folder.checkpoints().latest()
    if checkpoint is None:
        raise SmbrlError(f"run {folder.name} has no checkpoint yet: start it again with smbrl resume {folder.name}")
    overrides = [f"Experiment.device={device or _place(folder)!r}"]
    experiment = config.load_text(folder.config, overrides, label=str(folder.path / "config.gin")).build()
    agent = experiment.agent
    state = checkpoint.state["phase"]
    size = experiment.task.spec.observation
    observations = torch.zeros(0, size)
    if checkpoint.phase == online.PHASE:
        agent.start_online()
    load_agent_state(agent, state, learning=False)
    if checkpoint.phase == online.PHASE:
        observations = DecisionReplay.observations_in(state["replay"], size)
    return LoadedRun(experiment, experiment.task, agent, folder, checkpoint.phase, checkpoint.step, observations)


def _place(folder: RunFolder) -> str:
    trained = str(folder.info().get("device", "cpu"))
    return trained if trained == "cpu" or torch.cuda.is_available() else "cpu"
