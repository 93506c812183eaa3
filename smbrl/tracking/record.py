"""The local record of a run: ``metrics.jsonl``, one JSON object a line, in the order things were logged.

This file is the truth; everything else (MLflow, pictures, ``smbrl runs``) is made from it. A line is::

    {"step": 25000, "phase": "eval", "wall": 1767225600.123, "eval/success": 0.4, "eval/return": 40.0}

``step`` counts what its phase counts (gradient updates, env steps), ``wall`` is the Unix time in seconds, the rest
are metrics. Numbers that JSON lacks are written as the strings ``"nan"``, ``"inf"`` and ``"-inf"``.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray

NAME = "metrics.jsonl"
RESERVED = ("step", "phase", "wall")
FLUSH_SECONDS = 1.0
"""A line reaches the operating system after at most this long (if lines keep coming) or at the next ``flush``."""
BUFFER_BYTES = 1 << 16
KEPT_BYTES = 64 << 20
"""While the disk is full, this much is kept in memory for later; what is older is lost."""


class Record:
    """Appends metrics to a file; survives a full disk and a killed process.

    Args:
        path: the file; made with its folder if absent. An incomplete last line, left by a killed process, is cut.
        warn: called with one line, once, when the file cannot be written.
        clock: Unix time in seconds (tests put their own here).
    """

    def __init__(self, path: Path, warn: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._warn = warn
        self._clock = clock
        self._lock = threading.Lock()
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._flushed_at = time.monotonic()
        self._failing = False
        self._warned = False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._size = _cut(path, None)

    def append(self, metrics: Mapping[str, SupportsFloat], step: int, phase: str) -> None:
        """Add a line. Costs tens of microseconds; a write to the file happens at most once a second."""
        line: dict[str, Any] = {"step": int(step), "phase": phase, "wall": round(self._clock(), 3)}
        for name, value in metrics.items():
            if name in RESERVED:
                raise ValueError(f"a metric cannot be called {name!r}: the record uses {', '.join(RESERVED)} itself")
            line[name] = _plain(float(value))
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        with self._lock:
            self._buffer.append(data)
            self._buffered += len(data)
            now = time.monotonic()
            due = now - self._flushed_at > FLUSH_SECONDS or (self._buffered > BUFFER_BYTES and not self._failing)
            if due:
                self._flushed_at = now
                self._write()

    def flush(self, sync: bool = False) -> None:
        """Hand everything to the operating system; ``sync`` waits until it is on the disk."""
        with self._lock:
            self._write()
            if sync and not self._failing and self.path.exists():
                with open(self.path, "rb") as file:
                    os.fsync(file.fileno())

    def position(self) -> int:
        """What a checkpoint remembers: how many bytes the record has, after a synchronous flush."""
        self.flush(sync=True)
        with self._lock:
            return self._size + self._buffered

    def rewind(self, position: int) -> None:
        """Forget everything after ``position``, so that a resumed run writes it anew."""
        with self._lock:
            self._buffer.clear()
            self._buffered = 0
            self._size = _cut(self.path, position)
            if self._size < position:
                self._warn(
                    f"{self.path} has {self._size} bytes where the checkpoint knows {position}: the metrics "
                    "between are lost, the run itself is not"
                )

    def _write(self) -> None:
        """Write the buffer (the lock is held). A failure keeps it for the next time, within ``KEPT_BYTES``."""
        if not self._buffer:
            return
        try:
            with open(self.path, "ab") as file:
                if file.tell() > self._size:  # an earlier write got only part of its bytes on a full disk
                    file.truncate(self._size)
                self._size = min(self._size, file.seek(0, os.SEEK_END))  # smaller where somebody cut the file
                file.write(b"".join(self._buffer))
        except OSError as error:
            self._failing = True
            if not self._warned:
                self._warned = True
                self._warn(f"cannot write {self.path} ({error.strerror}): keeping metrics in memory, trying again")
            while self._buffered > KEPT_BYTES:
                self._buffered -= len(self._buffer.pop(0))
            return
        self._failing = False
        self._size += self._buffered
        self._buffer.clear()
        self._buffered = 0


@dataclass
class Columns:
    """A record read back: for each metric its steps, values and times, in order.

    Attributes:
        damaged: lines that could not be read (0 for a healthy file; the half line of a killed process is not counted).
    """

    _steps: dict[str, list[int]] = field(default_factory=dict)
    _values: dict[str, list[float]] = field(default_factory=dict)
    _walls: dict[str, list[float]] = field(default_factory=dict)
    damaged: int = 0

    @classmethod
    def of(cls, points: Mapping[str, Sequence[tuple[int, float, float]]]) -> Columns:
        """From (step, value, Unix time) of each metric."""
        columns = cls()
        for name, rows in points.items():
            columns._steps[name] = [int(step) for step, _, _ in rows]
            columns._values[name] = [float(value) for _, value, _ in rows]
            columns._walls[name] = [float(wall) for _, _, wall in rows]
        return columns

    @property
    def names(self) -> list[str]:
        """Metrics in the order of their first appearance."""
        return list(self._steps)

    def __contains__(self, name: str) -> bool:
        return name in self._steps

    def steps(self, name: str) -> NDArray[np.int64]:
        """Steps of a metric; empty where it was never logged."""
        return np.asarray(self._steps.get(name, ()), np.int64)

    def values(self, name: str) -> NDArray[np.float64]:
        """Values of a metric, one for each of ``steps``."""
        return np.asarray(self._values.get(name, ()), np.float64)

    def wall(self, name: str) -> NDArray[np.float64]:
        """Unix times of a metric, one for each of ``steps``."""
        return np.asarray(self._walls.get(name, ()), np.float64)

    def last(self, name: str, default: float = math.nan) -> float:
        """The latest value of a metric."""
        values = self._values.get(name)
        return values[-1] if values else default


@dataclass(frozen=True)
class Line:
    """One line of the record."""

    step: int
    phase: str
    wall: float
    metrics: dict[str, float]


def parse(data: bytes) -> Line | None:
    """One line, or None where it is damaged."""
    try:
        raw = json.loads(data)
        step, phase, wall = int(raw.pop("step")), str(raw.pop("phase")), float(raw.pop("wall"))
        return Line(step, phase, wall, {name: float(value) for name, value in raw.items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def lines(path: Path, start: int = 0) -> Iterator[tuple[Line | None, int]]:
    """Complete lines of a record from byte ``start`` on, each with the position after it; None where damaged."""
    with open(path, "rb") as file:
        file.seek(start)
        for data in file:
            if not data.endswith(b"\n"):
                return  # still being written, or cut off by a kill
            start += len(data)
            yield parse(data), start


def read(path: Path) -> Columns:
    """Read a record back as columns; an absent file is an empty record."""
    columns = Columns()
    if not path.exists():
        return columns
    for line, _ in lines(path):
        if line is None:
            columns.damaged += 1
            continue
        for name, value in line.metrics.items():
            columns._steps.setdefault(name, []).append(line.step)
            columns._values.setdefault(name, []).append(value)
            columns._walls.setdefault(name, []).append(line.wall)
    return columns


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


def _cut(path: Path, position: int | None) -> int:
    """Truncate to ``position`` (None: the end) and then to the end of the last complete line; the size that is left."""
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        end = size if position is None else min(size, position)
        while end > 0:
            start = max(0, end - 4096)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
    if end != size:
        os.truncate(path, end)
    return end
