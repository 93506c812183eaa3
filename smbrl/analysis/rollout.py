"""One episode with everything written down: for pictures, videos and comparisons with imagination."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from smbrl.interfaces import Agent, Mode
from smbrl.training.seeding import derive, generator, untouched_globals

Floats = NDArray[np.float32]
Watch = Callable[[int, float, Mapping[str, int]], None]
"""Called with env steps so far, return so far, and the env steps after which each completed sub-task was."""


@dataclass(frozen=True)
class Trace:
    """An episode of T env steps and D decisions of H steps each (the last may be cut short).

    Attributes:
        obs: ``(T + 1, O)``.
        actions: ``(T, A)``.
        decisions: ``(D, Z)``; decision d was made at ``obs[d * horizon]``.
        rewards: ``(T,)``.
        success: whether the task was solved.
        horizon: H.
        seed: that the episode was reset with.
        completed: the env steps after which each completed sub-task was, in the order of time.
    """

    obs: Floats
    actions: Floats
    decisions: Floats
    rewards: NDArray[np.float64]
    success: bool
    horizon: int
    seed: int
    completed: Mapping[str, int] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """T."""
        return len(self.actions)


def episode_seed(seed: int, episode: int) -> int:
    """The reset seed of an episode: the one ``smbrl.training.evaluate`` uses, so a video shows what was counted."""
    return derive(seed, "episode", episode) % 2**31


def trace(
    agent: Agent,
    env: gymnasium.Env[Any, Any],
    *,
    seed: int,
    mode: Mode = "evaluate",
    step: int = 0,
    limit: int | None = None,
    watch: Watch | None = None,
) -> Trace:
    """Play one episode.

    Args:
        agent: acts.
        env: is reset with ``seed``; stays open.
        seed: of the episode and of the agent's own randomness.
        mode: how to act.
        step: env steps of training, for the agent's schedules.
        limit: env steps after which to stop.
        watch: called after the reset and after every env step.
    """
    device = agent.compute.device
    stream = generator(device, seed, "trace")
    with untouched_globals():
        first, _ = env.reset(seed=seed)
        obs: list[Floats] = [np.asarray(first, np.float32).copy()]
        actions: list[Floats] = []
        decisions: list[Floats] = []
        rewards: list[float] = []
        memory = agent.initial_memory(1).to(device)
        completed: dict[str, int] = {}
        success = over = False
        if watch:
            watch(0, 0.0, completed)
        while not over:
            now = torch.from_numpy(obs[-1][None]).to(device)
            decision, memory = agent.act(now, memory, mode=mode, step=step, generator=stream)
            chosen = decision.detach().float().cpu().numpy()
            decisions.append(chosen[0].copy())
            for _ in range(agent.horizon):
                action = agent.low_level(obs[-1][None], chosen)[0].copy()
                after, reward, terminated, truncated, info = env.step(action)
                obs.append(np.asarray(after, np.float32).copy())
                actions.append(action)
                rewards.append(float(reward))
                success = success or bool(info.get("success", False))
                for name in info.get("subtasks", ()):
                    completed.setdefault(name, len(actions))
                if watch:
                    watch(len(actions), sum(rewards), completed)
                over = bool(terminated or truncated) or (limit is not None and len(actions) >= limit)
                if over:
                    break
    return Trace(
        np.stack(obs),
        np.stack(actions),
        np.stack(decisions),
        np.asarray(rewards),
        success,
        agent.horizon,
        seed,
        completed,
    )
