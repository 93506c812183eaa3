"""Skills of held-out windows: what they are coloured by, and whether the prior covers them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from smbrl.analysis.embedding import AFTER, covered, embed, meaning, picture
from smbrl.analysis.style import LARGEST, SUBTASKS
from smbrl.data.episodes import EpisodeStore
from smbrl.errors import SmbrlError
from smbrl.interfaces import TanhNormal, TaskSpec

H, T = 5, 40


@pytest.fixture
def episodes():
    """Four episodes that go right, up, left, down."""
    ways = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    obs = torch.cat([10 + torch.arange(T + 1)[:, None] * way * 0.1 for way in ways])
    actions = torch.cat([way.expand(T + 1, 2) for way in ways]).clone()
    return EpisodeStore(obs, actions, torch.arange(4) * (T + 1), torch.full((4,), T))


def skills(std=0.2, offset=0.0, prior=True):
    """A posterior that reads the direction from the actions; a prior that knows nothing."""

    def of_state(obs):
        if not prior:
            raise SmbrlError("no prior")
        return TanhNormal(torch.full((len(obs), 3), offset), torch.full((len(obs), 3), std))

    def of_window(obs, actions):
        assert obs.shape[1:] == actions.shape[1:] == (H, 2)
        mean = torch.cat([actions.mean(1), 0.01 * obs[:, 0, :1]], -1)
        return TanhNormal(mean, torch.full_like(mean, 0.1))

    return SimpleNamespace(horizon=H, posterior=of_window, prior=of_state)


@pytest.fixture
def chores(room):
    class Chores(type(room)):
        subtasks = ("wash", "dry")
        spec = TaskSpec(2, 2, (0.0, 0.0), (1.0, 1.0))

        def completions(self, observations):
            return [("iron", 10), ("dry", 30)] if observations[-1, 0] > 12 else [("wash", 20)]

    return Chores()


def test_windows_are_coloured_by_where_they_lead(room, episodes):
    found = embed(room, skills(), episodes, 400, torch.Generator().manual_seed(0))
    assert found.meaning.how == "direction"
    want = np.arctan2(found.skills[:, 1].round(), found.skills[:, 0].round())
    np.testing.assert_allclose(np.cos(found.meaning.values - want), 1.0, atol=1e-3)
    assert len(np.unique(np.round(want, 3))) == 4


def test_windows_are_coloured_by_the_sub_task_that_is_completed_next(chores, episodes):
    episode, step = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 9, 10, 30, 19, 20])
    found = meaning(chores, episodes, episode, step, torch.zeros(6, H + 1, 2))
    assert found.how == "sub-task"
    assert list(found.names) == ["wash", "dry", "iron", AFTER]
    assert [found.names[int(value)] for value in found.values] == ["iron", "iron", "dry", AFTER, "wash", AFTER]
    assert list(found.colours[:3]) == list(SUBTASKS[:3])
    assert found.counts() == {"wash": 1, "dry": 1, "iron": 2, AFTER: 2}


def test_without_sub_tasks_and_a_plane_time_is_what_is_left(room, episodes):
    room = SimpleNamespace(subtasks=(), completions=lambda obs: [], spec=TaskSpec.plain(2, 2))
    found = meaning(room, episodes, torch.tensor([0, 1]), torch.tensor([0, 20]), torch.zeros(2, H + 1, 2))
    assert found.how == "time"
    assert found.values.tolist() == [0.0, 0.5]


def test_components_are_those_of_the_skills(room, episodes):
    found = embed(room, skills(), episodes, 400, torch.Generator().manual_seed(0))
    middle = found.skills - found.skills.mean(0)
    np.testing.assert_allclose(np.linalg.norm(found.points, axis=1), np.linalg.norm(middle, axis=1), atol=1e-5)
    variance = found.points.var(0)
    assert (np.diff(variance) <= 1e-6).all()
    np.testing.assert_allclose(found.explained, variance / variance.sum(), atol=1e-4)
    distances = np.linalg.norm(found.prior - found.skills, axis=1)
    np.testing.assert_allclose(np.linalg.norm(found.prior_points - found.points, axis=1), distances, atol=1e-4)


def test_an_exact_prior_covers_95_percent_a_narrow_one_less_a_wide_one_more():
    stream = torch.Generator().manual_seed(0)
    posterior = TanhNormal(torch.randn(20_000, 10, generator=stream), torch.full((20_000, 10), 0.5))
    total = (1 + 0.25) ** 0.5  # of the mixture
    shares = [
        covered(posterior, TanhNormal(torch.zeros(20_000, 10), torch.full((20_000, 10), total * width)), stream)
        for width in (0.5, 1.0, 2.0)
    ]
    assert shares[0] < 0.2
    assert shares[1] == pytest.approx(0.95, abs=0.006)
    assert shares[2] > 0.999


@pytest.mark.parametrize("prior", [True, False])
def test_the_picture_has_skills_and_prior(room, chores, episodes, tmp_path, prior):
    for task in (room, chores, SimpleNamespace(subtasks=(), completions=lambda obs: [], spec=TaskSpec.plain(2, 2))):
        found = embed(task, skills(prior=prior), episodes, 400, torch.Generator().manual_seed(0))
        assert (found.prior is None) == (found.kl is None) == (found.covered is None) == (not prior)
        path = picture(found, tmp_path / "skills.png")
        with Image.open(path) as image:
            assert image.size == (984, 564)
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50
        assert path.stat().st_size <= LARGEST


def test_draws_are_where_samples_begin(episodes):
    episode, step = episodes.draw(50, H, torch.Generator().manual_seed(3))
    windows = episodes.sample(50, 2, H, torch.Generator().manual_seed(3))
    assert bool((step + H <= T).all())
    torch.testing.assert_close(windows.obs[:, 0], episodes.obs[episodes.starts[episode] + step])
