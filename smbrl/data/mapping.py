"""Data sets larger than memory: flat files beside the data, mapped instead of read.

Minari's HDF5 has a data set per episode, which is fine to keep and slow to draw windows from. So a large data set is
written once more, end to end as in `Arrays`, into ``mapped/`` beside its ``data/``, and mapped from there: what a
window needs is read from disk when it is needed, the system keeps what is used often and drops the rest when memory is
short. The numbers are the same as in memory.

``SMBRL_MAP_DATA`` chooses: ``auto`` (the default) maps what would fill more than half of the memory that is free,
``always`` and ``never`` do what they say.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import psutil
from filelock import FileLock
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from smbrl.data.files import Arrays, Reader, content_hash, reading
from smbrl.errors import SmbrlError, suggestion

SETTING = "SMBRL_MAP_DATA"
FOLDER = "mapped"
CHOICES = ("auto", "always", "never")
_INDEX = "index.json"
_SHARE = 0.5  # of the free memory that data in memory may take


def wanted(path: Path) -> bool:
    """Whether the data folder's episodes are to be mapped on this machine.

    Raises:
        SmbrlError: the setting is none of its values, or the data are damaged.
    """
    choice = os.environ.get(SETTING) or "auto"
    if choice not in CHOICES:
        raise SmbrlError(f"{SETTING} is {choice!r}: {suggestion(choice, CHOICES)}")
    if choice != "auto":
        return choice == "always"
    free: int = psutil.virtual_memory().available
    # cheap first: no compression makes vectors of numbers twenty times smaller
    if 20 * sum(file.stat().st_size for file in path.glob("*.hdf5")) < _SHARE * free:
        return False
    with reading(path) as reader:
        return 4 * reader.rows * (reader.observation + reader.action) > _SHARE * free


def map_arrays(path: Path, expected: str) -> Arrays:
    """The episodes of a data folder as mapped arrays; written out the first time.

    The content hash is computed while the files are written; later openings check that nobody has changed them since
    (size and time), since reading all of a data set that large at every start would take minutes.

    Args:
        path: the data folder.
        expected: its content hash.

    Raises:
        SmbrlError: the data are damaged or changed, or the files cannot be written.
    """
    folder = path.parent / FOLDER
    with FileLock(path.parent / f".{FOLDER}.lock"):
        if not _fits(folder, expected):
            shutil.rmtree(folder, ignore_errors=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{FOLDER}.tmp-", dir=path.parent))
            try:
                with reading(path) as reader:
                    found = _write(reader, draft)
                if found != expected:
                    raise SmbrlError(
                        f"{path} is damaged: its content hash is {found[:12]}, recorded was {expected[:12]}; "
                        f"remove {path.parent} and generate or import it again"
                    )
                (draft / _INDEX).write_text(json.dumps({"content_hash": expected, "files": _stamps(draft)}))
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    # copy-on-write: torch wants memory that it may write to; nothing is ever written back
    obs, actions = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("obs", "actions"))
    return Arrays(obs, actions, np.load(folder / "lengths.npy"))


def _write(reader: Reader, folder: Path) -> str:
    """Write the arrays episode by episode; their content hash."""
    try:
        np.save(folder / "lengths.npy", reader.lengths)
        return content_hash(
            reader.lengths,
            _stored(folder / "obs.npy", reader.rows, reader.observation, reader.observations()),
            _stored(folder / "actions.npy", reader.rows, reader.action, reader.actions()),
        )
    except OSError as error:
        if error.errno is None:  # h5py's, of the file that is read
            raise
        raise SmbrlError(
            f"cannot write {folder.parent / FOLDER} ({error.strerror}): free space (the data take "
            f"{4 * reader.rows * (reader.observation + reader.action) / 1e9:.1f} GB once more), or set {SETTING}=never"
        ) from error


def _stored(file: Path, rows: int, size: int, pieces: Iterable[NDArray[np.float32]]) -> Iterable[NDArray[np.float32]]:
    """Pass the pieces on, and write them behind each other as one npy file."""
    header = open_memmap(file, mode="w+", dtype=np.float32, shape=(rows, size))
    del header
    with file.open("rb+") as target:
        np.lib.format.read_magic(target)
        np.lib.format.read_array_header_1_0(target)
        for piece in pieces:
            target.write(piece.tobytes())
            yield piece
        os.fsync(target.fileno())


def _stamps(folder: Path) -> dict[str, list[int]]:
    return {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in sorted(folder.glob("*.npy"))}


def _fits(folder: Path, expected: str) -> bool:
    try:
        index = json.loads((folder / _INDEX).read_text())
        return bool(index["content_hash"] == expected and index["files"] == _stamps(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False
