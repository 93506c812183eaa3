from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from smbrl_plugins.tasks.maze import Maze

from smbrl.data import store
from smbrl.data.inspection import draw_coverage, statistics


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> store.Dataset:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    return store.ensure(Maze(layout="large", trajectories=6, longest=300))


def test_statistics_count_the_data(dataset: store.Dataset) -> None:
    numbers = statistics(dataset)
    episodes = list(dataset.episodes())
    lengths = [len(e.actions) for e in episodes]
    assert (numbers.episodes, numbers.steps) == (6, sum(lengths))
    assert numbers.lengths == (min(lengths), np.median(lengths), np.mean(lengths), max(lengths))
    actions = np.concatenate([e.actions for e in episodes])
    np.testing.assert_allclose(numbers.actions[:, 0], actions.min(0))
    np.testing.assert_allclose(numbers.actions[:, 2], actions.mean(0), atol=1e-6)
    assert numbers.saturated == pytest.approx((np.abs(actions) >= 1).mean())
    assert numbers.observations.shape == (4, 4)


@pytest.mark.parametrize("with_task", [True, False])
def test_coverage_is_drawn(dataset: store.Dataset, tmp_path: Path, with_task: bool) -> None:
    path = draw_coverage(dataset, tmp_path / "new" / "a.png", Maze(layout="large") if with_task else None)
    picture = imread(path)
    assert picture.shape[1] > 1000
    assert len(np.unique(picture[::8, ::8].reshape(-1, picture.shape[2]), axis=0)) > 50
