"""How far a run is, read from its folder by somebody else's process; the folder is not locked nor changed."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from smbrl.tracking import record
from smbrl.tracking.record import NAME, Line
from smbrl.training import identity
from smbrl.training.folder import CONFIG, INFO
from smbrl.training.jobs import Job

TOTALS = {"pretrain": "Pretraining.updates", "online": "Online.steps"}
"""The binding that says how long a phase is."""
RATE = 8
"""Lines of the phase's record over which a rate is measured."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        state: what ``run.json`` says; "waiting" where there is none.
        phase: that goes on: data, pretrain, online, final; "" before the first.
        step: of the phase, as far as it was logged or saved.
        total: steps of the phase; 0 where unknown.
        left: seconds to the end of the phase; None where unknown.
        seconds: spent so far, in all phases, as of the last checkpoint.
    """

    state: str = "waiting"
    phase: str = ""
    step: int = 0
    total: int = 0
    left: float | None = None
    seconds: float = 0.0


class Watch:
    """Looks at one run again and again; reads what is new in its record.

    Args:
        job: the run.
        metric: whose latest value is wanted.
    """

    def __init__(self, job: Job, metric: str) -> None:
        self._job, self._metric = job, metric
        self._lines: dict[str, deque[Line]] = {}
        self._offset = 0
        self._bindings: dict[str, str] = {}
        self.value: float | None = None

    def look(self) -> Progress:
        """How far it is now."""
        info = self._info()
        if not info:
            return Progress()
        self._read()
        phase = str(info.get("phase", ""))
        step = int(info.get("step", 0)) if phase != "pretrain" else 0
        lines = self._lines.get(phase) or deque[Line]()
        if lines:
            step = max(step, lines[-1].step) if phase == "online" else lines[-1].step
        total, left = self._total(phase), None
        if len(lines) > 1 and lines[-1].step > lines[0].step and lines[-1].wall > lines[0].wall:
            rate = (lines[-1].step - lines[0].step) / (lines[-1].wall - lines[0].wall)
            left = max(0.0, (total - step) / rate) if total else None
        seconds = sum(float(value) for value in info.get("seconds", {}).values())
        return Progress(str(info.get("state", "?")), phase, step, total, left, seconds)

    def _info(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            info = json.loads((self._job.path / INFO).read_text(encoding="utf-8"))
            return info if isinstance(info, dict) else {}
        return {}

    def _read(self) -> None:
        path = self._job.path / NAME
        with contextlib.suppress(OSError):
            if path.stat().st_size < self._offset:  # it was resumed from a checkpoint before what we know
                self._offset, self.value = 0, None
                self._lines.clear()
            for line, after in record.lines(path, self._offset):
                self._offset = after
                if line is not None:
                    self.value = line.metrics.get(self._metric, self.value)
                    self._lines.setdefault(line.phase, deque(maxlen=RATE)).append(line)

    def _total(self, phase: str) -> int:
        if not self._bindings:
            with contextlib.suppress(OSError):
                self._bindings = identity.bindings((self._job.path / CONFIG).read_text(encoding="utf-8"))
        said = self._bindings.get(TOTALS.get(phase, ""), "").replace("_", "")
        return int(said) if said.isdigit() else 0
