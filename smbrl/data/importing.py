"""Bring data sets that exist elsewhere into the store: Minari's, and flat files in D4RL's form.

A flat file (npz or HDF5) has ``observations (N, O)``, ``actions (N, A)`` and ``terminals (N,)`` and/or
``timeouts (N,)``; optionally ``rewards (N,)`` and ``next_observations (N, O)``. Rows are steps of episodes end to end.
Such files lack the observation after an episode's last action: it is taken from ``next_observations`` where that
exists, else the last action of each episode is left out. Values are stored as they are (as float32).
"""

from __future__ import annotations

import logging
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
from numpy.typing import NDArray

from smbrl.data import store
from smbrl.data.files import METADATA, Arrays, Episode, read_arrays, read_metadata, write_episodes
from smbrl.errors import SmbrlError, suggestion
from smbrl.interfaces import TaskSpec

logger = logging.getLogger(__name__)

REQUIRED = ("observations", "actions")
ENDS = ("terminals", "timeouts")
OPTIONAL = ("rewards", "next_observations")
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".gz")

Columns = dict[str, NDArray[Any]]


def import_path(path: Path, *, name: str | None = None, spec: TaskSpec | None = None) -> store.Dataset:
    """Store the data set at ``path``.

    Args:
        path: a Minari data set's folder, or a .npz, .hdf5 or .h5 file.
        name: Minari id to store it under; None: the data set's own, or ``imported/FILE-v0``.
        spec: of the task it is meant for; sizes that differ are refused.

    Raises:
        SmbrlError: the file cannot be read, is not what it should be, or the id is taken by other data.
    """
    path = path.expanduser()
    if name is not None:
        store.check_name(name)
    if not path.exists():
        raise SmbrlError(f"{path} does not exist: give a Minari data set's folder, an .npz or an .hdf5 file")
    return _import_minari(path, name, spec) if path.is_dir() else _import_flat(path, name, spec)


def _import_minari(path: Path, name: str | None, spec: TaskSpec | None) -> store.Dataset:
    data = path if (path / METADATA).exists() else path / "data"
    if not (data / METADATA).exists():
        raise SmbrlError(f"{path} is no Minari data set: {METADATA} is neither there nor in {path / 'data'}")
    metadata = read_metadata(data)
    name = name or metadata.get("dataset_id")
    if not isinstance(name, str):
        raise SmbrlError(f"{data / METADATA} names no dataset_id: give one with --name NAMESPACE/NAME-vN")
    arrays = read_arrays(data)
    if arrays.obs.ndim != 2 or arrays.actions.ndim != 2:
        raise SmbrlError(
            f"{path} has observations of shape {arrays.obs.shape[1:]} and actions of shape {arrays.actions.shape[1:]}: "
            "only flat vectors can be imported"
        )
    _check_numbers({"observations": arrays.obs, "actions": arrays.actions}, path)
    _check_sizes(arrays.obs.shape[1], arrays.actions.shape[1], spec, path)
    provenance = metadata.get(store.PROVENANCE)
    record = {"source": "imported", "name": name, "file": path.name, "kind": "minari", "original": provenance}
    return _create(name, lambda target: shutil.copytree(data, target), record, arrays.content_hash())


def _import_flat(path: Path, name: str | None, spec: TaskSpec | None) -> store.Dataset:
    columns = _read(path)
    _check_columns(columns, path)
    _check_sizes(columns["observations"].shape[1], columns["actions"].shape[1], spec, path)
    episodes = list(_episodes(columns))
    if not episodes:
        raise SmbrlError(f"{path} has no episode of at least one step with an observation after it: nothing to import")
    steps = sum(len(episode.actions) for episode in episodes)
    left_out = len(columns["actions"]) - steps
    if left_out:
        logger.warning(
            "%s has no next_observations: the last action of each episode is left out (%d of %d steps)",
            path.name,
            left_out,
            len(columns["actions"]),
        )
    if np.abs(columns["actions"]).max() > 1.0:
        logger.warning("%s has actions outside [-1, 1], which smbrl's tasks do not: they are kept", path.name)
    stem = re.sub(r"[^-\w]+", "-", path.stem).strip("-")
    name = name or f"imported/{stem or 'data'}-v0"
    spaces = [gymnasium.spaces.Box(-np.inf, np.inf, (columns[column].shape[1],), np.float32) for column in REQUIRED]
    record = {"source": "imported", "name": name, "file": path.name, "kind": path.suffix.lstrip(".")}
    return _create(
        name, lambda target: write_episodes(target, episodes, *spaces), record, Arrays.of(episodes).content_hash()
    )


def _create(name: str, make: Callable[[Path], object], record: dict[str, Any], content_hash: str) -> store.Dataset:
    """Store, and refuse an id that other data have."""
    store.check_name(name)
    dataset = store.create(name, make, record)
    if content_hash != dataset.content_hash:
        raise SmbrlError(
            f"the store has other data as {name} already (content {dataset.content_hash[:12]}): "
            f"give these another --name, or remove {dataset.path}"
        )
    return dataset


def _read(path: Path) -> Columns:
    """The known columns of an npz or HDF5 file."""
    head = path.open("rb").read(8)
    if path.suffix in PICKLES or head[:1] == b"\x80" or head[:2] == b"\x1f\x8b":
        raise SmbrlError(
            f"{path} looks like a pickle: reading one can run any code, so smbrl does not; "
            "convert it to .npz with keys observations, actions, terminals, timeouts where you trust it"
        )
    wanted = (*REQUIRED, *ENDS, *OPTIONAL)
    try:
        if path.suffix == ".npz":
            if not zipfile.is_zipfile(path):  # np.load would take it for a pickle, and recommend that
                raise zipfile.BadZipFile("not a zip archive")
            with np.load(path, allow_pickle=False) as content:
                return _select({key: content[key] for key in content.files if key in wanted}, content.files, path)
        if path.suffix in (".hdf5", ".h5"):
            with h5py.File(path, "r") as content:
                present = {key: content[key][()] for key in wanted if isinstance(content.get(key), h5py.Dataset)}
                return _select(present, list(content), path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SmbrlError(
            f"{path} cannot be read as {path.suffix[1:]} ({' '.join(str(error).split())[:100]}): "
            "it is truncated or of another kind; get it again"
        ) from error
    raise SmbrlError(f"{path} has suffix {path.suffix or 'none'}: .npz, .hdf5, .h5 or a Minari folder can be imported")


def _select(present: Mapping[str, NDArray[Any]], keys: list[str], path: Path) -> Columns:
    for key in REQUIRED:
        if key not in present:
            raise SmbrlError(f"{path} has no {key} (needed: observations, actions, terminals): {suggestion(key, keys)}")
    if not any(key in present for key in ENDS):
        raise SmbrlError(
            f"{path} has neither terminals nor timeouts, so nobody knows where episodes end: add one of them"
        )
    return dict(present)


def _check_columns(columns: Columns, path: Path) -> None:
    rows = len(np.atleast_1d(columns["actions"]))
    for key, values in columns.items():
        if values.dtype.kind not in "fiub":
            raise SmbrlError(f"{path}: {key} holds {values.dtype}, not numbers")
        dimensions = 2 if key in (*REQUIRED, "next_observations") else 1
        if key not in (*REQUIRED, "next_observations") and values.ndim == 2 and values.shape[1] == 1:
            values = columns[key] = values[:, 0]
        if values.ndim != dimensions:
            wanted = "(steps, size)" if dimensions == 2 else "(steps,)"
            raise SmbrlError(f"{path}: {key} has shape {values.shape}, {wanted} is needed")
        if len(values) != rows:
            raise SmbrlError(
                f"{path}: {key} has {len(values)} rows, actions have {rows}: all columns need as many rows"
            )
    if rows == 0:
        raise SmbrlError(f"{path} has no steps: nothing to import")
    following = columns.get("next_observations")
    if following is not None and following.shape != columns["observations"].shape:
        raise SmbrlError(
            f"{path}: next_observations has shape {following.shape}, observations {columns['observations'].shape}: "
            "they must be equal"
        )
    for key in ENDS:
        if key in columns and not np.isin(columns[key], (0, 1)).all():
            raise SmbrlError(f"{path}: {key} has values other than 0 and 1: it must say where episodes end")
    _check_numbers(columns, path)


def _check_numbers(columns: Columns, path: Path) -> None:
    for key, values in columns.items():
        finite = np.isfinite(values)
        if not finite.all():
            row = int(np.argwhere(~finite)[0][0])
            raise SmbrlError(
                f"{path}: {key} has {int((~finite).sum())} values that are not finite, the first in row {row}: "
                "repair the file"
            )


def _check_sizes(observation: int, action: int, spec: TaskSpec | None, path: Path) -> None:
    if spec is not None and (observation, action) != (spec.observation, spec.action):
        raise SmbrlError(
            f"{path} has observations of size {observation} and actions of size {action}, the task has "
            f"{spec.observation} and {spec.action}: it is data of another task"
        )


def _episodes(columns: Columns) -> Iterator[Episode]:
    """Cut the rows where an episode ended; rows after the last end are one more, cut, episode."""
    rows = len(columns["actions"])
    terminal = columns.get("terminals", np.zeros(rows)).astype(bool)
    ends = np.flatnonzero(terminal | columns.get("timeouts", np.zeros(rows)).astype(bool)) + 1
    if not len(ends) or ends[-1] != rows:
        ends = np.append(ends, rows)
    following = columns.get("next_observations")
    rewards = columns.get("rewards", np.zeros(rows))
    start = 0
    for end in ends.tolist():
        obs = columns["observations"][start:end]
        steps = slice(start, end)
        if following is not None:
            obs = np.concatenate([obs, following[end - 1 : end]])
        else:
            steps = slice(start, end - 1)
        if len(obs) > 1:
            yield Episode(
                obs.astype(np.float32),
                columns["actions"][steps].astype(np.float32),
                rewards[steps].astype(np.float32),
                bool(terminal[end - 1]) and following is not None,
            )
        start = end
