from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smbrl.data import store
from smbrl.data.importing import import_path
from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec

EPISODES = [(10, 16), (17, 20), (40, 44)]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))


def frame(number: int, **changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    gripper = [1.0 if number % 3 else -1.0]
    return {
        "rgb_static": np.zeros((4, 4, 3), np.uint8),
        "actions": rng.normal(size=7),
        "rel_actions": np.concatenate([rng.uniform(-1, 1, 6), gripper]),
        "robot_obs": rng.normal(size=15),
        "scene_obs": rng.normal(size=24),
    } | changed


def recording(folder: Path, episodes: Any = EPISODES, digits: int = 7) -> Path:
    """A folder as CALVIN's: frames, index, language annotations that are left alone, scenes."""
    (folder / "lang_annotations").mkdir(parents=True)
    (folder / "lang_annotations" / "auto_lang_ann.npy").write_bytes(b"never read")
    np.save(folder / "ep_start_end_ids.npy", np.asarray(episodes))
    np.save(folder / "scene_info.npy", {"calvin_scene_D": [10, 44]}, allow_pickle=True)  # type: ignore[arg-type]
    for first, final in EPISODES:
        for number in range(first, final + 1):
            np.savez(folder / f"episode_{number:0{digits}d}.npz", **frame(number))
    return folder


def test_recordings_become_episodes_without_blocks(tmp_path: Path) -> None:
    dataset = import_path(recording(tmp_path / "play"))
    assert dataset.id == "imported/play-v0"
    assert dataset.provenance["scenes"] == {"calvin_scene_D": [10, 44]}
    episodes = list(dataset.episodes())
    assert [len(e.actions) for e in episodes] == [7, 4, 5]
    shown = frame(18)
    expected = np.concatenate([shown["robot_obs"], shown["scene_obs"][:6]]).astype(np.float32)
    np.testing.assert_array_equal(episodes[1].obs[1], expected)
    np.testing.assert_array_equal(episodes[1].actions[1], shown["rel_actions"].astype(np.float32))
    assert set(dataset.arrays.actions[:7, 6]) == {-1.0, 1.0}


def test_a_task_with_blocks_gets_them(tmp_path: Path) -> None:
    folder = recording(tmp_path / "play")
    assert import_path(folder, spec=TaskSpec.plain(39, 7)).arrays.obs.shape[1] == 39
    assert import_path(folder, name="a/b-v0", elements=(0, 38)).arrays.obs.shape[1] == 2
    with pytest.raises(SmbrlError, match="size 39 and actions of size 7, the task has 4 and 2"):
        import_path(folder, name="a/c-v0", spec=TaskSpec.plain(4, 2))


def test_the_training_part_is_found_and_digits_may_be_others(tmp_path: Path) -> None:
    recording(tmp_path / "task_D_D" / "training", digits=6)
    assert import_path(tmp_path / "task_D_D").provenance["episodes"] == 3


def test_recordings_of_several_scenes_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = recording(tmp_path / "play")
    scenes = {"calvin_scene_A": [10, 16], "calvin_scene_B": [17, 44]}
    np.save(folder / "scene_info.npy", scenes, allow_pickle=True)  # type: ignore[arg-type]
    import_path(folder)
    assert "mixes the scenes calvin_scene_A, calvin_scene_B" in caplog.text


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (np.zeros((0, 2), int), "names no episode"),
        ([[0.5, 3.0]], r"shape \(1, 2\) of float64"),
        ([1, 2, 3], r"shape \(3,\)"),
        ([[16, 10]], "episode 0 goes from frame 16 to 10"),
        ([[10, 30]], "has no episode_0000030.npz, a frame of episode 0"),
        ([[10, 40]], "episode_0000021.npz cannot be read"),
        (np.array([{}]), "ep_start_end_ids.npy cannot be read"),
    ],
)
def test_a_wrong_index_is_one_line(index: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match=says) as caught:
        import_path(recording(tmp_path / "play", index))
    assert "\n" not in str(caught.value)
    assert store.names() == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"robot_obs": np.zeros(14)}, r"robot_obs has shape \(14,\) of float64"),
        ({"rel_actions": np.full(7, np.nan)}, "rel_actions has values that are not finite"),
        ({"scene_obs": np.array([{}], object)}, "cannot be read as npz"),
        (None, "has no rel_actions: did you mean 'actions'"),
        (b"PK\x03\x04", "cannot be read as npz"),
    ],
)
@pytest.mark.parametrize("number", [10, 19])
def test_a_wrong_frame_is_one_line(changed: Any, says: str, number: int, tmp_path: Path) -> None:
    folder = recording(tmp_path / "play")
    file = folder / f"episode_{number:07d}.npz"
    if isinstance(changed, bytes):
        file.write_bytes(changed)
    elif changed is None:
        np.savez(file, **{key: value for key, value in frame(number).items() if key != "rel_actions"})
    else:
        np.savez(file, **frame(number, **changed))
    with pytest.raises(SmbrlError, match=says):
        import_path(folder)
    assert store.names() == []


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_scene_information_runs_nothing(tmp_path: Path) -> None:
    folder = recording(tmp_path / "play")
    np.save(folder / "scene_info.npy", {"scene": Harm(tmp_path / "harm")}, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(SmbrlError, match=r"scene_info.npy is a pickle that holds"):
        import_path(folder)
    assert not (tmp_path / "harm").exists()
    (folder / "scene_info.npy").write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(SmbrlError, match=r"scene_info.npy cannot be read"):
        import_path(folder)
