"""Files in D4RL's form, as HDF5 or npz: steps of episodes end to end.

``observations (N, O)``, ``actions (N, A)``, and one or more of what says where episodes end: ``terminals (N,)``,
``timeouts (N,)`` (1 at the last step), or the number of each step's episode in ``infos``, ``infos/episode`` or
``episode_ids`` ``(N,)``. Optionally ``rewards (N,)`` and ``next_observations (N, O)``. HDF5 is read a piece at a time,
so that a file may be larger than memory; npz is read whole.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from smbrl.data.files import Episode
from smbrl.data.sources import Last, Source, check_finite, finish, note_on_last
from smbrl.errors import SmbrlError, suggestion

REQUIRED = ("observations", "actions")
ENDS = ("terminals", "timeouts")
NUMBERS = ("infos", "infos/episode", "infos/episode_index", "infos/episode_id", "episode_ids", "episodes")
OPTIONAL = ("rewards", "next_observations")
WIDE = (*REQUIRED, "next_observations")
SUFFIXES = (".npz", ".hdf5", ".h5")
_PIECE = 1 << 21  # values that are checked at a time


Column: TypeAlias = "NDArray[Any] | h5py.Dataset"
"""Of an HDF5 data set, only what is asked for is read."""


@contextmanager
def opened(path: Path, last: Last) -> Iterator[Source]:
    """The episodes of a file, checked.

    Raises:
        SmbrlError: it cannot be read, or is not what it should be.
    """
    with ExitStack() as stack:
        try:
            columns = _columns(path, stack)
            rows = _check(columns, path)
            ends = _ends(columns, rows, path)
        except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
            raise _unreadable(path, error) from error
        complete = "next_observations" in columns
        usable = ends if complete or last == "repeat" else ends[np.diff(ends, prepend=0) > 1]
        if not len(usable):
            raise SmbrlError(
                f"{path} has no episode of at least one step with an observation after it: nothing to import"
            )
        yield Source(
            path.name,
            path.suffix.lstrip("."),
            columns["observations"].shape[1],
            columns["actions"].shape[1],
            lambda: _episodes(columns, ends, last, path),
            () if complete else (note_on_last(path.name, len(ends), rows, last),),
        )


def _unreadable(path: Path, error: Exception) -> SmbrlError:
    said = " ".join(str(error).split())
    inner = re.fullmatch(r"Unable to [\w ]+\((.*)\)", said)  # HDF5's own words begin differently in each version
    return SmbrlError(
        f"{path} cannot be read as {path.suffix[1:]} ({(inner[1] if inner else said)[:100]}): "
        "it is truncated or of another kind; get it again"
    )


def _columns(path: Path, stack: ExitStack) -> dict[str, Column]:
    """The known columns."""
    wanted = (*REQUIRED, *ENDS, *NUMBERS, *OPTIONAL)
    if path.suffix == ".npz":
        if not zipfile.is_zipfile(path):  # np.load would take it for a pickle, and recommend that
            raise zipfile.BadZipFile("not a zip archive")
        with np.load(path, allow_pickle=False) as content:
            return _select({key: content[key] for key in content.files if key in wanted}, content.files, path)
    content = stack.enter_context(h5py.File(path, "r"))
    present = {key: content[key] for key in wanted if key in content and isinstance(content[key], h5py.Dataset)}
    return _select(present, list(content), path)


def _select(present: Mapping[str, Column], keys: Iterable[str], path: Path) -> dict[str, Column]:
    for key in REQUIRED:
        if key not in present:
            raise SmbrlError(f"{path} has no {key} (needed: observations, actions, terminals): {suggestion(key, keys)}")
    if not any(key in present for key in (*ENDS, *NUMBERS)):
        raise SmbrlError(
            f"{path} has neither terminals nor timeouts nor the numbers of episodes (infos), so nobody knows where "
            "episodes end: add one of them"
        )
    return dict(present)


def _check(columns: dict[str, Column], path: Path) -> int:
    """Refuse kinds, shapes and values that cannot be; the number of rows."""
    for key, values in columns.items():
        if values.dtype.kind not in "fiub":
            raise SmbrlError(f"{path}: {key} holds {values.dtype}, not numbers")
    rows = (columns["actions"].shape or (1,))[0]
    for key, values in columns.items():
        shape = values.shape
        if key not in WIDE and len(shape) == 2 and shape[1] == 1:
            columns[key] = np.asarray(values[:])[:, 0]
            shape = shape[:1]
        if len(shape) != (2 if key in WIDE else 1):
            wanted = "(steps, size)" if key in WIDE else "(steps,)"
            raise SmbrlError(f"{path}: {key} has shape {shape}, {wanted} is needed")
        if shape[0] != rows:
            raise SmbrlError(f"{path}: {key} has {shape[0]} rows, actions have {rows}: all columns need as many rows")
        if 0 in shape[1:]:
            raise SmbrlError(f"{path}: {key} has shape {shape}: a vector needs at least one element")
    if rows == 0:
        raise SmbrlError(f"{path} has no steps: nothing to import")
    following = columns.get("next_observations")
    if following is not None and following.shape != columns["observations"].shape:
        raise SmbrlError(
            f"{path}: next_observations has shape {following.shape}, observations {columns['observations'].shape}: "
            "they must be equal"
        )
    for key, values in columns.items():
        piece = max(_PIECE // max(int(np.prod(values.shape[1:])), 1), 1)
        for start in range(0, rows, piece):
            found = values[start : start + piece]
            check_finite(found, key, path, start)
            if key in ENDS and not np.isin(found, (0, 1)).all():
                raise SmbrlError(f"{path}: {key} has values other than 0 and 1: it must say where episodes end")
    return int(rows)


def _ends(columns: Mapping[str, Column], rows: int, path: Path) -> NDArray[np.int64]:
    """The row after each episode's last; rows after the last end are one more, cut, episode."""
    over = np.zeros(rows, bool)
    for key in ENDS:
        if key in columns:
            over |= columns[key][:].astype(bool)
    for key in NUMBERS:
        if key in columns:
            numbers = columns[key][:]
            changes = numbers[1:] != numbers[:-1]
            over[:-1] |= changes
            firsts = numbers[np.flatnonzero(np.concatenate([[True], changes]))]
            if len(np.unique(firsts)) != len(firsts):
                twice = next(int(n) for i, n in enumerate(firsts) if n in firsts[:i])
                raise SmbrlError(
                    f"{path}: {key} has episode {twice} in two places: the steps of an episode must follow each other"
                )
    over[-1] = True
    return np.flatnonzero(over) + 1


def _episodes(columns: Mapping[str, Column], ends: NDArray[np.int64], last: Last, path: Path) -> Iterator[Episode]:
    following, rewards = columns.get("next_observations"), columns.get("rewards")
    terminals = columns["terminals"][:].astype(bool) if "terminals" in columns else None
    start = 0
    try:
        for end in ends.tolist():
            rows = slice(start, end)
            start = end
            obs, actions = columns["observations"][rows], columns["actions"][rows]
            reward = None if rewards is None else rewards[rows]
            terminated = terminals is not None and bool(terminals[end - 1])
            if following is not None:
                obs = np.concatenate([obs, following[end - 1 : end]])
                yield Episode(
                    obs.astype(np.float32, copy=False),
                    actions.astype(np.float32, copy=False),
                    None if reward is None else reward.astype(np.float32, copy=False),
                    terminated,
                )
                continue
            episode = finish(obs, actions, reward, terminated, last)
            if episode is not None:
                yield episode
    except OSError as error:
        raise _unreadable(path, error) from error
