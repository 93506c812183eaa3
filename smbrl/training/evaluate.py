"""Evaluation: how good the deterministic policy is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smbrl.interfaces import Agent, Progress, Task
from smbrl.training.seeding import derive, untouched_globals


@dataclass(frozen=True)
class EvaluationResult:
    """Episodes in the order of their seeds.

    Attributes:
        returns: undiscounted.
        lengths: env steps.
        successes: whether the task was solved.
        subtasks: of the task; empty where it has none.
        completed: env steps after which each sub-task was completed, -1: never, ``(episodes, sub-tasks)``.
        trajectories: observations of each episode ``(length + 1, O)``, where they were asked for.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.bool_]
    trajectories: list[NDArray[np.float32]] | None = None
    subtasks: tuple[str, ...] = ()
    completed: NDArray[np.int64] | None = None

    @property
    def success(self) -> float:
        """Success rate."""
        return float(self.successes.mean()) if len(self.successes) else float("nan")

    def metrics(self, phase: str = "eval") -> dict[str, float]:
        """Means, for the log."""
        found = {
            f"{phase}/success": self.success,
            f"{phase}/return": float(self.returns.mean()),
            f"{phase}/length": float(self.lengths.mean()),
            f"{phase}/episodes": float(len(self.returns)),
        }
        if self.completed is not None and self.subtasks:
            done = self.completed >= 0
            found[f"{phase}/subtasks"] = float(done.sum(1).mean())
            found |= {
                f"{phase}/subtask/{name.replace(' ', '_')}": float(share)
                for name, share in zip(self.subtasks, done.mean(0), strict=True)
            }
        return found


def evaluate(
    agent: Agent,
    task: Task,
    *,
    episodes: int,
    seed: int,
    generator: torch.Generator,
    envs: int = 10,
    step: int = 0,
    trajectories: bool = False,
    progress: Progress | None = None,
    pause: Callable[[], None] | None = None,
) -> EvaluationResult:
    """Play episodes with the deterministic policy, several at a time.

    Args:
        agent: acts in mode ``evaluate``.
        task: makes the environments.
        episodes: how many; episode i starts from a seed made of ``seed`` and i, whatever ``envs`` is.
        seed: of the episodes.
        generator: for what is random in the agent although the policy is not (a planner's samples).
        envs: that act in lock-step.
        step: env steps of the run so far, for the agent's schedules.
        trajectories: keep every observation.
        progress: called with (finished, total).
        pause: called between decisions; it may raise to break off.
    """
    with untouched_globals():
        return _Evaluation(agent, task, episodes, seed, min(envs, episodes), trajectories).play(
            generator, step, progress, pause
        )


class _Evaluation:
    def __init__(self, agent: Agent, task: Task, episodes: int, seed: int, envs: int, trajectories: bool) -> None:
        self.agent, self.seed, self.episodes, self.subtasks = agent, seed, episodes, task.subtasks
        self.envs = [task.make() for _ in range(envs)]
        self.playing = list(range(envs))  # environments still at work
        self.episode = list(range(envs))  # what each of them plays
        self.next = envs
        self.returns = np.zeros(episodes)
        self.lengths = np.zeros(episodes, np.int64)
        self.successes = np.zeros(episodes, bool)
        self.completed = np.full((episodes, len(self.subtasks)), -1, np.int64)
        self.paths: list[list[NDArray[np.float32]]] | None = [[] for _ in range(episodes)] if trajectories else None
        self.obs = np.zeros((envs, task.spec.observation), np.float32)

    def reset(self, index: int) -> None:
        seed = derive(self.seed, "episode", self.episode[index]) % 2**31
        self.obs[index], _ = self.envs[index].reset(seed=seed)
        if self.paths is not None:
            self.paths[self.episode[index]].append(self.obs[index].copy())

    def play(
        self,
        generator: torch.Generator,
        step: int,
        progress: Progress | None,
        pause: Callable[[], None] | None,
    ) -> EvaluationResult:
        agent = self.agent
        device = agent.compute.device
        memory = agent.initial_memory(len(self.envs)).to(device)
        for index in range(len(self.envs)):
            self.reset(index)
        try:
            while self.playing:
                if pause is not None:
                    pause()
                rows = torch.tensor(self.playing, device=device)
                decision, after = agent.act(
                    torch.from_numpy(self.obs[self.playing]).to(device),
                    memory[rows],
                    mode="evaluate",
                    step=step,
                    generator=generator,
                )
                memory = memory.clone()
                memory[rows] = after
                ended = self.hold(decision.cpu().numpy())
                for index in ended:
                    if self.next < self.episodes:
                        self.episode[index] = self.next
                        self.next += 1
                        self.reset(index)
                        memory[index] = agent.initial_memory(1)[0].to(device)
                    else:
                        self.playing.remove(index)
                if ended and progress is not None:
                    progress(self.next - len(self.playing), self.episodes)
        finally:
            for env in self.envs:
                env.close()
        paths = None if self.paths is None else [np.stack(path) for path in self.paths]
        return EvaluationResult(self.returns, self.lengths, self.successes, paths, self.subtasks, self.completed)

    def hold(self, decision: NDArray[np.float32]) -> list[int]:
        """Act out one decision; which environments ended."""
        rows = {index: row for row, index in enumerate(self.playing)}
        active, ended = list(self.playing), []
        for _ in range(self.agent.horizon):
            actions = self.agent.low_level(self.obs[self.playing], decision)
            for index in list(active):
                episode = self.episode[index]
                obs, reward, terminated, truncated, info = self.envs[index].step(actions[rows[index]].copy())
                self.obs[index] = obs
                self.returns[episode] += float(reward)
                self.lengths[episode] += 1
                self.successes[episode] |= bool(info.get("success", False))
                for name in info.get("subtasks", ()) if self.subtasks else ():
                    number = self.subtasks.index(name)
                    if self.completed[episode, number] < 0:
                        self.completed[episode, number] = self.lengths[episode]
                if self.paths is not None:
                    self.paths[episode].append(self.obs[index].copy())
                if terminated or truncated:
                    active.remove(index)
                    ended.append(index)
            if not active:
                break
        return sorted(ended)
