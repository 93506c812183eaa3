"""A run is a folder.

::

    runs/skimo_maze-s0-20260131-093000/
        run.json          what the run is and how far it is (written anew, atomically, at every change)
        config.gin        the complete configuration; resuming parses this and nothing else
        operative.gin     what was really used of it
        metrics.jsonl     every metric, in order
        checkpoints/      the latest few
        plots/  videos/
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from smbrl.errors import SmbrlError, suggestion
from smbrl.training.checkpoint import CheckpointStore

FORMAT = 1
INFO, CONFIG, OPERATIVE = "run.json", "config.gin", "operative.gin"
logger = logging.getLogger("smbrl.training.folder")


def runs_root() -> Path:
    """Where runs lie: the environment variable ``SMBRL_RUNS``, or ``runs`` in the working directory."""
    return Path(os.environ.get("SMBRL_RUNS", "runs"))


def default_name(config: str, seed: int, now: datetime | None = None) -> str:
    """``<config>-s<seed>-<date>-<time>`` in local time."""
    return f"{config}-s{seed}-{(now or datetime.now()).strftime('%Y%m%d-%H%M%S')}"


class RunFolder:
    """The files of one run.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def metrics(self) -> Path:
        """The record of metrics."""
        return self.path / "metrics.jsonl"

    @property
    def plots(self) -> Path:
        """For pictures; made when asked for."""
        return self._made("plots")

    @property
    def videos(self) -> Path:
        """For recordings; made when asked for."""
        return self._made("videos")

    @property
    def config(self) -> str:
        """The complete configuration, gin syntax."""
        return (self.path / CONFIG).read_text(encoding="utf-8")

    def checkpoints(self, keep: int = 3) -> CheckpointStore:
        """Its checkpoints."""
        return CheckpointStore(self.path / "checkpoints", keep)

    def _made(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        return folder

    # -- making and opening ------------------------------------------------------------------------
    @classmethod
    def create(cls, path: Path, config: str, info: dict[str, Any]) -> RunFolder:
        """Make the folder of a new run.

        Raises:
            SmbrlError: something is there already, or it cannot be written.
        """
        folder = cls(path)
        if (folder.path / INFO).exists():
            raise SmbrlError(f"{path} is a run already: go on with smbrl resume {path}, or choose another --name")
        try:
            if folder.path.exists() and any(folder.path.iterdir()):
                raise SmbrlError(f"{path} exists and is not empty: choose another --name or --run-dir")
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.write_text(CONFIG, config)
            folder.write_info({"format": FORMAT, "name": folder.name, **info})
        except OSError as error:
            raise SmbrlError(
                f"cannot make the run folder {path} ({error.strerror}): choose another --run-dir"
            ) from error
        return folder

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """An existing run.

        Raises:
            SmbrlError: there is no run, or it was made by a newer smbrl.
        """
        folder = cls(path)
        if not folder.path.exists():
            raise SmbrlError(f"there is no run {path}; smbrl runs lists what there is")
        if not (folder.path / INFO).is_file() or not (folder.path / CONFIG).is_file():
            raise SmbrlError(f"{path} is not a run: it has no {INFO} and {CONFIG}")
        found = folder.info().get("format")
        if not isinstance(found, int) or found > FORMAT:
            raise SmbrlError(f"{path} has run format {found}; this smbrl reads up to format {FORMAT}: update smbrl")
        return folder

    @classmethod
    def find(cls, run: str) -> RunFolder:
        """A run by its folder, its name under ``runs_root()``, or ``last``.

        Raises:
            SmbrlError: there is none; the message has the closest name.
        """
        if os.sep in run or Path(run).is_dir():
            return cls.open(run)
        known = {folder.name: folder for folder in all_runs()}
        if run == "last":
            if not known:
                raise SmbrlError(f"there is no run in {runs_root()}: start one with smbrl train --gin FILE")
            return list(known.values())[-1]
        if run not in known:
            raise SmbrlError(f"there is no run {run!r} in {runs_root()}; {suggestion(run, known)}")
        return known[run]

    # -- run.json ----------------------------------------------------------------------------------
    def info(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            SmbrlError: it cannot be read.
        """
        try:
            info = json.loads((self.path / INFO).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SmbrlError(f"{self.path / INFO} cannot be read ({error}): the run folder is damaged") from error
        if not isinstance(info, dict):
            raise SmbrlError(f"{self.path / INFO} holds no object: the run folder is damaged")
        return info

    def write_info(self, info: dict[str, Any]) -> None:
        """Replace run.json.

        Raises:
            SmbrlError: it cannot be written.
        """
        try:
            self.write_text(INFO, json.dumps(info, indent=1) + "\n")
        except OSError as error:
            raise SmbrlError(
                f"cannot write {self.path / INFO} ({error.strerror}): make room, or make the folder writable"
            ) from error

    def update(self, **changes: Any) -> None:
        """Change entries of run.json."""
        self.write_info({**self.info(), **changes})

    def write_text(self, name: str, text: str) -> None:
        """Write a small file, all or nothing."""
        scratch = self.path / f".{name}.{os.getpid()}.tmp"
        with open(scratch, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, self.path / name)

    @contextmanager
    def locked(self, patience: float = 1.0) -> Iterator[None]:
        """Hold the run for this process; a killed process lets go of it.

        Args:
            patience: seconds; somebody who only looks whether it is busy holds it for an instant.

        Raises:
            SmbrlError: another process has it.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=patience)
        except Timeout as error:
            raise SmbrlError(
                f"run {self.name} is being worked on by another process: wait for it, or stop it first"
            ) from error
        try:
            yield
        finally:
            lock.release()

    @property
    def busy(self) -> bool:
        """Whether a process holds the run now."""
        try:
            with self.locked(patience=0.0):
                return False
        except SmbrlError:
            return True
        except OSError:
            return False


def all_runs(root: Path | None = None) -> list[RunFolder]:
    """Every run under ``root`` (default: ``runs_root()``), oldest first; what cannot be read is a warning."""
    root = root or runs_root()
    found: list[tuple[str, RunFolder]] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(root.iterdir()):
            if not (path / INFO).exists():
                continue
            try:
                folder = RunFolder.open(path)
                found.append((str(folder.info().get("created", "")), folder))
            except SmbrlError as error:
                logger.warning(str(error))
    return [folder for _, folder in sorted(found, key=lambda pair: pair[0])]
