"""Acting: environments in lock-step decisions.

All environments start a decision together. One that ends in the middle of a decision waits and is reset when the
decision is over, so the agent always decides for all of them at once.

Every episode is reset with a seed made of the run's seed, the environment's number and the episode's number, and an
environment is deterministic given that seed and the actions. So a checkpoint holds the actions of the unfinished
episodes, and resuming plays them again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Mode, Task
from smbrl.training.seeding import derive

Floats = NDArray[np.float32]


@dataclass
class Episode:
    """A finished (or running) episode of T decisions.

    Attributes:
        obs: before each decision, and after the last: T + 1 arrays ``(O,)``.
        decisions: T arrays ``(Z,)``.
        rewards: sums of env rewards during each decision.
        actions: env actions ``(A,)``, one per env step.
        terminated: the MDP ended (False: the time ran out).
        success: the task was solved.
        subtasks: completed so far, where the task has any.
    """

    obs: list[Floats]
    decisions: list[Floats] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    actions: list[Floats] = field(default_factory=list)
    terminated: bool = False
    success: bool = False
    subtasks: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Env steps."""
        return len(self.actions)

    @property
    def total(self) -> float:
        """Undiscounted return."""
        return float(sum(self.rewards))

    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Observations ``(T + 1, O)``, decisions ``(T, Z)``, rewards ``(T,)``."""
        return np.stack(self.obs), np.stack(self.decisions), np.asarray(self.rewards, np.float32)


@dataclass(frozen=True)
class Collected:
    """What one decision of all environments brought: env steps taken, episodes that ended."""

    steps: int
    episodes: list[Episode]


class Collector:
    """Acts in several environments at once.

    Args:
        task: makes the environments.
        agent: decides.
        envs: how many.
        seed: of the run (see above).
    """

    def __init__(self, task: Task, agent: Agent, envs: int, seed: int) -> None:
        self.agent = agent
        self.seed = seed
        self._parts = bool(task.subtasks)
        self._envs = [task.make() for _ in range(envs)]
        self._device = agent.compute.device
        self._numbers = [0] * envs  # of the running episodes
        self._obs = np.zeros((envs, task.spec.observation), np.float32)
        self._running = [Episode([self._reset(index)]) for index in range(envs)]
        self._memory = self._fresh(envs)

    def _fresh(self, envs: int) -> Tensor:
        return self.agent.initial_memory(envs).to(self._device)

    def _reset(self, index: int) -> Floats:
        seed = derive(self.seed, "env", index, self._numbers[index]) % 2**31  # some environments take only so much
        obs, _ = self._envs[index].reset(seed=seed)
        self._obs[index] = obs
        row: Floats = self._obs[index].copy()
        return row

    def advance(self, *, mode: Mode, step: int, generator: torch.Generator) -> Collected:
        """One decision in every environment.

        Args:
            mode: how the agent acts.
            step: env steps of the run so far, for the agent's schedules.
            generator: the agent's only source of randomness.
        """
        agent, observations = self.agent, self._obs
        decision, memory = agent.act(
            torch.from_numpy(observations).to(self._device, copy=True),
            self._memory,
            mode=mode,
            step=step,
            generator=generator,
        )
        chosen = decision.detach().cpu().numpy()
        active = list(range(len(self._envs)))
        rewards = [0.0] * len(active)
        ended: list[int] = []
        steps = 0
        for _ in range(agent.horizon):
            actions = agent.low_level(observations, chosen)
            still = []
            for index in active:
                action = actions[index].copy()
                obs, reward, terminated, truncated, info = self._envs[index].step(action)
                running = self._running[index]
                running.actions.append(action)
                observations[index] = obs
                rewards[index] += float(reward)
                if info.get("success", False):
                    running.success = True
                if self._parts:
                    running.subtasks = tuple(info["subtasks"])
                if terminated or truncated:
                    running.terminated = bool(terminated)
                    ended.append(index)
                else:
                    still.append(index)
            steps += len(active)
            active = still
            if not active:
                break
        finished = []
        for index, running in enumerate(self._running):
            running.decisions.append(chosen[index].copy())
            running.rewards.append(rewards[index])
            running.obs.append(observations[index].copy())
        if ended:
            memory = memory.clone()
            fresh = self._fresh(len(self._envs))
        for index in sorted(ended):
            finished.append(self._running[index])
            self._numbers[index] += 1
            self._running[index] = Episode([self._reset(index)])
            memory[index] = fresh[index]
        self._memory = memory
        return Collected(steps, finished)

    # -- checkpoints -------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """The unfinished episodes."""
        return {
            "memory": self._memory,
            "episodes": [
                {
                    "number": number,
                    "obs": torch.from_numpy(np.stack(running.obs)),
                    "decisions": _stacked(running.decisions),
                    "rewards": list(running.rewards),
                    "actions": _stacked(running.actions),
                    "success": running.success,
                }
                for number, running in zip(self._numbers, self._running, strict=True)
            ],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Play the unfinished episodes again up to where they were.

        Raises:
            SmbrlError: an environment went another way than before.
        """
        if len(state["episodes"]) != len(self._envs):
            raise SmbrlError(
                f"the checkpoint has {len(state['episodes'])} environments, Online.envs is {len(self._envs)}"
            )
        for index, saved in enumerate(state["episodes"]):
            self._numbers[index] = int(saved["number"])
            self._reset(index)
            actions = list(saved["actions"].numpy().copy())
            info: dict[str, Any] = {}
            for action in actions:
                obs, *_, info = self._envs[index].step(action)
                self._obs[index] = obs
            seen = list(saved["obs"].numpy().copy())
            if not np.array_equal(seen[-1], self._obs[index]):
                raise SmbrlError(
                    f"environment {index} does not repeat itself: after a reset with the same seed and the same "
                    f"{len(actions)} actions it is elsewhere; it must take all its randomness from the reset's seed"
                )
            self._running[index] = Episode(
                seen,
                list(saved["decisions"].numpy().copy()),
                list(saved["rewards"]),
                actions,
                success=bool(saved["success"]),
                subtasks=tuple(info["subtasks"]) if self._parts and info else (),
            )
        self._memory = state["memory"].to(self._device)

    def close(self) -> None:
        """Let the environments go."""
        for env in self._envs:
            env.close()


def _stacked(arrays: list[Floats]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)) if arrays else torch.zeros(0, 0)
