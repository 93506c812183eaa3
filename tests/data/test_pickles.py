import contextlib
import gzip
import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smbrl.data import pickles, store
from smbrl.data.importing import import_path
from smbrl.errors import SmbrlError


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))


def trajectory(steps: int, seed: int = 0, dones: list[int] | None = None) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    over = np.zeros(steps, np.float32)
    over[[steps - 1] if dones is None else dones] = 1.0
    return {
        "obs": rng.normal(size=(steps, 4)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        "dones": over,
    }


def write(path: Path, content: object, protocol: int = 4) -> Path:
    data = pickle.dumps(content, protocol)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["skimo_maze.gz", "skimo_maze.pkl.gz", "skimo_maze.pkl", "skimo_maze.pickle"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_skimos_trajectories_become_episodes(name: str, protocol: int, tmp_path: Path) -> None:
    content = [trajectory(9, 0), trajectory(12, 1, dones=[3])]
    dataset = import_path(write(tmp_path / name, content, protocol))
    assert dataset.id == "imported/skimo_maze-v0"
    episodes = list(dataset.episodes())
    assert [len(e.actions) for e in episodes] == [9, 4, 8]
    np.testing.assert_array_equal(episodes[2].obs[:-1], content[1]["obs"][4:])
    np.testing.assert_array_equal(episodes[2].obs[-1], content[1]["obs"][-1])
    np.testing.assert_array_equal(episodes[1].actions, content[1]["actions"][:4])
    assert import_path(tmp_path / name, name="a/b-v0", last="drop").provenance["steps"] == 8 + 3 + 7


def test_other_ways_of_writing_numbers_are_read(tmp_path: Path) -> None:
    plain = trajectory(6)
    for place, content in enumerate(
        [
            {key: value.tolist() for key, value in plain.items()},
            {key: list(value) for key, value in plain.items()},
            {key: np.asfortranarray(value) for key, value in plain.items()},
            {key: value.astype(">f8") for key, value in plain.items()},
            OrderedDict(plain) | {"dones": [bool(done) for done in plain["dones"]]},
            plain | {"obs": np.concatenate([plain["obs"], plain["obs"][-1:]])},
        ]
    ):
        dataset = import_path(write(tmp_path / f"{place}.pkl", [content]))
        np.testing.assert_array_equal(dataset.arrays.obs[:6], plain["obs"])
        assert dataset.arrays.lengths.tolist() == [6]


def test_short_observations_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = [trajectory(9), trajectory(9) | {"obs": np.zeros((7, 4), np.float32)}]
    assert import_path(write(tmp_path / "a.gz", content)).provenance["episodes"] == 1
    assert "1 of 2 trajectories have fewer observations than actions" in caplog.text


NAN = np.full((9, 4), np.nan)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "holds no trajectory"),
        ({"obs": 1}, "trajectory 0: obs has shape"),
        ("text", "holds no list of trajectories"),
        ([1, 2], "holds no list of trajectories"),
        ([trajectory(9), {"states": 1}], r"trajectory 1 has no obs \(it has states\)"),
        ([trajectory(9) | {"dones": np.zeros(8)}], "9 actions and 8 dones"),
        ([trajectory(9) | {"obs": NAN}], "trajectory 0: obs has values that are not finite"),
        ([trajectory(9) | {"obs": np.zeros((9, 2, 2))}], r"obs has shape \(9, 2, 2\)"),
        ([trajectory(9) | {"obs": [[1.0], [1.0, 2.0]]}], "obs is no array of numbers"),
        ([trajectory(9) | {"obs": ["a"] * 9}], "obs is no array of numbers"),
        ([trajectory(9), trajectory(9) | {"obs": np.zeros((9, 5))}], "size 5 .* those before it 4"),
        ([trajectory(9) | {"obs": np.zeros((7, 4))}], "no trajectory with as many observations"),
        ([trajectory(9) | {"obs": np.array(["a"] * 9)}], "holds an array of U1"),
    ],
)
def test_wrong_contents_are_one_line_and_store_nothing(content: object, says: str, tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match=says) as caught:
        import_path(write(tmp_path / "a.gz", content))
    assert "\n" not in str(caught.value)
    assert store.names() == []


class Harm:
    """Leaves a mark when it is unpickled."""

    def __init__(self, *how: Any) -> None:
        self.how = how

    def __reduce__(self) -> tuple[Any, ...]:
        return self.how


MARK = "harm_was_done"


@pytest.mark.parametrize(
    "how",
    [
        (os.system, (f"touch {MARK}",)),
        (os.mkdir, (MARK,)),
        (eval, (f"open('{MARK}', 'w')",)),
        (getattr, ("text", "upper")),
        (np.load, (MARK,)),
        (np.ndarray, ((3,),)),
        (Path, (MARK,)),
        (pickle.loads, (b"",)),
        (bytes, (3,)),
    ],
    ids=lambda how: how[0].__name__,
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_malicious_pickle_runs_nothing(
    how: tuple[Any, ...], protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place, content in enumerate([Harm(*how), [trajectory(3) | {"extra": Harm(*how)}]]):
        with pytest.raises(SmbrlError, match=r"is a pickle that holds .*nothing was run|cannot be read as a pickle"):
            import_path(write(tmp_path / f"{place}.gz", content, protocol))
    assert not Path(MARK).exists()
    assert store.names() == []


def test_names_below_admitted_ones_are_refused() -> None:
    """Protocol 4 names attributes of attributes: ``numpy.ndarray.tofile`` and the like."""
    for module, name in [("numpy", "ndarray.tofile"), ("builtins", "dict.fromkeys"), ("numpy", "dtype.__class__")]:
        data = (
            b"\x80\x04" + b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93."
        )
        with pytest.raises(SmbrlError, match=name):
            pickles.load(io.BytesIO(data), Path("a.pkl"))


def test_arrays_of_objects_and_types_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    for values in (np.array([Harm(os.mkdir, (MARK,))] * 9, object), np.zeros(9, "V8"), np.zeros(9, [("a", "f4")])):
        with pytest.raises(SmbrlError, match="is a pickle that holds"):
            import_path(write(tmp_path / "a.pkl", [trajectory(9) | {"obs": values}]))


@pytest.mark.parametrize("name", ["a.gz", "a.pkl"])
def test_every_truncation_and_many_damages_are_one_line(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, [trajectory(5), trajectory(7, 1)])
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    changed = [whole[:cut] for cut in range(0, len(whole), 7)]
    for _ in range(300):
        data = bytearray(whole)
        data[rng.integers(len(data))] = rng.integers(256)
        changed.append(bytes(data))
    for place, data in enumerate(changed):
        path.write_bytes(data)
        with contextlib.suppress(SmbrlError):  # one line by its class; anything else is a failure
            pickles.read(path, "repeat")
            assert place * 7 >= len(whole), "a truncated file passed"
