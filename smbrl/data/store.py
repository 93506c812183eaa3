"""The local store of data sets: find what was asked for, or make it, once.

Below ``$SMBRL_HOME/datasets`` (default: the platform's folder for user data) lie Minari data sets, so that
``MINARI_DATASETS_PATH=$SMBRL_HOME/datasets`` shows them to Minari. A data set is found again by name and a hash of
(name, parameters, seed), which is part of its id: ``smbrl/maze-v1`` becomes ``smbrl/maze-1f0c9a3be2-v1``. Every reading
checks the content hash that was recorded when it was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock

from smbrl.data import mapping
from smbrl.data.files import Arrays, Episode, add_metadata, read_arrays, read_metadata, reading
from smbrl.errors import SmbrlError, suggestion
from smbrl.interfaces import DatasetRequest, Progress, Task

PROVENANCE = "smbrl"
"""Key of the provenance in a data set's ``metadata.json``."""
FORMAT = 1
_ID = re.compile(r"(?P<name>[-\w]+(/[-\w]+)*?)-v(?P<version>\d+)")


def home() -> Path:
    """Where smbrl keeps what outlives a run: ``$SMBRL_HOME``, else the platform's user data folder."""
    chosen = os.environ.get("SMBRL_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "smbrl"


def root() -> Path:
    """The folder with the data sets, in Minari's layout."""
    return home() / "datasets"


@dataclass(frozen=True)
class Dataset:
    """A data set of the store.

    Attributes:
        id: Minari id.
        path: its folder (the data lie in ``data`` below).
        provenance: name, parameters, seed, versions, content_hash, created, episodes, steps, source.
    """

    id: str
    path: Path
    provenance: dict[str, Any] = field(repr=False)

    @property
    def content_hash(self) -> str:
        """sha256 of observations, actions and order, as recorded when the data were made."""
        return str(self.provenance["content_hash"])

    @cached_property
    def mapped(self) -> bool:
        """Whether `arrays` are mapped files: they would fill this machine's memory, or ``SMBRL_MAP_DATA`` says so."""
        return mapping.wanted(self.path / "data")

    @cached_property
    def arrays(self) -> Arrays:
        """All episodes end to end, checked against the recorded hash: in memory, or mapped (see `smbrl.data.mapping`).

        Raises:
            SmbrlError: the file is damaged.
        """
        if self.mapped:
            return mapping.map_arrays(self.path / "data", self.content_hash)
        arrays = read_arrays(self.path / "data")
        found = arrays.content_hash()
        if found != self.content_hash:
            raise SmbrlError(
                f"data set {self.id} is damaged: its content hash is {found[:12]}, recorded was "
                f"{self.content_hash[:12]}; remove {self.path} and generate or import it again"
            )
        return arrays

    def episodes(self) -> Iterator[Episode]:
        """Observations and actions, episode by episode (rewards are not read)."""
        arrays = self.arrays
        for start, steps in zip(arrays.starts.tolist(), arrays.lengths.tolist(), strict=True):
            yield Episode(arrays.obs[start : start + steps + 1], arrays.actions[start : start + steps])


def key(request: DatasetRequest, seed: int) -> str:
    """Ten hex digits that stand for name, parameters and seed."""
    try:
        text = json.dumps([request.name, request.parameters, seed], sort_keys=True, separators=(",", ":"))
    except TypeError as error:
        raise SmbrlError(f"the parameters of data set {request.name} are not plain JSON values ({error})") from error
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def dataset_id(request: DatasetRequest, seed: int) -> str:
    """The Minari id of what was asked for."""
    check_name(request.name)
    name, version = request.name.rsplit("-v", 1)
    return f"{name}-{key(request, seed)}-v{version}"


def check_name(name: str) -> None:
    """Refuse what is no Minari id.

    Raises:
        SmbrlError: it is none.
    """
    if _ID.fullmatch(name) is None:
        raise SmbrlError(f"{name!r} is no Minari id: give NAMESPACE/NAME-vN, letters, digits, - and _")


def find(request: DatasetRequest, *, seed: int) -> Dataset | None:
    """The stored data set made with exactly these parameters and seed, or None.

    Raises:
        SmbrlError: the request names a stored data set that is not there, or what is there is damaged.
    """
    if request.stored is not None:
        return load(request.stored)
    name = dataset_id(request, seed)
    path = root() / name
    if not path.is_dir():
        return None
    dataset = _open(name)
    recorded = [dataset.provenance.get(k) for k in ("name", "parameters", "seed")]
    if recorded != json.loads(json.dumps([request.name, request.parameters, seed])):
        raise SmbrlError(f"data set {name} records other parameters than its name stands for: remove {path}")
    return dataset


def available(task: Task, *, seed: int = 0) -> Dataset | None:
    """The task's offline data where the store has them, else None.

    Raises:
        SmbrlError: the task has no offline data, or asks for a stored data set that is missing or does not fit it.
    """
    request = _request(task)
    found = find(request, seed=seed)
    return _fitting(found, task) if found is not None and request.stored is not None else found


def _request(task: Task) -> DatasetRequest:
    request = task.dataset()
    if request is None:
        raise SmbrlError(f"task {type(task).__name__} has no offline data: use an agent that does not pre-train")
    return request


def ensure(task: Task, *, seed: int = 0, workers: int = 1, progress: Progress | None = None) -> Dataset:
    """The task's offline data: from the store, else generated into it.

    Several processes may ask at the same time: one generates, the others wait. An interrupted generation leaves
    nothing that could be taken for data.

    Args:
        task: whose `Task.dataset` says what is wanted.
        seed: of the generator.
        workers: processes to generate with; no influence on the data.
        progress: told (finished, total) episodes while generating.

    Raises:
        SmbrlError: the task has no data or no generator, or what is stored is damaged.
    """
    found = available(task, seed=seed)
    if found is not None:
        return found
    request = _request(task)

    def make(path: Path) -> None:
        try:
            task.generate(path, seed=seed, workers=workers, progress=progress)
        except NotImplementedError as error:
            raise SmbrlError(
                f"task {type(task).__name__} cannot generate its data {request.name}: "
                "get them elsewhere, `smbrl data import` them, and give the task their id"
            ) from error

    record = {
        "source": "generated",
        "name": request.name,
        "parameters": request.parameters,
        "seed": seed,
        "task": type(task).__name__,
        "settings": _plain(task.settings),
    }
    return create(dataset_id(request, seed), make, record)


def _fitting(dataset: Dataset, task: Task) -> Dataset:
    """Refuse data of another task."""
    arrays = dataset.arrays
    sizes = (arrays.obs.shape[1], arrays.actions.shape[1])
    if sizes != (task.spec.observation, task.spec.action):
        raise SmbrlError(
            f"data set {dataset.id} has observations of size {sizes[0]} and actions of size {sizes[1]}, task "
            f"{type(task).__name__} has {task.spec.observation} and {task.spec.action}: choose another data set"
        )
    return dataset


def _plain(settings: dict[str, Any]) -> dict[str, Any] | None:
    """Settings as JSON would give them back, or None where they are more than plain values."""
    try:
        return dict(json.loads(json.dumps(settings)))
    except TypeError:
        return None


def create(name: str, make: Callable[[Path], object], record: dict[str, Any]) -> Dataset:
    """Put a data set into the store, all or nothing; what is already there under this id is returned.

    Args:
        name: Minari id.
        make: writes a data folder (see `smbrl.data.files.write_episodes`) at the path it is given. What it puts into
            the folder ``parts`` beside that outlives an interruption: the next attempt finds it there.
        record: provenance to store beside versions, date, counts and content hash.
    """
    try:
        root().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SmbrlError(
            f"cannot create the data store {root()} ({error.strerror}): set SMBRL_HOME to another folder"
        ) from error
    target = root() / name
    flat = name.replace("/", "-")
    with FileLock(root() / f".{flat}.lock"):
        if target.is_dir():
            return _open(name)
        kept = root() / f".{flat}.parts"
        for stale in root().glob(f".{flat}.tmp-*"):  # of a killed process: we hold the lock, so nobody writes there
            _keep(stale / "parts", kept)
            shutil.rmtree(stale, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{flat}.tmp-", dir=root()))
        try:
            _keep(kept, draft / "parts")
            data = draft / "data"
            make(data)
            with reading(data) as reader:
                found = {
                    "content_hash": reader.content_hash(),
                    "episodes": len(reader.lengths),
                    "steps": int(reader.lengths.sum()),
                }
            provenance = record | {
                "format": FORMAT,
                **found,
                "versions": versions(),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            add_metadata(data, {"dataset_id": name, PROVENANCE: provenance})
            for file in data.iterdir():
                with file.open("rb+") as handle:
                    os.fsync(handle.fileno())
            shutil.rmtree(draft / "parts", ignore_errors=True)
            draft.chmod(0o755)
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(target)
        except OSError as error:
            raise SmbrlError(
                f"cannot write data set {name} below {root()} ({error.strerror or error}): "
                "free space, or set SMBRL_HOME to another folder"
            ) from error
        finally:
            _keep(draft / "parts", kept)
            shutil.rmtree(draft, ignore_errors=True)
    return _open(name)


def _keep(parts: Path, at: Path) -> None:
    """Move the finished parts of a generation, where there are any."""
    if parts.is_dir() and not at.exists() and any(parts.iterdir()):
        parts.rename(at)


def versions() -> dict[str, str]:
    """Versions of what the data depend on."""
    found = {"python": platform.python_version()}
    for package in ("smbrl", "numpy", "mujoco", "gymnasium", "minari", "h5py"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def names() -> list[str]:
    """Ids of all stored data sets."""
    if not root().is_dir():
        return []
    found = (path.parent.parent for path in root().glob("**/data/metadata.json"))
    return sorted(
        folder.relative_to(root()).as_posix()
        for folder in found
        if not any(part.startswith(".") for part in folder.relative_to(root()).parts)
    )


def load(name: str) -> Dataset:
    """A stored data set by its id, or by an unambiguous beginning of it.

    Raises:
        SmbrlError: none or several fit, or the data set is damaged.
    """
    known = names()
    fitting = [name] if name in known else [candidate for candidate in known if candidate.startswith(name)]
    if len(fitting) > 1:
        raise SmbrlError(f"{name!r} fits {len(fitting)} data sets: {', '.join(fitting)}; give more of the name")
    if not fitting:
        raise SmbrlError(
            f"no data set {name!r} in {root()}: {suggestion(name, known)}; make one with `smbrl data generate` or "
            "`smbrl data import`"
        )
    return _open(fitting[0])


def _open(name: str) -> Dataset:
    path = root() / name
    provenance = read_metadata(path / "data").get(PROVENANCE)
    if not isinstance(provenance, dict) or "content_hash" not in provenance:
        raise SmbrlError(f"{path} has no smbrl provenance: bring it in with `smbrl data import {path}`")
    return Dataset(name, path, provenance)
