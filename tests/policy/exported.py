"""Runs of any method that have just begun, and what their own agents do, for tests of exported policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smbrl import config
from smbrl.exporting import write
from smbrl.interfaces import Agent, TaskSpec
from smbrl.training.run import begin

Floats = NDArray[np.float32]
STEP = 400_000
"""Env steps of training; enough for every schedule, and for DADS to plan."""
SEED = 5


def exported(tmp_path: Path, files: Sequence[str], overrides: Sequence[str] = ()) -> tuple[Path, Agent, TaskSpec]:
    """A folder with the policy of an agent whose weights are random, and the agent."""
    loaded = config.load(files, [*overrides, "Experiment.device='cpu'"])
    experiment = loaded.build()
    folder = begin(tmp_path / "run", experiment, loaded.text, {"gin": list(files), "overrides": list(overrides)})
    agent = experiment.agent
    agent.start_online()
    stir(agent)
    path = tmp_path / "policy"
    write(path, folder, agent, experiment.task.spec, phase="online", step=STEP)
    return path, agent, experiment.task.spec


def stir(agent: Agent) -> None:
    """Move every tensor, as training would have done."""
    noise = torch.Generator().manual_seed(1)
    state, learned = agent.state_dict(), dict(agent.named_parameters())
    for name, value in state.items():
        if name in learned:
            value += 0.02 * torch.randn(value.shape, generator=noise)
        elif value.is_floating_point():
            value *= 1.0 + 0.1 * torch.rand(value.shape, generator=noise)  # a variance stays one
        elif name.endswith("count"):
            value += 1
    agent.load_state_dict(state)


def observations(spec: TaskSpec, steps: int, envs: int) -> Floats:
    """Random, ``(steps, envs, O)``, of about the size that normalisation expects."""
    rng = np.random.default_rng(0)
    scale, shift = np.array(spec.scale), np.array(spec.shift)
    return ((rng.normal(size=(steps, envs, spec.observation)) - shift) / scale).astype(np.float32)


def played(agent: Agent, seen: Floats, seed: int = SEED) -> Floats:
    """What the agent does in lock-step decisions, as an evaluation has it: ``(steps, envs, O) -> (steps, envs, A)``."""
    generator = torch.Generator().manual_seed(seed)
    memory = agent.initial_memory(seen.shape[1])
    actions: list[Any] = []
    for number, obs in enumerate(seen):
        if number % agent.horizon == 0:
            decision, memory = agent.act(torch.from_numpy(obs), memory, mode="evaluate", step=STEP, generator=generator)
        actions.append(agent.low_level(obs, decision.numpy()))
    return np.stack(actions)
