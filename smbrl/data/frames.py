"""Recordings with a file per frame, as CALVIN's data have them.

A folder holds ``ep_start_end_ids.npy (episodes, 2)`` (first and last frame of each episode) and a file
``episode_XXXXXXX.npz`` per frame, of which ``robot_obs (15,)``, ``scene_obs (24,)`` and ``rel_actions (7,)`` are read;
images, absolute actions and language annotations are not. ``scene_info.npy``, where it exists, says which frames are of
which scene. The observation is robot and scene, 39 numbers; the first 21 leave the blocks out.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from smbrl.data import pickles
from smbrl.data.files import Episode
from smbrl.data.sources import Last, Source, check_finite, finish, note_on_last
from smbrl.errors import SmbrlError, suggestion

INDEX = "ep_start_end_ids.npy"
SIZES = {"robot_obs": 15, "scene_obs": 24, "rel_actions": 7}
WITHOUT_BLOCKS = 21
"""Size of the observation without the blocks, as in the SkiMo paper."""


def folder_of(path: Path) -> Path | None:
    """The folder with the frames: ``path``, its ``training`` part, or None where it is no such recording."""
    return next((folder for folder in (path, path / "training") if (folder / INDEX).is_file()), None)


def read(folder: Path, last: Last) -> Source:
    """The episodes of a recording. Frames are opened as the episodes are asked for.

    Raises:
        SmbrlError: the index is damaged, or frames are missing.
    """
    index = _index(folder / INDEX)
    digits = _digits(folder)
    for episode, (first, final) in enumerate(index.tolist()):
        for frame in (first, final):
            if not _file(folder, frame, digits).is_file():
                raise SmbrlError(
                    f"{folder} has no {_file(folder, frame, digits).name}, a frame of episode {episode} "
                    f"({first} to {final}): the recording is incomplete, get it again"
                )
    _frame(_file(folder, int(index[0, 0]), digits))
    frames = int((index[:, 1] - index[:, 0] + 1).sum())
    record: dict[str, Any] = {}
    scenes = _scenes(folder / "scene_info.npy")
    if scenes:
        record["scenes"] = scenes

    def episodes() -> Iterator[Episode]:
        for first, final in index.tolist():
            rows = [_frame(_file(folder, frame, digits)) for frame in range(first, final + 1)]
            obs, actions = (np.stack([row[i] for row in rows]) for i in (0, 1))
            episode = finish(obs, actions, None, False, last)
            if episode is not None:
                yield episode

    notes = [note_on_last(folder.name, len(index), frames, last)]
    if len(scenes) > 1:
        notes.append(f"{folder.name} mixes the scenes {', '.join(sorted(scenes))}")
    return Source(folder.name, "frames", 39, 7, episodes, tuple(notes), record)


def _index(file: Path) -> NDArray[np.int64]:
    try:
        index: NDArray[np.int64] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SmbrlError(f"{file} cannot be read ({' '.join(str(error).split())[:100]}): get it again") from error
    if index.ndim != 2 or index.shape[1] != 2 or index.dtype.kind not in "iu":
        raise SmbrlError(f"{file} has shape {index.shape} of {index.dtype}: (episodes, 2) frame numbers are needed")
    if not len(index):
        raise SmbrlError(f"{file} names no episode: nothing to import")
    wrong = np.flatnonzero((index[:, 1] < index[:, 0]) | (index[:, 0] < 0))
    if len(wrong):
        first, final = index[wrong[0]]
        raise SmbrlError(f"{file}: episode {wrong[0]} goes from frame {first} to {final}: the index is damaged")
    return index.astype(np.int64)


def _digits(folder: Path) -> int:
    """How many digits frame numbers are written with: 7 in CALVIN's own data."""
    found = next((file.stem.removeprefix("episode_") for file in folder.glob("episode_*.npz")), None)
    if found is None or not found.isdigit():
        raise SmbrlError(f"{folder} has {INDEX} but no frames (episode_0000000.npz): get the recording again")
    return len(found)


def _file(folder: Path, frame: int, digits: int) -> Path:
    return folder / f"episode_{frame:0{digits}d}.npz"


def _frame(file: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Observation ``(39,)`` and action ``(7,)``."""
    try:
        with np.load(file, allow_pickle=False) as content:
            for key in SIZES:
                if key not in content.files:
                    raise SmbrlError(f"{file} has no {key}: {suggestion(key, content.files)}")
            robot, scene, action = (content[key] for key in SIZES)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise SmbrlError(
            f"{file} cannot be read as npz ({' '.join(str(error).split())[:100]}): "
            "it is missing, truncated or of another kind; get the recording again"
        ) from error
    for values, (key, size) in zip((robot, scene, action), SIZES.items(), strict=True):
        if values.shape != (size,) or values.dtype.kind not in "fiub":
            raise SmbrlError(f"{file}: {key} has shape {values.shape} of {values.dtype}, ({size},) numbers are needed")
        check_finite(values, key, file)
    return np.concatenate([robot, scene]).astype(np.float32), action.astype(np.float32)


def _scenes(file: Path) -> dict[str, list[int]]:
    """First and last frame of each scene: a pickled dictionary, read by the restricted unpickler."""
    if not file.is_file():
        return {}
    with file.open("rb") as stream:
        try:
            npy.read_magic(stream)
            npy.read_array_header_1_0(stream)
        except (ValueError, EOFError) as error:
            raise SmbrlError(f"{file} cannot be read ({' '.join(str(error).split())[:100]}): get it again") from error
        found = pickles.load(stream, file)
    if not isinstance(found, dict):
        raise SmbrlError(f"{file} holds no dictionary of scenes: get it again")
    return {str(scene): [int(frame) for frame in np.ravel(frames)] for scene, frames in found.items()}
