"""Acting in lock-step, and evaluation."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from line_world import LIMIT, LineAgent, LineEnv, LineTask

from smbrl.errors import SmbrlError
from smbrl.training.checkpoint import flatten, restore
from smbrl.training.collect import Collector, Episode
from smbrl.training.evaluate import evaluate


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def collector(envs: int, task: LineTask | None = None) -> Collector:
    torch.manual_seed(0)
    task = task or LineTask()
    return Collector(task, LineAgent(task.spec), envs, seed=5)


def collect(made: Collector, rounds: int, rng: torch.Generator) -> tuple[int, list[Episode]]:
    steps, episodes = 0, []
    for _ in range(rounds):
        collected = made.advance(mode="explore", step=0, generator=rng)
        steps += collected.steps
        episodes += collected.episodes
    return steps, episodes


def test_an_episode_is_what_its_environment_did() -> None:
    """Played again alone, with the same seed and actions, each episode has the same observations and rewards."""
    made = collector(3)
    steps, episodes = collect(made, 40, generator())
    unfinished = sum(len(running.actions) for running in made._running)
    assert steps == unfinished + sum(episode.steps for episode in episodes)
    assert any(episode.terminated for episode in episodes)
    assert any(not episode.terminated for episode in episodes)
    for episode in episodes:
        env = LineEnv()
        seeds = [  # which environment and number it was is not recorded: its start says it
            seed
            for index in range(3)
            for number in range(40)
            for seed in [_seed(index, number)]
            if np.array_equal(env.reset(seed=seed)[0], episode.obs[0])
        ]
        obs, _ = env.reset(seed=seeds[0])
        seen, total = [obs], 0.0
        for count, action in enumerate(episode.actions, 1):
            obs, reward, terminated, truncated, info = env.step(action)
            total += reward
            if count % 3 == 0 or terminated or truncated:
                seen.append(obs)
        assert np.array_equal(np.stack(seen), episode.arrays()[0])
        assert (total, terminated, info["success"]) == (episode.total, episode.terminated, episode.success)
        assert terminated or episode.steps == LIMIT
        assert len(episode.decisions) == len(episode.rewards) == len(episode.obs) - 1 == -(-episode.steps // 3)


def _seed(index: int, number: int) -> int:
    from smbrl.training.seeding import derive

    return derive(5, "env", index, number) % 2**31


@pytest.mark.parametrize("rounds", [0, 1, 7, 23])
def test_a_restored_collector_goes_on_exactly(rounds: int) -> None:
    one, two = collector(3), collector(3)
    rng = generator()
    collect(one, rounds, rng)
    two.load_state(restore(*flatten(one.state())))
    other = torch.Generator()
    other.set_state(rng.get_state())
    (steps, mine), (steps_too, theirs) = collect(one, 30, rng), collect(two, 30, other)
    assert steps == steps_too
    assert len(mine) == len(theirs) > 0
    for a, b in zip(mine, theirs, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.arrays(), b.arrays(), strict=True))
        assert (a.success, a.terminated, a.steps) == (b.success, b.terminated, b.steps)


def test_an_environment_that_does_not_repeat_itself_is_named() -> None:
    class Moody(LineEnv):
        def step(self, action: np.ndarray) -> object:  # type: ignore[type-arg,override]
            self.x += 1e-3 * float(np.random.default_rng().normal())  # too little to reach a wall
            return super().step(action)

    class MoodyTask(LineTask):
        def make(self, render_mode: str | None = None) -> gymnasium.Env:  # type: ignore[type-arg]
            return Moody()

    one = collector(2, MoodyTask())
    collect(one, 2, generator())
    with pytest.raises(SmbrlError, match=r"environment \d does not repeat itself"):
        collector(2, MoodyTask()).load_state(one.state())


def test_another_number_of_environments_is_one_line() -> None:
    with pytest.raises(SmbrlError, match=r"has 2 environments, Online.envs is 3"):
        collector(3).load_state(collector(2).state())


def test_every_evaluation_episode_is_played_once_from_its_own_start() -> None:
    task = LineTask()
    torch.manual_seed(0)
    agent = LineAgent(task.spec)
    results = {
        envs: evaluate(agent, task, episodes=7, seed=1, generator=generator(), envs=envs, trajectories=True)
        for envs in (1, 3, 20)
    }
    for envs in (3, 20):
        assert results[envs].lengths.tolist() == results[1].lengths.tolist()
        assert results[envs].returns.tolist() == results[1].returns.tolist()
    one = results[1]
    assert one.trajectories is not None
    assert len({float(path[0, 0]) for path in one.trajectories}) == 7
    for path, length, success in zip(one.trajectories, one.lengths, one.successes, strict=True):
        assert len(path) == length + 1
        assert bool(path[-1, 0] > 2.0) == success
    assert one.metrics()["eval/success"] == one.successes.mean()


def test_evaluation_leaves_the_global_generators_alone() -> None:
    task = LineTask()
    agent = LineAgent(task.spec)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    evaluate(agent, task, episodes=2, seed=1, generator=generator())
    assert torch.equal(torch.rand(2), expected)
