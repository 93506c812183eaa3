import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest

from smbrl.data import store
from smbrl.data.files import MAIN, METADATA, Episode, read_arrays, write_episodes
from smbrl.errors import SmbrlError
from smbrl.interfaces import DatasetRequest, Progress, Task, TaskSpec

BOX = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTION = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))


class Toy(Task):
    """Random episodes; counts how often it had to generate."""

    def __init__(self, episodes: int = 4, fails_after: int | None = None, stored: str | None = None) -> None:
        self.episodes, self.fails_after, self.stored = episodes, fails_after, stored
        self.generated = 0

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec.plain(3, 2)

    def make(self, render_mode: str | None = None) -> Any:
        raise NotImplementedError

    def dataset(self) -> DatasetRequest | None:
        return DatasetRequest("smbrl/toy-v3", {"episodes": self.episodes}, self.stored)

    def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
        self.generated += 1

        def episodes() -> Iterator[Episode]:
            rng = np.random.default_rng(seed)
            for index in range(self.episodes):
                if index == self.fails_after:
                    raise KeyboardInterrupt
                steps = 5 + index
                obs = rng.normal(size=(steps + 1, 3)).astype(np.float32)
                yield Episode(obs, rng.uniform(-1, 1, (steps, 2)).astype(np.float32))
                if progress is not None:
                    progress(index + 1, self.episodes)

        write_episodes(path, episodes(), BOX, ACTION)


def test_data_are_generated_once_and_found_again() -> None:
    task = Toy()
    seen: list[tuple[int, int]] = []
    made = store.ensure(task, seed=1, progress=lambda *at: seen.append(at))
    found = store.ensure(task, seed=1)
    assert task.generated == 1
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (found.id, found.content_hash) == (made.id, made.content_hash)
    assert found.id.startswith("smbrl/toy-")
    assert found.id.endswith("-v3")


def test_other_parameters_or_seeds_never_reuse_data() -> None:
    ids = {store.ensure(Toy(n), seed=s).id for n in (3, 4) for s in (0, 1)}
    assert len(ids) == 4
    assert store.names() == sorted(ids)
    assert store.find(DatasetRequest("smbrl/toy-v3", {"episodes": 9}), seed=0) is None


def test_episodes_survive_the_store_exactly() -> None:
    rng = np.random.default_rng(0)
    dataset = store.ensure(Toy(), seed=0)
    episodes = list(dataset.episodes())
    assert [len(e.actions) for e in episodes] == [5, 6, 7, 8]
    np.testing.assert_array_equal(episodes[0].obs, rng.normal(size=(6, 3)).astype(np.float32))
    np.testing.assert_array_equal(episodes[0].actions, rng.uniform(-1, 1, (5, 2)).astype(np.float32))
    arrays = dataset.arrays
    assert not arrays.actions[arrays.starts + arrays.lengths].any()


def test_minari_reads_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = store.ensure(Toy(), seed=0)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(store.root()))
    assert dataset.id in minari.list_local_datasets()
    loaded = minari.load_dataset(dataset.id)
    assert (loaded.total_episodes, loaded.total_steps) == (4, 26)
    for ours, theirs in zip(dataset.episodes(), loaded, strict=True):
        np.testing.assert_array_equal(ours.obs, theirs.observations)
        np.testing.assert_array_equal(ours.actions, theirs.actions)
        assert theirs.truncations.tolist() == [False] * (len(ours.actions) - 1) + [True]
        assert not theirs.terminations.any()


def test_provenance_says_where_data_are_from() -> None:
    provenance = store.ensure(Toy(), seed=7).provenance
    assert provenance["parameters"] == {"episodes": 4}
    assert (provenance["seed"], provenance["task"], provenance["source"]) == (7, "Toy", "generated")
    assert (provenance["episodes"], provenance["steps"]) == (4, 26)
    assert {"smbrl", "numpy", "mujoco", "minari"} <= set(provenance["versions"])


def test_an_interrupted_generation_leaves_nothing() -> None:
    with pytest.raises(KeyboardInterrupt):
        store.ensure(Toy(fails_after=2), seed=0)
    assert store.names() == []
    assert [p.name for p in store.root().iterdir() if not p.name.endswith(".lock")] == []
    assert store.ensure(Toy(), seed=0).provenance["episodes"] == 4


def test_a_killed_generation_is_cleared_away(tmp_path: Path) -> None:
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_store as t
class Killed(t.Toy):
    def generate(self, path, **settings):
        super().generate(path, **settings)
        os._exit(9)
t.store.ensure(Killed(), seed=0)
"""
    assert subprocess.run([sys.executable, "-c", program], env=os.environ, check=False).returncode == 9
    assert store.names() == []
    assert len(list(store.root().glob(".*.tmp-*"))) == 1
    store.ensure(Toy(), seed=0)
    assert list(store.root().glob(".*.tmp-*")) == []


def test_changed_values_are_noticed() -> None:
    dataset = store.ensure(Toy(), seed=0)
    with h5py.File(dataset.path / "data" / MAIN, "r+") as file:
        file["episode_2"]["actions"][3, 1] += 1e-3
    with pytest.raises(SmbrlError, match="damaged: its content hash"):
        _ = store.load(dataset.id).arrays


def test_swapped_episodes_are_noticed() -> None:
    dataset = store.ensure(Toy(), seed=0)
    with h5py.File(dataset.path / "data" / MAIN, "r+") as file:
        file.move("episode_0", "x")
        file.move("episode_1", "episode_0")
        file.move("x", "episode_1")
    with pytest.raises(SmbrlError, match="damaged: its content hash"):
        _ = store.load(dataset.id).arrays


def test_a_truncated_file_is_one_line() -> None:
    dataset = store.ensure(Toy(), seed=0)
    file = dataset.path / "data" / MAIN
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SmbrlError, match="is damaged or not in Minari's"):
        _ = store.ensure(Toy(), seed=0).arrays


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_broken_metadata_is_one_line(text: str) -> None:
    dataset = store.ensure(Toy(), seed=0)
    (dataset.path / "data" / METADATA).write_text(text)
    with pytest.raises(SmbrlError, match="metadata"):
        store.ensure(Toy(), seed=0)


def test_a_data_set_with_another_ones_parameters_is_refused() -> None:
    dataset = store.ensure(Toy(), seed=0)
    file = dataset.path / "data" / METADATA
    metadata = json.loads(file.read_text())
    metadata["smbrl"]["parameters"]["episodes"] = 5
    file.write_text(json.dumps(metadata))
    with pytest.raises(SmbrlError, match="records other parameters"):
        store.ensure(Toy(), seed=0)


def test_a_stored_data_set_can_be_asked_for() -> None:
    made = store.ensure(Toy(3), seed=0)
    task = Toy(99, stored=made.id)
    assert store.ensure(task, seed=5).content_hash == made.content_hash
    assert task.generated == 0
    with pytest.raises(SmbrlError, match="no data set 'smbrl/to-v3'"):
        store.ensure(Toy(stored="smbrl/to-v3"))


def test_stored_data_of_another_task_are_refused() -> None:
    made = store.ensure(Toy(3), seed=0)

    class Other(Toy):
        @property
        def spec(self) -> TaskSpec:
            return TaskSpec.plain(60, 9)

    with pytest.raises(SmbrlError, match="observations of size 3 and actions of size 2, task Other has 60 and 9"):
        store.ensure(Other(stored=made.id))


def test_load_knows_beginnings_and_suggests() -> None:
    made = [store.ensure(Toy(n), seed=0).id for n in (3, 4)]
    assert store.load(made[0][:-4]).id == made[0]
    with pytest.raises(SmbrlError, match="fits 2 data sets"):
        store.load("smbrl/toy")
    with pytest.raises(SmbrlError, match=r"no data set .* did you mean 'smbrl/toy"):
        store.load(made[0].replace("toy", "toi"))


def test_tasks_without_data_or_generator_are_one_line() -> None:
    class Without(Toy):
        def dataset(self) -> DatasetRequest | None:
            return None

    class Unable(Toy):
        def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
            Task.generate(self, path, seed=seed, workers=workers)

    with pytest.raises(SmbrlError, match="Without has no offline data"):
        store.ensure(Without())
    with pytest.raises(SmbrlError, match=r"Unable cannot generate .*smbrl data import"):
        store.ensure(Unable())


def test_a_name_that_is_no_id_is_one_line() -> None:
    with pytest.raises(SmbrlError, match="no Minari id"):
        store.find(DatasetRequest("../escape", {}), seed=0)
    with pytest.raises(SmbrlError, match="not plain JSON"):
        store.find(DatasetRequest("a/b-v0", {"x": object()}), seed=0)


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "file"))
    with pytest.raises(SmbrlError, match=r"cannot create the data store .* SMBRL_HOME"):
        store.ensure(Toy())


def test_a_full_disk_is_one_line_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SmbrlError, match="No space left on device"):
        store.ensure(Toy())
    assert store.names() == []


@pytest.mark.parametrize(
    ("episodes", "says"),
    [
        ([], "no episode to store"),
        ([Episode(np.zeros((5, 3), np.float32), np.zeros((5, 2), np.float32))], "5 observations and 5 actions"),
        ([Episode(np.zeros((1, 3), np.float32), np.zeros((0, 2), np.float32))], "1 observations and 0 actions"),
    ],
)
def test_wrong_episodes_are_not_written(episodes: list[Episode], says: str, tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match=says):
        write_episodes(tmp_path / "data", episodes, BOX, ACTION)


def test_a_folder_without_data_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match="no readable data set"):
        read_arrays(tmp_path)


def test_finished_parts_outlive_an_interruption_and_nothing_else_does() -> None:
    def interrupted(path: Path) -> None:
        parts = path.with_name("parts")
        parts.mkdir()
        (parts / "first").write_text("done")
        path.mkdir()
        (path / "half").write_text("")
        raise KeyboardInterrupt

    def going_on(path: Path) -> None:
        assert (path.with_name("parts") / "first").read_text() == "done"
        assert not path.exists()
        obs, actions = np.zeros((4, 3), np.float32), np.zeros((3, 2), np.float32)
        write_episodes(path, [Episode(obs, actions)], BOX, ACTION)

    with pytest.raises(KeyboardInterrupt):
        store.create("smbrl/parts-v1", interrupted, {})
    assert store.names() == []
    dataset = store.create("smbrl/parts-v1", going_on, {})
    assert sorted(path.name for path in dataset.path.iterdir()) == ["data"]
    assert [path.name for path in store.root().iterdir() if not path.name.endswith(".lock")] == ["smbrl"]
