"""Tracker: the one object a run logs to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import SupportsFloat

from smbrl.tracking.mirror import Mirror, Parent, Server
from smbrl.tracking.mlflow import Mlflow, Tracking
from smbrl.tracking.record import NAME, Record

Connect = Callable[[str, str, str], Server]
"""(address, experiment, run name) -> server."""

_logger = logging.getLogger("smbrl.tracking")


class Tracker:
    """The record in the run folder, mirrored to MLflow in the background.

    Nothing here raises because of tracking, and no call but ``position``, ``flush`` and ``close`` takes longer than
    microseconds. The mirror begins with the first thing logged, so a resumed run calls ``rewind`` first; it then
    continues the MLflow run that ``mlflow.json`` in the run folder names, and sends only what MLflow lacks.

    Args:
        folder: run folder.
        settings: see ``Tracking``.
        experiment: MLflow experiment where the settings name none (the task's name).
        parent: the run that it is gathered under.
        connect: how to reach a server (tests put a fake here).
    """

    def __init__(
        self,
        folder: Path,
        settings: Tracking | None = None,
        *,
        experiment: str = "smbrl",
        parent: Parent | None = None,
        connect: Connect = Mlflow,
    ) -> None:
        self.folder = folder
        self.settings = settings or Tracking()
        self.record = Record(folder / NAME, _logger.warning)
        self._mirror: Mirror | None = None
        self._started = False
        if self.settings.enabled:
            uri = self.settings.address(folder)
            title, name = self.settings.title(experiment), self.settings.name or folder.name
            self._mirror = Mirror(
                self.record, uri, lambda: connect(uri, title, name), _logger.warning, self.settings.interval, parent
            )

    @property
    def mlflow_run(self) -> str | None:
        """The MLflow run's id, once it is known."""
        return self._mirror.run if self._mirror else None

    def log(self, metrics: Mapping[str, SupportsFloat], step: int, phase: str = "") -> None:
        """Add metrics to the record.

        Args:
            metrics: floats or scalar tensors by name, ``"<phase>/<what>"``. A tensor on a GPU makes the CPU wait for
                it: fetch many at once before.
            step: gradient updates in pre-training, env steps afterwards.
            phase: "" takes what stands before the slash of the first name.
        """
        if metrics:
            self.record.append(metrics, step, phase or next(iter(metrics)).partition("/")[0])
            self._start()

    def params(self, params: Mapping[str, object]) -> None:
        """What the run was configured with; MLflow keeps the first value of each name."""
        if self._mirror:
            self._mirror.params({str(k): str(v) for k, v in params.items()})
            self._start()

    def tags(self, tags: Mapping[str, object]) -> None:
        """What to find the run by: method, task, seed, git state, data hash, device, phase."""
        if self._mirror:
            self._mirror.tags({str(k): str(v) for k, v in tags.items()})
            self._start()

    def artifact(self, path: Path) -> None:
        """A file of the run folder, mirrored under its folder's name; other files under "files"."""
        if self._mirror:
            inside = path.is_relative_to(self.folder)
            parent = path.relative_to(self.folder).parent.as_posix() if inside else "files"
            self._mirror.artifact(path, "" if parent == "." else parent)
            self._start()

    def position(self) -> int:
        """For a checkpoint: where the record stands (it is on the disk when this returns)."""
        return self.record.position()

    def rewind(self, position: int) -> None:
        """On resume: forget what was recorded after the checkpoint that holds ``position``."""
        self.record.rewind(position)
        if self._mirror:
            self._mirror.rewound(position)

    def flush(self) -> None:
        """Write the record out."""
        self.record.flush(sync=True)

    def close(self, status: str = "FINISHED") -> bool:
        """Finish: FINISHED, FAILED or KILLED (interrupted; can be resumed). Waits for MLflow, within its patience.

        Returns:
            Whether MLflow (where enabled) has everything.
        """
        self.record.flush(sync=True)
        if self._mirror is None or not self._started:
            return self._mirror is None
        return self._mirror.close(status, self.settings.patience)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.close("FINISHED" if kind is None else "KILLED" if interrupted else "FAILED")

    def _start(self) -> None:
        if self._mirror and not self._started:
            self._started = True
            self._mirror.start()
