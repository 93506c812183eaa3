"""Bring data sets that exist elsewhere into the store: from files, folders, and by the names that others gave them.

What can be imported: a Minari data set (folder or id), D4RL's HDF5 (file or name) and npz of the same form
(`smbrl.data.flat`), SkiMo's pickles (`smbrl.data.pickles`), CALVIN's recordings (`smbrl.data.frames`). Values are
stored as they are (as float32). Whatever is wrong with a file is found before or while it is written into a draft, so
that the store stays as it was.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np

from smbrl.data import flat, frames, hub, pickles, store
from smbrl.data.files import METADATA, Episode, content_hash, read_metadata, reading, write_episodes
from smbrl.data.sources import Last, Source, check_finite, selected
from smbrl.errors import SmbrlError, suggestion
from smbrl.interfaces import Progress, TaskSpec

logger = logging.getLogger(__name__)


def import_data(
    what: str,
    *,
    name: str | None = None,
    spec: TaskSpec | None = None,
    elements: tuple[int, ...] | None = None,
    last: Last = "repeat",
    mirrors: Sequence[str] = (),
    progress: Progress | None = None,
) -> store.Dataset:
    """Store what a path or a name stands for.

    Args:
        what: a path, one of D4RL's names (`smbrl.data.hub`), or a Minari id.
        name: Minari id to store it under; None: the data set's own, or ``imported/FILE-v0``.
        spec: of the task it is meant for; sizes that differ are refused.
        elements: of the observation to keep; None: all.
        last: what becomes of an episode's last action where the observation after it is missing.
        mirrors: base addresses to ask for D4RL's files first.
        progress: told (received, total) bytes of a download.

    Raises:
        SmbrlError: it does not exist, is not what it should be, or the id is taken by other data.
    """
    path = Path(what).expanduser()
    if path.exists():
        return import_path(path, name=name, spec=spec, elements=elements, last=last)
    if name is not None:
        store.check_name(name)
    if what in hub.FILES or (re.fullmatch(r"[\w-]+-v\d+", what) and what in hub.d4rl_files()):
        file, record = hub.d4rl_file(what, mirrors=mirrors, progress=progress)
        origin = record | {"d4rl": what}
        return import_path(file, name=name or f"d4rl/{what}", spec=spec, elements=elements, last=last, origin=origin)
    if "/" in what and not path.suffix and re.search(r"-v\d+$", what):
        folder = hub.minari_folder(what)
        return import_path(folder, name=name, spec=spec, elements=elements, last=last, origin={"minari": what})
    raise SmbrlError(
        f"{what} does not exist, and is no name of D4RL's ({suggestion(what, hub.FILES)}) or Minari's "
        "(NAMESPACE/NAME-vN): give a Minari folder, an .npz, .hdf5 or pickle file, or a name"
    )


def import_path(
    path: Path,
    *,
    name: str | None = None,
    spec: TaskSpec | None = None,
    elements: tuple[int, ...] | None = None,
    last: Last = "repeat",
    origin: dict[str, Any] | None = None,
) -> store.Dataset:
    """Store the data set at ``path``; see `import_data`.

    Args:
        path: a Minari data set's folder, a CALVIN recording's, or a file.
        name, spec, elements, last: as for `import_data`.
        origin: where the path is from, for the provenance.

    Raises:
        SmbrlError: it cannot be read, is not what it should be, or the id is taken by other data.
    """
    path = path.expanduser()
    if name is not None:
        store.check_name(name)
    if not path.exists():
        raise SmbrlError(f"{path} does not exist: give a Minari data set's folder, an .npz or an .hdf5 file")
    with _opened(path, last) as source:
        if elements is not None:
            source = selected(source, elements)
        elif source.kind == "frames" and (spec is None or spec.observation == frames.WITHOUT_BLOCKS):
            source = selected(source, tuple(range(frames.WITHOUT_BLOCKS)))
        _check_sizes(source, spec, path)
        for note in source.notes:
            logger.warning("%s", note)
        record = {"source": "imported", "file": source.name, "kind": source.kind} | source.record
        if origin:
            record["origin"] = origin
        if source.kind == "minari":
            name = name or source.record["id"]
            if name is None:
                raise SmbrlError(f"{path} names no dataset_id: give one with --name NAMESPACE/NAME-vN")
            if elements is None and source.record["flat"]:
                data = _minari_data(path)
                return _create(name, lambda target: shutil.copytree(data, target), record, source)
        if name is None:
            stem = re.sub(r"[^-\w]+", "-", path.name if path.is_dir() else path.name.split(".")[0]).strip("-")
            name = f"imported/{stem or 'data'}" + ("" if re.search(r"\w-v\d+$", stem) else "-v0")
        sizes = (source.observation, source.action)
        spaces = [gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32) for size in sizes]
        return _create(name, lambda target: write_episodes(target, _watched(source), *spaces), record, source)


@contextmanager
def _opened(path: Path, last: Last) -> Iterator[Source]:
    """The episodes at a path, by what the path is."""
    if path.is_dir():
        recording = frames.folder_of(path)
        if recording is not None:
            yield frames.read(recording, last)
            return
        with _minari(path) as source:
            yield source
        return
    with path.open("rb") as file:
        head = file.read(8)
    if path.suffix in flat.SUFFIXES:
        if path.suffix == ".npz" or h5py.is_hdf5(path) or not _pickled(head):
            with flat.opened(path, last) as source:
                yield source
            return
        raise SmbrlError(f"{path} is a pickle, not what its suffix says: call it .pkl, or .gz where it is compressed")
    if path.suffix in pickles.SUFFIXES or _pickled(head):
        yield pickles.read(path, last)
        return
    raise SmbrlError(
        f"{path} has suffix {path.suffix or 'none'}: .npz, .hdf5, .h5, a pickle of trajectories (.pkl, .gz), a Minari "
        "folder or a CALVIN recording can be imported"
    )


def _pickled(head: bytes) -> bool:
    return head[:1] == b"\x80" or head[:2] == pickles.GZIP


def _minari_data(path: Path) -> Path:
    """The folder with a Minari data set's files."""
    return path if (path / METADATA).exists() else path / "data"


@contextmanager
def _minari(path: Path) -> Iterator[Source]:
    data = _minari_data(path)
    if not (data / METADATA).exists():
        raise SmbrlError(
            f"{path} is no Minari data set ({METADATA} is neither there nor in {path / 'data'}) and no CALVIN "
            f"recording (no {frames.INDEX})"
        )
    metadata = read_metadata(data)
    name = metadata.get("dataset_id")
    with reading(data, goals=True) as reader:
        for what, pieces in (("observations", reader.observations()), ("actions", reader.actions())):
            for episode, values in enumerate(pieces):
                check_finite(values, f"{what} of episode {episode}", path)
        record = {
            "id": name if isinstance(name, str) else None,
            "original": metadata.get(store.PROVENANCE),
            "flat": reader.flat,
        }
        yield Source(path.name, "minari", reader.observation, reader.action, reader.episodes, (), record)


def _watched(source: Source) -> Iterator[Episode]:
    """The episodes; a warning where actions are larger than tasks have them."""
    largest = 0.0
    for episode in source.episodes():
        largest = max(largest, float(np.abs(episode.actions).max()))
        yield episode
    if largest > 1.0:
        logger.warning("%s has actions outside [-1, 1], which smbrl's tasks do not: they are kept", source.name)


def _check_sizes(source: Source, spec: TaskSpec | None, path: Path) -> None:
    if spec is None or (source.observation, source.action) == (spec.observation, spec.action):
        return
    hint = "it is data of another task"
    if source.observation > spec.observation and source.action == spec.action:
        hint += f", or has more than the task looks at: keep a part with --elements 0:{spec.observation}"
    raise SmbrlError(
        f"{path} has observations of size {source.observation} and actions of size {source.action}, the task has "
        f"{spec.observation} and {spec.action}: {hint}"
    )


def _create(name: str, make: Any, record: dict[str, Any], source: Source) -> store.Dataset:
    """Store, and refuse an id that other data have."""
    store.check_name(name)
    made = False

    def watched(target: Path) -> None:
        nonlocal made
        make(target)
        made = True

    dataset = store.create(name, watched, {**record, "name": name})
    if not made and _hash(source) != dataset.content_hash:
        raise SmbrlError(
            f"the store has other data as {name} already (content {dataset.content_hash[:12]}): "
            f"give these another --name, or remove {dataset.path}"
        )
    return dataset


def _hash(source: Source) -> str:
    """The content hash that the source would get: three readings, none of which keeps more than an episode."""
    lengths = np.array([len(episode.actions) for episode in source.episodes()], np.int64)
    return content_hash(
        lengths,
        (episode.obs for episode in source.episodes()),
        (np.concatenate([e.actions, np.zeros_like(e.actions[:1])]) for e in source.episodes()),
    )
