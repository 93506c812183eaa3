"""How sub-tasks follow each other in data sets, in numbers and in a picture."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from smbrl.data import store
from smbrl.data.comparison import draw_comparison, lines, transitions
from smbrl.data.files import Episode, write_episodes
from smbrl.errors import SmbrlError
from smbrl.interfaces import Task, TaskSpec

NAMES = ("low", "middle", "high")
SPACES = (gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float32), gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32))


class Marks(Task):
    """The first element of the observation passes marks at 1, 2 and 3."""

    spec = TaskSpec.plain(2, 1)  # type: ignore[assignment]
    subtasks = NAMES  # type: ignore[assignment]

    def completions(self, observations):
        found = []
        for mark, name in enumerate(NAMES, 1):
            at = np.flatnonzero(np.round(observations[:, 0]) == mark)
            found += [(name, int(at[0]))] if len(at) else []
        return sorted(found, key=lambda event: event[1])

    def make(self, render_mode=None):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))


def made(name: str, *ways: list[int], width: int = 2) -> store.Dataset:
    def write(path: Path) -> None:
        episodes = []
        for way in ways:
            obs = np.zeros((len(way), width), np.float32)
            obs[:, 0] = way
            episodes.append(Episode(obs, np.zeros((len(way) - 1, 1), np.float32)))
        write_episodes(path, episodes, *SPACES)

    return store.create(name, write, {"source": "test"})


def test_transitions_are_counted_between_completions():
    found = transitions(made("test/one-v0", [0, 1, 1, 2, 3], [0, 3, 0, 1], [0, 0]), Marks())
    assert found.names == NAMES
    assert found.counts.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert found.first.tolist() == [1, 0, 1]
    assert found.episodes.tolist() == [2, 1, 2]
    assert found.per_episode.tolist() == [3, 2, 0]
    assert found.steps.tolist() == [1, 2, 1, 1, 2]
    text = lines(found)
    assert text[1].split() == ["low", "0", "1", "0", "1", "2"]
    assert "1.67 sub-tasks per episode, 1.4 steps each" in text[-1]


def test_two_data_sets_are_drawn_side_by_side_even_with_more_elements(tmp_path: Path):
    one = made("test/one-v0", [0, 1, 2, 3], [0, 1])
    wide = made("test/wide-v0", [0, 2, 3], width=4)
    path = draw_comparison([one, wide], Marks(), tmp_path / "new" / "two.png")
    assert path.stat().st_size > 20_000


def test_data_of_another_task_are_refused(tmp_path: Path):
    narrow = made("test/narrow-v0", [0, 1], width=1)
    with pytest.raises(SmbrlError, match=r"observations of size 1 .* task Marks has 2 and 1"):
        draw_comparison([narrow], Marks(), tmp_path / "no.png")
