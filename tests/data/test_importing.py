import gzip
import logging
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest

from smbrl.data import flat, store
from smbrl.data.exporting import to_minari
from smbrl.data.files import Episode, add_metadata, reading, write_episodes
from smbrl.data.importing import import_data, import_path
from smbrl.data.sources import parse_elements
from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec

SPEC = TaskSpec.plain(4, 2)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))


def columns(**changed: Any) -> dict[str, Any]:
    """Three episodes of 6, 4 (terminal) and 5 rows."""
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {
        "observations": rng.normal(size=(15, 4)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (15, 2)).astype(np.float32),
        "rewards": np.arange(15.0, dtype=np.float32),
        "terminals": np.zeros(15, bool),
        "timeouts": np.zeros(15, bool),
    }
    made["timeouts"][5] = True
    made["terminals"][9] = True
    made |= changed
    return {key: value for key, value in made.items() if value is not None}


def write(path: Path, content: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **content)
    else:
        with h5py.File(path, "w") as file:
            for key, value in content.items():
                file[key] = value
    return path


@pytest.mark.parametrize("name", ["maze2d-x.npz", "maze2d-x.hdf5", "maze2d-x.h5"])
def test_flat_files_become_episodes(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = columns()
    with caplog.at_level(logging.WARNING):
        dataset = import_path(write(tmp_path / name, content), spec=SPEC)
    assert dataset.id == "imported/maze2d-x-v0"
    assert "the last observation of each episode is repeated as the outcome of its last action (3 of 15" in caplog.text
    episodes = list(dataset.episodes())
    assert [len(e.actions) for e in episodes] == [6, 4, 5]
    np.testing.assert_array_equal(episodes[1].obs, content["observations"][[6, 7, 8, 9, 9]])
    np.testing.assert_array_equal(episodes[1].actions, content["actions"][6:10])
    with h5py.File(dataset.path / "data" / "main_data.hdf5") as file:
        assert file["episode_1"]["terminations"][()].tolist() == [False] * 3 + [True]
        np.testing.assert_array_equal(file["episode_2"]["rewards"], content["rewards"][10:])


@pytest.mark.parametrize("suffix", ["npz", "hdf5"])
def test_last_actions_can_be_left_out(suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = columns()
    dataset = import_path(write(tmp_path / f"a.{suffix}", content), last="drop")
    assert "the last action of each episode is left out (3 of 15 steps)" in caplog.text
    assert [len(e.actions) for e in dataset.episodes()] == [5, 3, 4]
    np.testing.assert_array_equal(dataset.arrays.obs, content["observations"])


@pytest.mark.parametrize("key", ["infos", "infos/episode", "episode_ids"])
@pytest.mark.parametrize("also", [(), ("terminals",), ("timeouts",)])
@pytest.mark.parametrize("suffix", ["npz", "hdf5"])
def test_numbers_of_episodes_say_where_they_end(key: str, also: tuple[str, ...], suffix: str, tmp_path: Path) -> None:
    flags = columns()
    content = columns(terminals=None, timeouts=None) | {key: np.repeat([7, 9, 8], [6, 4, 5])}
    dataset = import_path(write(tmp_path / f"a.{suffix}", content | {name: flags[name] for name in also}))
    assert dataset.arrays.lengths.tolist() == [6, 4, 5]


def test_kitchen_files_of_d4rl_become_as_many_episodes_and_steps(tmp_path: Path) -> None:
    """Float terminals at an episode's end, the episode's number in infos, no timeouts, 60 observations."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(200, 260, 22)
    rows = int(lengths.sum())
    terminals = np.zeros(rows, np.float32)
    terminals[np.cumsum(lengths) - 1] = 1.0
    content = {
        "observations": rng.normal(size=(rows, 60)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (rows, 9)).astype(np.float32),
        "rewards": rng.integers(0, 5, rows).astype(np.float32),
        "terminals": terminals,
        "infos": np.repeat(np.arange(22), lengths),
    }
    path = write(tmp_path / "kitchen-mixed-v0.hdf5", content)
    dataset = import_path(path)
    assert dataset.id == "imported/kitchen-mixed-v0"
    assert (dataset.provenance["episodes"], dataset.provenance["steps"]) == (22, rows)
    assert dataset.arrays.lengths.tolist() == lengths.tolist()
    with pytest.raises(SmbrlError, match="keep a part with --elements 0:30"):
        import_path(path, name="a/b-v0", spec=TaskSpec.plain(30, 9))
    part = import_path(path, name="a/b-v0", spec=TaskSpec.plain(30, 9), elements=tuple(range(30)))
    np.testing.assert_array_equal(part.arrays.obs, dataset.arrays.obs[:, :30])
    np.testing.assert_array_equal(part.arrays.actions, dataset.arrays.actions)


def test_elements_are_numbers_and_ranges(tmp_path: Path) -> None:
    assert parse_elements("0:3, 7,5:6") == (0, 1, 2, 7, 5)
    for text in ("", "a", "3:3", "5:2", "-1", "1;2"):
        with pytest.raises(SmbrlError, match="FIRST:END"):
            parse_elements(text)
    with pytest.raises(SmbrlError, match="element 4 is not in it"):
        import_path(write(tmp_path / "a.npz", columns()), elements=(0, 4))


def test_next_observations_complete_the_episodes(tmp_path: Path) -> None:
    following = np.random.default_rng(1).normal(size=(15, 4)).astype(np.float32)
    dataset = import_path(write(tmp_path / "a.npz", columns(next_observations=following)))
    episodes = list(dataset.episodes())
    assert [len(e.actions) for e in episodes] == [6, 4, 5]
    np.testing.assert_array_equal(episodes[0].obs[-1], following[5])
    with h5py.File(dataset.path / "data" / "main_data.hdf5") as file:
        assert file["episode_1"]["terminations"][()].tolist() == [False] * 3 + [True]
        assert file["episode_0"]["truncations"][()].tolist() == [False] * 5 + [True]
        np.testing.assert_array_equal(file["episode_1"]["rewards"], [6, 7, 8, 9])


def test_minari_folders_are_taken_over_unchanged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    episodes = [Episode(rng.normal(size=(n + 1, 4)).astype("f4"), rng.normal(size=(n, 2)).astype("f4")) for n in (3, 7)]
    spaces = [gymnasium.spaces.Box(-9, 9, (n,), np.float32) for n in (4, 2)]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    write_episodes(folder / "data", episodes, *spaces)
    with pytest.raises(SmbrlError, match="names no dataset_id"):
        import_path(folder)
    add_metadata(folder / "data", {"dataset_id": "lab/point-v2"})
    for path in (folder, folder / "data"):
        dataset = import_path(path, spec=SPEC)
        assert dataset.id == "lab/point-v2"
    assert import_path(folder, name="mine/point-v0").id == "mine/point-v0"
    for ours, theirs in zip(episodes, dataset.episodes(), strict=True):
        np.testing.assert_array_equal(ours.obs, theirs.obs)
    assert (dataset.path / "data" / "main_data.hdf5").read_bytes() == (folder / "data" / "main_data.hdf5").read_bytes()


def test_importing_twice_is_one_data_set_but_other_data_need_another_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", columns())
    assert import_path(path).content_hash == import_path(path).content_hash
    write(path, columns(actions=np.zeros((15, 2), np.float32)))
    with pytest.raises(SmbrlError, match="has other data as imported/a-v0 already"):
        import_path(path)
    assert import_path(path, name="imported/b-v0").provenance["source"] == "imported"


def test_actions_beyond_the_range_are_kept_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = import_path(write(tmp_path / "a.npz", columns(actions=np.full((15, 2), 3.0))))
    assert dataset.arrays.actions.max() == 3.0
    assert "outside [-1, 1]" in caplog.text


NAN = columns()["observations"].copy()
NAN[7, 1] = np.nan


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"observations": None, "observation": np.zeros((15, 4))},
            r"has no observations .* did you mean 'observation'",
        ),
        ({"actions": None}, "has no actions"),
        ({"terminals": None, "timeouts": None}, "neither terminals nor timeouts"),
        ({"observations": np.zeros((15, 2, 2))}, r"observations has shape \(15, 2, 2\), \(steps, size\) is needed"),
        ({"actions": np.zeros((14, 2))}, "observations has 15 rows, actions have 14"),
        ({"timeouts": np.zeros(3, bool)}, "timeouts has 3 rows"),
        ({"terminals": np.full(15, 0.5)}, "values other than 0 and 1"),
        ({"observations": NAN}, "observations has values that are not finite, the first in row 7"),
        ({"actions": np.full((15, 2), np.inf)}, "actions has values that are not finite, the first in row 0"),
        ({"observations": np.zeros((15, 60))}, "size 60 and actions of size 2, the task has 4 and 2"),
        ({"actions": np.zeros((15, 9))}, "size 4 and actions of size 9"),
        ({"next_observations": np.zeros((15, 3))}, r"next_observations has shape \(15, 3\)"),
        ({"infos": np.repeat([0, 1, 0], 5)}, "infos has episode 0 in two places"),
        ({"observations": np.zeros((15, 0))}, "at least one element"),
        ({key: value[:0] for key, value in columns().items()}, "has no steps"),
        ({"actions": np.full((15, 2), b"x")}, "actions holds .*, not numbers"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_wrong_contents_are_one_line_and_store_nothing(
    changed: dict[str, Any], says: str, suffix: str, tmp_path: Path
) -> None:
    with pytest.raises(SmbrlError, match=says) as caught:
        import_path(write(tmp_path / f"a{suffix}", columns(**changed)), spec=SPEC)
    assert "\n" not in str(caught.value)
    assert store.names() == []


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_truncated_files_are_one_line(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", columns())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SmbrlError, match="truncated or of another kind"):
        import_path(path)


def test_other_files_under_a_known_suffix_are_one_line(tmp_path: Path) -> None:
    for name in ("a.npz", "a.hdf5"):
        (tmp_path / name).write_text("not data")
        with pytest.raises(SmbrlError, match="truncated or of another kind"):
            import_path(tmp_path / name)


class Harm:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["a.pickle", "a.pkl.gz", "a.gz", "a.npz", "a.hdf5"])
def test_pickles_run_nothing(name: str, tmp_path: Path) -> None:
    data = pickle.dumps(Harm(tmp_path / "harm"))
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(SmbrlError, match=r"pickle|not a zip archive"):
        import_path(tmp_path / name)
    assert not (tmp_path / "harm").exists()
    assert store.names() == []


def test_one_row_episodes_without_their_actions_are_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", columns(terminals=np.ones(15, bool)))
    with pytest.raises(SmbrlError, match="no episode of at least one step"):
        import_path(path, last="drop")


def test_goals_beside_the_observation_are_left_behind(tmp_path: Path) -> None:
    """Minari's kitchen and maze data have dictionaries of observation, achieved and desired goal."""
    folder = tmp_path / "data"
    spaces = [gymnasium.spaces.Box(-9, 9, (n,), np.float32) for n in (4, 2)]
    obs = np.arange(12, dtype="f4").reshape(3, 4)
    write_episodes(folder, [Episode(obs, np.zeros((2, 2), "f4"), np.array([0.0, 5.0], "f4"), True)], *spaces)
    add_metadata(folder, {"dataset_id": "lab/goals-v0"})
    with h5py.File(folder / "main_data.hdf5", "r+") as file:
        del file["episode_0"]["observations"]
        group = file["episode_0"].create_group("observations")
        group["observation"], group["desired_goal"] = obs, obs[:, :2]
    dataset = import_path(folder, spec=SPEC)
    assert dataset.id == "lab/goals-v0"
    np.testing.assert_array_equal(dataset.arrays.obs, obs)
    with reading(dataset.path / "data") as reader:
        (episode,) = reader.episodes()
    assert episode.rewards is not None
    assert (episode.rewards.tolist(), episode.terminated) == ([0.0, 5.0], True)


def test_minari_ids_are_found_among_minaris_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    made = import_path(write(tmp_path / "a.npz", columns()), name="lab/point-v1")
    to_minari(made)
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "another"))
    found = import_data("lab/point-v1")
    assert (found.id, found.content_hash) == (made.id, made.content_hash)
    assert found.provenance["origin"] == {"minari": "lab/point-v1"}


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (ImportError("huggingface_hub is not installed"), r'pip install "minari\[hf\]"'),
        (
            ConnectionError("Failed to resolve\nhuggingface.co"),
            r"cannot be downloaded \(Failed to resolve huggingface.co\)",
        ),
        (ValueError("Couldn't find any version for dataset lab/x"), "check the name"),
    ],
)
def test_minaris_hub_out_of_reach_is_one_line(
    raised: Exception, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))

    def unreachable(name: str) -> None:
        assert name == "lab/x-v0"
        raise raised

    monkeypatch.setattr(minari, "download_dataset", unreachable)
    with pytest.raises(SmbrlError, match=says):
        import_data("lab/x-v0")
    assert store.names() == []


def test_what_is_nothing_known_gets_the_closest_name() -> None:
    with pytest.raises(SmbrlError, match="did you mean 'kitchen-mixed-v0'"):
        import_data("kitchen-mixd-v0")


def test_files_larger_than_a_piece_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.hdf5", columns())
    whole = import_path(path)
    monkeypatch.setattr(flat, "_PIECE", 8)
    assert import_path(path).content_hash == whole.content_hash
    with pytest.raises(SmbrlError, match="observations has values that are not finite, the first in row 7"):
        import_path(write(tmp_path / "b.hdf5", columns(observations=NAN)))


def test_object_arrays_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **columns(actions=np.array([Harm(tmp_path / "harm")], object)))
    with pytest.raises(SmbrlError, match="cannot be read as npz"):
        import_path(tmp_path / "a.npz")
    assert not (tmp_path / "harm").exists()


def test_paths_that_are_no_data_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    for path, says in [
        (tmp_path / "missing.npz", "does not exist"),
        (tmp_path / "a.csv", "suffix .csv"),
        (tmp_path, "no Minari data set"),
    ]:
        with pytest.raises(SmbrlError, match=says):
            import_path(path)


def test_a_wrong_name_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match="no Minari id"):
        import_path(write(tmp_path / "a.npz", columns()), name="../x")
    assert not (tmp_path / "x").exists()


def test_dictionary_observations_are_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    spaces = [gymnasium.spaces.Box(-9, 9, (n,), np.float32) for n in (4, 2)]
    write_episodes(folder, [Episode(np.zeros((3, 4), "f4"), np.zeros((2, 2), "f4"))], *spaces)
    add_metadata(folder, {"dataset_id": "lab/dict-v0"})
    with h5py.File(folder / "main_data.hdf5", "r+") as file:
        del file["episode_0"]["observations"]
        file["episode_0"].create_group("observations")["state"] = np.zeros((3, 4))
    with pytest.raises(SmbrlError, match="not in Minari's flat HDF5 format"):
        import_path(folder)
