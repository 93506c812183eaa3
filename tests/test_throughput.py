"""smbrl bench --envs: env steps per second of one environment, several, and processes side by side."""

import os

import gymnasium
import numpy as np
import pytest

from smbrl.errors import SmbrlError
from smbrl.interfaces import Task, TaskSpec
from smbrl.throughput import Throughput, measure, named, scaling, step_all


class CountingEnv(gymnasium.Env):
    """Episodes of seven steps; ``mood`` says what is wrong with it."""

    def __init__(self, mood=""):
        self.mood, self.steps, self.resets = mood, 0, 0

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.mood == "dies":
            os._exit(3)
        if self.mood == "fails":
            raise RuntimeError("no such wall")
        return np.zeros(2, np.float32), 0.0, False, self.steps % 7 == 0, {}


class Counting(Task):
    def __init__(self, mood: str = ""):
        self.mood = mood

    @property
    def spec(self):
        return TaskSpec.plain(2, 2)

    def make(self, render_mode=None):
        return CountingEnv(self.mood)


def test_environments_take_turns_and_are_reset():
    fleet = [CountingEnv() for _ in range(3)]
    steps, clock, processor = step_all(fleet, np.zeros((10, 2), np.float32), 0.02)
    assert sum(env.steps for env in fleet) == steps
    assert len({env.steps for env in fleet}) == 1
    assert all(env.resets == env.steps // 7 for env in fleet)
    assert clock >= 0.02
    assert processor <= clock + 0.02


def test_what_processes_did_adds_up():
    found = Throughput(2, 1, (100, 300), (2.0, 2.0), (1.0, 1.0))
    assert (found.rate, found.per_core, found.share) == (200.0, 200.0, 0.5)
    assert found.busy
    assert not Throughput(1, 1, (100,), (2.0,), (1.95,)).busy
    assert named(1, 16) == "16 environments, 1 process"
    assert named(2, 1) == "1 environment in each of 2 processes"


def test_processes_step_at_the_same_time():
    told = []
    found = scaling(Counting(), 0.1, envs=3, processes=2, tell=told.append)
    assert [(row.processes, row.envs) for row in found] == [(1, 1), (1, 3), (2, 1)]
    assert told == [named(row.processes, row.envs) for row in found]
    assert all(len(row.steps) == row.processes and min(row.steps) > 0 for row in found)
    assert found[1].steps[0] % 3 == 0
    assert all(0.1 <= seconds < 5 for row in found for seconds in row.seconds)


@pytest.mark.parametrize(
    ("mood", "says"), [("fails", "fails: RuntimeError: no such wall"), ("dies", "process .* died")]
)
def test_an_environment_that_fails_is_one_line(mood, says):
    with pytest.raises(SmbrlError, match=says):
        measure(Counting(mood), 0.1, processes=1, envs=1)


def test_command_prints_how_environments_scale(capsys):
    from smbrl_cli.bench import command

    command(["skimo_maze"], ["Online.envs=2"], seconds=0.1, envs=True)
    printed = capsys.readouterr().out
    assert "1 environment, 1 process" in printed
    assert "2 environments, 1 process" in printed
    assert "share of a core" in printed
    assert "pre-training update" not in printed
