"""Checkpoints: tensors in safetensors, the rest in JSON, hashes over both, all or nothing.

A checkpoint is a folder::

    checkpoints/00000007/
        tensors.safetensors     every tensor of the state, by its path in the nested state
        state.json              the nested state with {"$tensor": path} where a tensor was
        manifest.json           {"body": {format, serial, phase, step, smbrl, created, files: {name: sha256}}, "sha256"}

It is written beside its place, synchronised to the disk and renamed into it, so a killed process leaves a whole
checkpoint or none. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

import smbrl
from smbrl.errors import SmbrlError

FORMAT = 1
"""Raised when a reader of the old format could no longer read the new one."""

TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
logger = logging.getLogger("smbrl.training.checkpoint")


@dataclass(frozen=True)
class Checkpoint:
    """A state that was read back whole.

    Attributes:
        state: as it was saved; tensors on the CPU.
        phase, step: what was going on, and how far it was.
        serial: its place in the order of writing.
        path: its folder.
    """

    state: dict[str, Any]
    phase: str
    step: int
    serial: int
    path: Path


class DamagedError(Exception):
    """A checkpoint that cannot be used; the message says what is wrong with it."""


# -- a nested state as flat tensors and JSON -------------------------------------------------------


def flatten(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Nested dicts, lists and tuples of tensors and plain values -> (JSON tree, tensors by path).

    Raises:
        TypeError: a value is none of these; the message names its path.
    """
    tensors: dict[str, Tensor] = {}
    return _encode(state, "", tensors), tensors


def _encode(state: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    def inside(key: Any, value: Any) -> Any:
        return _encode(value, f"{path}/{key}" if path else str(key), tensors)

    match state:
        case Tensor():
            name = path or "tensor"
            while name in tensors:  # {"a/b": x, "a": {"b": y}}
                name += "'"
            # a copy: safetensors refuses tensors that share memory, and the caller may go on changing this one
            tensors[name] = state.detach().to("cpu", copy=True).contiguous()
            return {"$tensor": name}
        case bool() | int() | float() | str() | None:
            return state
        case dict():
            if all(isinstance(key, str) and not key.startswith("$") for key in state):
                return {key: inside(key, value) for key, value in state.items()}
            return {"$pairs": [[_encode(key, path, tensors), inside(key, value)] for key, value in state.items()]}
        case tuple():
            return {"$tuple": [inside(index, value) for index, value in enumerate(state)]}
        case list():
            return [inside(index, value) for index, value in enumerate(state)]
    raise TypeError(f"cannot checkpoint {path or 'the state'}: {type(state).__name__} is no tensor, no plain value")


def restore(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverse of ``flatten``."""
    if isinstance(tree, list):
        return [restore(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "$tensor" in tree:
        return tensors[tree["$tensor"]]
    if "$tuple" in tree:
        return tuple(restore(value, tensors) for value in tree["$tuple"])
    if "$pairs" in tree:
        return {restore(key, tensors): restore(value, tensors) for key, value in tree["$pairs"]}
    return {key: restore(value, tensors) for key, value in tree.items()}


# -- one folder ------------------------------------------------------------------------------------


def write(path: Path, state: dict[str, Any], **about: Any) -> None:
    """Write ``state`` as the folder ``path``, all or nothing; an existing folder there stays and wins.

    Args:
        path: the folder to be.
        state: nested dicts, lists, tuples of tensors and plain values.
        about: JSON values for the manifest.
    """
    tree, tensors = flatten(state)
    files = {TENSORS: save_tensors(tensors), STATE: json.dumps(tree).encode()}
    body = {
        "format": FORMAT,
        "smbrl": smbrl.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "files": {name: _sha256(data) for name, data in files.items()},
    }
    files[MANIFEST] = json.dumps({"body": body, "sha256": _sha256(_canonical(body))}, indent=1).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        for name, data in files.items():
            with open(scratch / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(scratch)
        try:
            os.rename(scratch, path)
        except OSError:
            if not (path / MANIFEST).exists():
                raise
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state in the folder ``path`` and its manifest, every hash checked.

    Raises:
        DamagedError: something is missing or is not what was written.
        SmbrlError: it was written in a newer format.
    """
    body = manifest(path)
    files = {}
    for name, expected in body["files"].items():
        try:
            files[name] = (path / name).read_bytes()
        except OSError as error:
            raise DamagedError(f"{name} cannot be read ({error.strerror})") from error
        if _sha256(files[name]) != expected:
            raise DamagedError(f"{name} is not what was written (its hash differs)")
    try:
        return restore(json.loads(files[STATE]), load_tensors(files[TENSORS])), body
    except (ValueError, KeyError, SafetensorError) as error:
        raise DamagedError(f"it cannot be decoded ({error})") from error


def manifest(path: Path) -> dict[str, Any]:
    """The manifest of the folder ``path``; the files it speaks of are not looked at. Raises like ``read``."""
    try:
        content = json.loads((path / MANIFEST).read_bytes())
        body, expected = content["body"], content["sha256"]
        found = body["format"]
    except OSError as error:
        raise DamagedError(f"{MANIFEST} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{MANIFEST} is not a manifest") from error
    if _sha256(_canonical(body)) != expected:
        raise DamagedError(f"{MANIFEST} is not what was written (its hash differs)")
    if found > FORMAT:
        raise SmbrlError(
            f"{path} has checkpoint format {found}, written by smbrl {body.get('smbrl', '?')}; "
            f"this is smbrl {smbrl.__version__}, which reads up to format {FORMAT}: update smbrl"
        )
    return dict(body)


# -- the checkpoints of a run ----------------------------------------------------------------------


class CheckpointStore:
    """The latest few checkpoints of a run.

    Args:
        folder: where they lie; made when the first one is written.
        keep: how many stay.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder = folder
        self.keep = keep
        self._serial = max((int(path.name) for path in self._paths()), default=0)

    def _paths(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from sorted((p for p in self.folder.iterdir() if p.name.isdigit()), reverse=True)

    def save(self, state: dict[str, Any], *, phase: str, step: int) -> Path:
        """Write the next checkpoint, then let the oldest go.

        Raises:
            SmbrlError: the disk does not take it.
        """
        self._serial += 1
        path = self.folder / f"{self._serial:08d}"
        try:
            write(path, state, serial=self._serial, phase=phase, step=step)
        except OSError as error:
            raise SmbrlError(
                f"cannot write the checkpoint {path} ({error.strerror}); earlier ones are kept: "
                "make room (a run that had to stop goes on with smbrl resume)"
            ) from error
        for old in list(self._paths())[self.keep :]:
            shutil.rmtree(old, ignore_errors=True)
        for stray in self.folder.glob(".*.tmp"):  # left by a killed process
            shutil.rmtree(stray, ignore_errors=True)
        return path

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; each damaged one on the way to it is a warning. None without any.

        Raises:
            SmbrlError: the newest was written in a newer format, or there are some but none is whole.
        """
        damaged = []
        for path in self._paths():
            try:
                state, body = read(path)
            except DamagedError as error:
                damaged.append(path)
                logger.warning(f"checkpoint {path} is damaged: {error}; trying the one before it")
                continue
            return Checkpoint(state, body["phase"], body["step"], body["serial"], path)
        if damaged:
            raise SmbrlError(
                f"none of the {len(damaged)} checkpoints in {self.folder} is whole; "
                "delete that folder to start the run anew with smbrl resume"
            )
        return None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _sync_folder(path: Path) -> None:
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
