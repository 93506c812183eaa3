"""Sub-tasks count in their order, and their rates are logged."""

import gymnasium
import numpy as np
import pytest
import torch
from line_world import LineAgent
from numpy.typing import NDArray
from smbrl_plugins.tasks.in_order import InOrder, check_subtasks

from smbrl.errors import SmbrlError
from smbrl.interfaces import Task, TaskSpec
from smbrl.training.collect import Collector
from smbrl.training.evaluate import evaluate

Floats = NDArray[np.float32]
NAMES = ("one", "two", "three")


def test_a_sub_task_waits_for_its_turn():
    progress = InOrder(NAMES)
    assert progress.update({"one": False, "two": True, "three": False}.get, 1) == 0
    assert progress.next == "one"
    assert progress.update({"one": True, "two": False, "three": True}.get, 2) == 1  # two no longer holds
    assert (progress.done, progress.steps) == (("one",), (2,))
    assert progress.update({"one": False, "two": True, "three": True}.get, 3) == 2  # three came early and still holds
    assert progress.done == NAMES
    assert progress.steps == (2, 3, 3)
    assert progress.complete
    assert progress.next is None
    assert progress.update(lambda name: True, 4) == 0
    progress.reset()
    assert progress.next == "one"
    assert progress.done == ()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [((), "empty"), (("one", "tow"), "did you mean 'two'"), (("one", "one"), "twice"), ("four", "'four'")],
)
def test_lists_that_make_no_sense_are_refused(chosen: tuple[str, ...], said: str):
    with pytest.raises(SmbrlError, match=said):
        check_subtasks("Kitchen", chosen, NAMES)


class Steps(gymnasium.Env[Floats, Floats]):
    """Completes a sub-task every fourth step; the last one in every second episode only."""

    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self) -> None:
        self.progress = InOrder(NAMES)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.full = 0, bool(self.np_random.integers(2))
        self.progress.reset()
        return np.zeros(2, np.float32), {"subtasks": ()}

    def step(self, action):
        self.time += 1
        reward = self.progress.update(
            lambda name: self.time >= 4 * (1 + NAMES.index(name)) and (self.full or name != "three"), self.time
        )
        info = {"success": self.progress.complete, "subtasks": self.progress.done}
        return np.zeros(2, np.float32), float(reward), self.progress.complete, self.time >= 20, info


class Staircase(Task):
    spec = TaskSpec.plain(2, 1, time_limit=20)  # type: ignore[assignment]
    subtasks = NAMES  # type: ignore[assignment]

    def make(self, render_mode=None):
        return Steps()


def test_evaluation_logs_the_share_of_episodes_that_completed_each():
    task = Staircase()
    found = evaluate(LineAgent(task.spec), task, episodes=12, seed=0, generator=torch.Generator(), envs=4)
    metrics = found.metrics()
    share = metrics["eval/subtask/three"]
    assert 0.0 < share < 1.0
    assert metrics["eval/subtask/one"] == metrics["eval/subtask/two"] == 1.0
    assert metrics["eval/subtasks"] == pytest.approx(2.0 + share)
    assert metrics["eval/success"] == share
    assert found.completed is not None
    assert found.completed[:, :2].tolist() == [[4, 8]] * 12
    assert set(found.completed[:, 2].tolist()) == {12, -1}


def test_resuming_finds_the_completed_sub_tasks_again():
    task = Staircase()
    agent = LineAgent(task.spec)
    collector = Collector(task, agent, 2, seed=3)
    for step in range(3):  # nine env steps
        collector.advance(mode="explore", step=step, generator=torch.Generator().manual_seed(step))
    other = Collector(task, agent, 2, seed=3)
    other.load_state(collector.state())
    for one in (collector, other):
        ended = []
        for step in range(3, 8):
            ended += one.advance(mode="explore", step=step, generator=torch.Generator().manual_seed(step)).episodes
        assert {episode.subtasks[:2] for episode in ended} == {("one", "two")}
        assert {episode.success for episode in ended} == {len(episode.subtasks) == 3 for episode in ended}
