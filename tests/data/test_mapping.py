"""Data larger than memory: the same windows from mapped files, at little memory and little more time."""

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from smbrl.data import mapping, store
from smbrl.data.episodes import EpisodeStore
from smbrl.data.exporting import to_d4rl
from smbrl.data.files import MAIN, Episode, write_episodes
from smbrl.data.importing import import_path
from smbrl.data.inspection import statistics
from smbrl.errors import SmbrlError

OBSERVATION, ACTION = 24, 8


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))


def stored(name: str, episodes: int, steps: int) -> store.Dataset:
    """Random episodes of about ``steps`` steps."""
    rng = np.random.default_rng(0)

    def make(path: Path) -> None:
        spaces = [gymnasium.spaces.Box(-9, 9, (n,), np.float32) for n in (OBSERVATION, ACTION)]
        made = (
            Episode(rng.standard_normal((n + 1, OBSERVATION), np.float32), rng.standard_normal((n, ACTION), np.float32))
            for n in rng.integers(steps // 2, steps, episodes)
        )
        write_episodes(path, made, *spaces)

    return store.create(name, make, {"source": "made"})


def windows(dataset: store.Dataset, batch: int = 32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    training, _ = EpisodeStore.from_dataset(dataset).split(0.2, generator)
    found = training.sample(batch, 4, 5, generator)
    return found.obs, found.actions, found.mask


def test_mapped_windows_are_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stored("lab/a-v0", 12, 90)
    inside = windows(store.load(made.id))
    monkeypatch.setenv(mapping.SETTING, "always")
    mapped = store.load(made.id)
    assert mapped.mapped
    assert isinstance(mapped.arrays.obs, np.memmap)
    assert all(torch.equal(a, b) for a, b in zip(inside, windows(mapped), strict=True))
    assert mapped.arrays.content_hash() == made.content_hash
    np.testing.assert_array_equal(statistics(mapped).observations, statistics(made).observations)


def test_windows_of_mapped_data_go_to_the_learners_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mapping.SETTING, "always")
    episodes = EpisodeStore.from_dataset(stored("lab/a-v0", 6, 90), "meta")
    found = episodes.sample(8, 2, 5, torch.Generator())
    assert (episodes.obs.device.type, episodes.device.type) == ("cpu", "meta")
    assert [part.device.type for part in (found.obs, found.actions, found.mask)] == ["meta"] * 3


def test_files_are_mapped_once_and_again_where_they_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mapping.SETTING, "always")
    made = stored("lab/a-v0", 6, 90)
    _ = made.arrays
    file = made.path / mapping.FOLDER / "obs.npy"
    first = file.stat().st_mtime_ns
    _ = store.load(made.id).arrays
    assert file.stat().st_mtime_ns == first
    with file.open("rb+") as target:
        target.seek(2000)
        target.write(b"\xff" * 8)
    assert store.load(made.id).arrays.content_hash() == made.content_hash


def test_damaged_data_are_not_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    monkeypatch.setenv(mapping.SETTING, "always")
    made = stored("lab/a-v0", 6, 90)
    with h5py.File(made.path / "data" / MAIN, "r+") as file:
        file["episode_2"]["actions"][3, 1] += 1e-3
    with pytest.raises(SmbrlError, match="damaged: its content hash"):
        _ = store.load(made.id).arrays
    assert not list(made.path.glob("*mapped*/*"))


def test_small_data_stay_in_memory_and_large_data_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stored("lab/a-v0", 6, 90)
    assert not store.load(made.id).mapped
    size = made.arrays.obs.nbytes + made.arrays.actions.nbytes
    for free, mapped in ((1.9 * size, True), (2.1 * size, False)):
        monkeypatch.setattr(mapping.psutil, "virtual_memory", lambda free=free: type("", (), {"available": free}))
        assert store.load(made.id).mapped is mapped
    monkeypatch.setenv(mapping.SETTING, "allways")
    with pytest.raises(SmbrlError, match="did you mean 'always'"):
        _ = store.load(made.id).mapped


GROWTH = """
import gc, sys
from pathlib import Path
import torch
from smbrl.data import store
from smbrl.data.episodes import EpisodeStore

def resident():
    \"\"\"Megabytes that are this process's own: files that are mapped do not count, the system can drop them.\"\"\"
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3

before = resident()
episodes = EpisodeStore.from_dataset(store.load(sys.argv[1]))
generator = torch.Generator().manual_seed(0)
for _ in range(10):
    episodes.sample(64, 10, 10, generator)
print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
def test_memory_does_not_grow_with_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stored("lab/large-v0", 96, 20_000)
    size = (made.provenance["steps"] + 96) * (OBSERVATION + ACTION) * 4 / 1e6
    assert size > 150
    grown = {}
    for choice in ("always", "never"):  # each in a process without memory that it could use again
        monkeypatch.setenv(mapping.SETTING, choice)
        done = subprocess.run([sys.executable, "-c", GROWTH, made.id], capture_output=True, text=True, check=True)
        grown[choice] = float(done.stdout)
    assert grown["always"] < 0.3 * size
    assert grown["never"] > 0.9 * size


def test_large_files_are_imported_an_episode_at_a_time(tmp_path: Path) -> None:
    made = stored("lab/large-v0", 40, 20_000)
    file = to_d4rl(made, tmp_path / "large.hdf5")
    tracemalloc.start()
    try:
        again = import_path(file, name="lab/again-v0")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert again.content_hash == made.content_hash
    assert peak < 0.5 * file.stat().st_size


def test_sampling_from_mapped_data_is_not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stored("lab/a-v0", 24, 20_000)
    seconds = []
    for choice in ("never", "always"):
        monkeypatch.setenv(mapping.SETTING, choice)
        episodes = EpisodeStore.from_dataset(store.load(made.id))
        generator = torch.Generator().manual_seed(0)
        episodes.sample(64, 10, 10, generator)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            episodes.sample(64, 10, 10, generator)
            times.append(time.perf_counter() - began)
        seconds.append(float(np.median(times)))
    assert seconds[1] < 10 * seconds[0] + 0.005
