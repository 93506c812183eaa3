import numpy as np
import pytest
import torch
from PIL import Image

from smbrl.analysis.coverage import cells, coverage
from smbrl.analysis.imagination import imagination, imagine, stretches
from smbrl.analysis.imagines import IMAGINES, INFERS, JUDGES, can, missing
from smbrl.analysis.rollout import episode_seed, trace
from smbrl.analysis.style import LARGEST
from smbrl.analysis.value_map import value_map
from smbrl.analysis.video import record
from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec
from smbrl.training.evaluate import evaluate


def check(path, width, height):
    with Image.open(path) as image:
        assert image.size == (width, height)
        pixels = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, "an empty picture"
    assert path.stat().st_size <= LARGEST


@pytest.fixture
def traces(room, walker):
    env = room.make()
    return [trace(walker, env, seed=s) for s in range(3)]


def test_a_trace_holds_the_whole_episode(room, walker):
    seen = trace(walker, room.make(), seed=3)
    assert seen.success
    assert seen.obs.shape == (seen.steps + 1, 2)
    assert seen.decisions.shape == (-(-seen.steps // walker.horizon), 2)
    assert seen.rewards.sum() == 100.0
    assert seen.obs[-1, 0] > 16.0
    np.testing.assert_allclose(seen.obs[1] - seen.obs[0], 0.5 * seen.decisions[0], atol=1e-6)


def test_a_trace_repeats_itself_and_can_be_cut(room, walker):
    one, two = (trace(walker, room.make(), seed=3, mode="explore", limit=12) for _ in range(2))
    np.testing.assert_array_equal(one.obs, two.obs)
    assert one.steps == 12
    assert not one.success


def test_a_trace_shows_the_episode_that_an_evaluation_counts(room, walker):
    result = evaluate(walker, room, episodes=4, seed=7, generator=torch.Generator(), envs=2, trajectories=True)
    for number in range(4):
        seen = trace(walker, room.make(), seed=episode_seed(7, number))
        np.testing.assert_array_equal(seen.obs, result.trajectories[number])


def test_coverage_is_a_picture_with_time_in_it(room, tmp_path):
    walk = np.cumsum(np.random.default_rng(0).normal(0, 0.3, (30_000, 2)), 0).astype(np.float32) % 20
    check(coverage(room, walk, tmp_path / "coverage.png", steps=1e6), 672, 588)


def test_coverage_needs_a_plane_and_something_to_draw(room, tmp_path):
    assert coverage(room, np.zeros((0, 2), np.float32), tmp_path / "a.png") is None

    class Line(type(room)):
        @property
        def spec(self):
            return TaskSpec(2, 2, (0.0, 0.0), (1.0, 1.0), (0,), 100)

    assert coverage(Line(), np.zeros((5, 2), np.float32), tmp_path / "b.png") is None


def test_cells_are_counted_once():
    assert cells(np.array([0.1, -0.2, 3.0]), np.array([0.0, 0.3, 3.0])) == 2


def test_a_value_map_is_a_picture_and_hides_what_was_never_seen(room, walker, tmp_path):
    everywhere = value_map(room, walker, tmp_path / "all.png")
    check(everywhere, 672, 588)
    corner = np.random.default_rng(0).uniform(0, 5, (500, 2)).astype(np.float32)
    known = value_map(room, walker, tmp_path / "known.png", visited=corner)
    dark = [np.asarray(Image.open(p).convert("L")) < 250 for p in (everywhere, known)]
    assert dark[1].sum() < 0.6 * dark[0].sum()


def test_imagination_follows_the_model_by_hand(walker):
    seen = imagine(walker, torch.zeros(1, 2), torch.tensor([[[1.0, 0.0], [0.0, -1.0]]]))
    torch.testing.assert_close(seen, torch.tensor([[[0.0, 0.0], [2.6, 0.0], [2.7, -2.5]]]))


def test_imagined_and_real_stretches_are_drawn(room, walker, traces, tmp_path):
    check(imagination(room, walker, traces, tmp_path / "imagination.png", decisions=3), 1044, 768)


def test_stretches_are_whole_and_spread_over_the_episode(traces):
    whole = traces[0].steps // traces[0].horizon
    assert stretches(traces[0], 3, 2) == [0, round((whole - 2) / 2), whole - 2]
    assert stretches(traces[0], 3, whole + 1) == []


def test_pictures_that_an_agent_cannot_give_are_left_out(room, traces, tmp_path):
    class Blind:
        horizon, decision = 1, 2

    assert value_map(room, Blind(), tmp_path / "v.png") is None
    assert imagination(room, Blind(), traces, tmp_path / "i.png") is None
    assert missing(Blind(), *IMAGINES) == "encode(), imagine(), decode()"


def test_the_walker_can_everything(walker):
    assert can(walker, *INFERS, *JUDGES)


def test_a_video_is_filmed_and_shows_the_counted_episode(room, walker, tmp_path):
    import imageio.v3 as iio

    path = tmp_path / "videos" / "e.mp4"
    seen = record(walker, room, path, seed=7, episode=1)
    assert seen.seed == episode_seed(7, 1)
    frames = iio.imread(path, plugin="FFMPEG")
    assert frames.shape == (seen.steps + 1 + 25, 122, 100, 3)
    assert np.abs(frames[0].astype(int) - frames[seen.steps].astype(int)).max() > 80, "nothing moves"
    assert [p.name for p in path.parent.iterdir()] == ["e.mp4"]


def test_a_long_episode_is_played_faster(room, walker, tmp_path):
    import imageio.v3 as iio

    seen = record(walker, room, tmp_path / "e.mp4", seed=7, seconds=0.8)
    frames = iio.imread(tmp_path / "e.mp4", plugin="FFMPEG")
    assert len(frames) == -(-(seen.steps + 1) // 5) + 25


def test_an_environment_without_pictures_is_a_clear_mistake(room, walker, tmp_path):
    class Dark(type(room)):
        def make(self, render_mode=None):
            env = super().make(render_mode)
            env.render = lambda: None
            return env

    with pytest.raises(SmbrlError, match="task Dark draws no pictures: its render\\(\\) returns NoneType"):
        record(walker, Dark(), tmp_path / "e.mp4", seed=0)
    assert not list(tmp_path.iterdir())
