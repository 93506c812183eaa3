"""Give a stored data set to other programs: as a Minari data set, or as a file in D4RL's form."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np

from smbrl.data.files import Reader, reading
from smbrl.data.store import Dataset
from smbrl.errors import SmbrlError


def to_minari(dataset: Dataset, folder: Path | None = None) -> Path:
    """Copy the data set's files, byte by byte.

    Args:
        dataset: from the store.
        folder: which must not exist; None: under the data set's id among Minari's own, where `minari.load_dataset`
            finds it.

    Returns:
        The folder.

    Raises:
        SmbrlError: the folder exists or cannot be written, or the data are damaged.
    """
    if folder is None:
        from minari.storage.datasets_root_dir import get_dataset_path

        folder = Path(get_dataset_path(dataset.id))
    _free(folder)
    _check(dataset)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
        try:
            shutil.copytree(dataset.path / "data", draft / "data")
            draft.chmod(0o755)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise SmbrlError(f"cannot write {folder} ({error.strerror or error}): choose another place") from error
    return folder


def to_d4rl(dataset: Dataset, file: Path) -> Path:
    """Write one HDF5 file in D4RL's form, an episode at a time.

    ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts`` as D4RL has them, and ``next_observations``,
    so that nothing is lost: the import of the file has the same content hash.

    Raises:
        SmbrlError: the file exists or cannot be written, or the data are damaged.
    """
    _free(file)
    _check(dataset)
    draft = file.with_name(f".{file.name}.tmp-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()  # h5py's own words for a folder that cannot be written are many
        with reading(dataset.path / "data") as reader:
            _write(dataset, reader, draft)
        draft.rename(file)
    except OSError as error:
        raise SmbrlError(f"cannot write {file} ({error.strerror or error}): choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return file


def _write(dataset: Dataset, reader: Reader, draft: Path) -> None:
    steps = int(reader.lengths.sum())
    with h5py.File(draft, "w") as content:
        wide = {"observations": reader.observation, "next_observations": reader.observation, "actions": reader.action}
        columns = {key: content.create_dataset(key, (steps, size), np.float32) for key, size in wide.items()}
        columns["rewards"] = content.create_dataset("rewards", (steps,), np.float32)
        columns |= {key: content.create_dataset(key, (steps,), bool) for key in ("terminals", "timeouts")}
        content.attrs["smbrl"] = json.dumps({"id": dataset.id, "content_hash": dataset.content_hash})
        end = 0
        for episode in reader.episodes():
            rows = slice(end, end := end + len(episode.actions))
            rewards = np.zeros(len(episode.actions), np.float32) if episode.rewards is None else episode.rewards
            values = (episode.obs[:-1], episode.obs[1:], episode.actions, rewards)
            for key, value in zip(("observations", "next_observations", "actions", "rewards"), values, strict=True):
                columns[key][rows] = value
            columns["terminals" if episode.terminated else "timeouts"][end - 1] = True


def _free(path: Path) -> None:
    if path.exists():
        raise SmbrlError(f"{path} exists already: give another path, or remove it")


def _check(dataset: Dataset) -> None:
    """Damaged data are not passed on."""
    with reading(dataset.path / "data") as reader:
        found = reader.content_hash()
    if found != dataset.content_hash:
        raise SmbrlError(
            f"data set {dataset.id} is damaged: its content hash is {found[:12]}, recorded was "
            f"{dataset.content_hash[:12]}; remove {dataset.path} and generate or import it again"
        )
