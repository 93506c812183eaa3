"""Sub-tasks: stored with evaluations, drawn as timelines, told in videos."""

import json
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from PIL import Image

from smbrl.analysis import report
from smbrl.analysis.caption import Caption
from smbrl.analysis.judging import judge
from smbrl.analysis.rollout import trace
from smbrl.analysis.style import LARGEST, NOTHING, SUBTASKS, subtask_colours
from smbrl.analysis.subtasks import ranked, stretches, timelines
from smbrl.analysis.video import record
from smbrl.training import evaluations
from smbrl.training.evaluate import EvaluationResult, evaluate
from smbrl.training.evaluations import Completions
from smbrl.training.folder import RunFolder

NAMES = ("open", "turn", "press")


class Passing(gymnasium.Wrapper):
    """A room whose x = 8, 12 and 16 are sub-tasks."""

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        self.done = ()
        return obs, {**info, "subtasks": ()}

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.done += tuple(n for n, x in zip(NAMES, (8, 12, 16), strict=True) if obs[0] > x and n not in self.done)
        return obs, reward, terminated, truncated, {**info, "subtasks": self.done}


@pytest.fixture
def hall(room):
    class Hall(type(room)):
        subtasks = NAMES

        def make(self, render_mode=None):
            return Passing(super().make(render_mode))

    return Hall()


@pytest.fixture
def run(hall, walker, tmp_path):
    """A run read back."""
    experiment = SimpleNamespace(seed=3)
    return SimpleNamespace(
        phase="online", step=500, agent=walker, task=hall, experiment=experiment, folder=RunFolder(tmp_path)
    )


def shades(path):
    with Image.open(path) as image:
        return image.size, {"#{:02x}{:02x}{:02x}".format(*c) for _, c in image.convert("RGB").getcolors(1 << 24)}


def completions(episodes):
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.integers(0, 80, (episodes, 3)), 1)
    steps[rng.random(episodes) < 0.3, 2] = -1
    return Completions(NAMES, steps, np.where(steps[:, 2] < 0, 240, steps[:, 2]), 500, "as trained")


def test_an_evaluation_is_stored_with_the_step_of_each_completion(hall, walker, tmp_path):
    result = evaluate(walker, hall, episodes=4, seed=7, generator=torch.Generator(), envs=2)
    assert (np.diff(result.completed) > 0).all()
    path = evaluations.write(tmp_path, result, how=evaluations.TRAINED, seed=None, step=500, seconds=1.0)
    found = json.loads(path.read_text())
    assert found["subtasks"] == list(NAMES)
    assert found["completed"] == result.completed.tolist()
    done = evaluations.latest_completions(tmp_path)
    np.testing.assert_array_equal(done.steps, result.completed)
    np.testing.assert_array_equal(done.steps[:, 2], done.lengths)


def test_what_was_never_completed_stays_so(tmp_path):
    result = EvaluationResult(
        np.zeros(1), np.array([9]), np.array([False]), subtasks=NAMES, completed=np.array([[4, -1, -1]])
    )
    path = evaluations.write(tmp_path, result, how=evaluations.POLICY, seed=1, step=0, seconds=1.0)
    assert json.loads(path.read_text())["completed"] == [[4, None, None]]
    done = evaluations.latest_completions(tmp_path)
    assert (done.steps.tolist(), done.how) == ([[4, -1, -1]], "policy")


def test_the_latest_evaluation_with_sub_tasks_counts(tmp_path):
    plain = EvaluationResult(np.zeros(1), np.array([9]), np.array([True]))
    assert evaluations.latest_completions(tmp_path) is None
    evaluations.write(tmp_path, plain, how=evaluations.TRAINED, seed=1, step=0, seconds=1.0)
    assert evaluations.latest_completions(tmp_path) is None
    for step in (300, 200):  # the later file is that of the earlier step
        some = EvaluationResult(*(np.zeros(1, int),) * 3, subtasks=NAMES, completed=np.array([[4, -1, -1]]))
        evaluations.write(tmp_path, some, how=evaluations.TRAINED, seed=1, step=step, seconds=1.0)
    (tmp_path / "evaluations" / "broken.json").write_text("{")
    assert evaluations.latest_completions(tmp_path).step == 200


def test_episodes_that_came_farther_or_sooner_stand_first():
    steps = np.array([[50, -1, -1], [10, 20, 90], [40, -1, -1], [-1, -1, -1], [10, 20, 80]])
    assert ranked(steps).tolist() == [4, 1, 2, 0, 3]


def test_stretches_follow_time_whatever_the_tasks_order():
    assert stretches(np.array([30, 10, -1])) == [(1, 0, 10), (0, 10, 30)]
    assert stretches(np.array([10, 10, 30])) == [(0, 0, 10), (1, 10, 10), (2, 10, 30)]
    assert stretches(np.array([-1, -1, -1])) == []


@pytest.mark.parametrize("episodes", [1, 10, 100])
def test_a_timeline_has_every_sub_tasks_colour(episodes, tmp_path):
    path = timelines(completions(episodes), tmp_path / "subtasks.png", limit=240)
    (width, height), seen = shades(path)
    assert width == 912
    assert 350 < height < 800
    assert {*SUBTASKS[:3], NOTHING} <= seen
    assert path.stat().st_size <= LARGEST


def test_nothing_to_draw_is_no_picture(tmp_path):
    none = Completions((), np.zeros((3, 0), np.int64), np.ones(3, np.int64), 0, "policy")
    assert timelines(none, tmp_path / "subtasks.png", limit=10) is None


def test_judging_a_run_draws_its_timeline(run):
    found = judge(run, episodes=3, seed=1)
    assert found.picture == run.folder.plots / "subtasks.png"
    assert set(SUBTASKS[:3]) <= shades(found.picture)[1]
    found.picture.unlink()
    subject = SimpleNamespace(folder=run.folder, task=run.task)
    assert report.PICTURES["sub-tasks"](subject, run.folder.plots) == [found.picture]


def test_a_task_without_sub_tasks_has_no_timeline(run, room):
    run.task = room
    assert judge(run, episodes=1, seed=1).picture is None
    subject = SimpleNamespace(folder=run.folder, task=room)
    assert report.PICTURES["sub-tasks"](subject, run.folder.plots) == []


def test_a_trace_knows_when_sub_tasks_were_completed(hall, walker):
    told = []
    seen = trace(walker, hall.make(), seed=3, watch=lambda step, _, done: told.append((step, dict(done))))
    assert list(seen.completed) == list(NAMES)
    assert seen.completed["press"] == seen.steps
    for name, step in seen.completed.items():
        assert seen.obs[step, 0] > (8, 12, 16)[NAMES.index(name)] >= seen.obs[step - 1, 0]
        assert next(at for at, done in told if name in done) == step


def test_captions_fill_a_label_when_its_sub_task_is_completed():
    caption = Caption(301, NAMES, 999)
    frame = np.zeros((101, 301, 4), np.uint8)

    def amount(done):
        picture = caption.under(frame, "step 5", done)
        assert picture.shape == (100 + caption.height, 300, 3)
        return [int((picture == np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)])).all(-1).sum()) for c in SUBTASKS]

    before, after = amount({}), amount({"open": 4})
    assert before[1:3] == [0, 0]  # not their turn
    assert before[0] > 0
    assert after[0] > 2 * before[0]
    assert after[1] > 0
    assert after[2] == 0


def test_labels_that_do_not_fit_beside_each_other_stand_below():
    wide, narrow = (Caption(width, ("a long name", "another name", "a third one")) for width in (600, 200))
    assert len({top for _, top, _ in wide.places.values()}) == 1
    assert len({top for _, top, _ in narrow.places.values()}) > 1
    assert narrow.height > wide.height > Caption(600).height
    assert all(right <= 200 for _, _, right in narrow.places.values())
    assert wide.height % 2 == narrow.height % 2 == 0


def test_a_video_has_room_for_its_sub_tasks(hall, room, walker, tmp_path):
    import imageio.v2 as imageio

    heights = []
    for task in (room, hall):
        record(walker, task, tmp_path / "a.mp4", seed=3)
        heights.append(imageio.get_reader(tmp_path / "a.mp4").get_data(0).shape[0])
    assert heights[1] > heights[0] > 100


def test_sub_tasks_keep_their_colours():
    assert list(subtask_colours(("a", "b", "a", "c"))) == ["a", "b", "c"]
    assert len(set(subtask_colours(str(n) for n in range(8)).values())) == 8
    assert len(subtask_colours(str(n) for n in range(30))) == 30
