from pathlib import Path

import gymnasium
import h5py
import minari
import numpy as np
import pytest

from smbrl.data import store
from smbrl.data.exporting import to_d4rl, to_minari
from smbrl.data.files import MAIN, Episode, write_episodes
from smbrl.data.importing import import_path
from smbrl.errors import SmbrlError


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> store.Dataset:
    """Three episodes, the second of which terminated."""
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    rng = np.random.default_rng(0)

    def make(path: Path) -> None:
        spaces = [gymnasium.spaces.Box(-9, 9, (n,), np.float32) for n in (4, 2)]
        made = [
            Episode(
                rng.normal(size=(n + 1, 4)).astype("f4"),
                rng.normal(size=(n, 2)).astype("f4"),
                rng.normal(size=n).astype("f4"),
                n == 9,
            )
            for n in (5, 9, 1)
        ]
        write_episodes(path, made, *spaces)

    return store.create("lab/point-v2", make, {"source": "made"})


@pytest.mark.parametrize("suffix", [".hdf5", ".h5"])
def test_d4rl_files_come_back_with_equal_bytes(dataset: store.Dataset, suffix: str, tmp_path: Path) -> None:
    file = to_d4rl(dataset, tmp_path / "new" / f"a{suffix}")
    again = import_path(file)
    assert again.content_hash == dataset.content_hash
    with h5py.File(dataset.path / "data" / MAIN) as ours, h5py.File(again.path / "data" / MAIN) as theirs:
        assert len(ours) == len(theirs) == 3
        for episode in ours:
            for key in ("observations", "actions", "rewards", "terminations", "truncations"):
                assert ours[episode][key][()].tobytes() == theirs[episode][key][()].tobytes()


def test_d4rl_files_have_d4rls_columns(dataset: store.Dataset, tmp_path: Path) -> None:
    with h5py.File(to_d4rl(dataset, tmp_path / "a.hdf5")) as file:
        assert {key: (column.shape, column.dtype.kind) for key, column in file.items()} == {
            "observations": ((15, 4), "f"),
            "next_observations": ((15, 4), "f"),
            "actions": ((15, 2), "f"),
            "rewards": ((15,), "f"),
            "terminals": ((15,), "b"),
            "timeouts": ((15,), "b"),
        }
        assert np.flatnonzero(file["terminals"]).tolist() == [13]
        assert np.flatnonzero(file["timeouts"]).tolist() == [4, 14]


def test_minari_gets_equal_files_and_reads_them(dataset: store.Dataset, tmp_path: Path) -> None:
    folder = to_minari(dataset, tmp_path / "elsewhere")
    for file in (dataset.path / "data").iterdir():
        assert (folder / "data" / file.name).read_bytes() == file.read_bytes()
    to_minari(dataset)
    loaded = minari.load_dataset("lab/point-v2")
    assert (loaded.total_episodes, loaded.total_steps) == (3, 15)
    for ours, theirs in zip(dataset.episodes(), loaded, strict=True):
        np.testing.assert_array_equal(ours.obs, theirs.observations)


def test_nothing_is_overwritten(dataset: store.Dataset, tmp_path: Path) -> None:
    (tmp_path / "a.hdf5").write_text("mine")
    (tmp_path / "b").mkdir()
    with pytest.raises(SmbrlError, match=r"a.hdf5 exists already"):
        to_d4rl(dataset, tmp_path / "a.hdf5")
    with pytest.raises(SmbrlError, match="b exists already"):
        to_minari(dataset, tmp_path / "b")
    assert (tmp_path / "a.hdf5").read_text() == "mine"


def test_damaged_data_are_not_passed_on(dataset: store.Dataset, tmp_path: Path) -> None:
    with h5py.File(dataset.path / "data" / MAIN, "r+") as file:
        file["episode_1"]["observations"][2, 0] += 1.0
    for export in (to_d4rl, to_minari):
        with pytest.raises(SmbrlError, match="is damaged"):
            export(dataset, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_places_that_cannot_be_written_are_one_line(dataset: store.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for export in (to_d4rl, to_minari):
        with pytest.raises(SmbrlError, match="cannot write"):
            export(dataset, tmp_path / "file" / "new")
