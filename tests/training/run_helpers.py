"""What tests of runs share besides fixtures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from smbrl.tracking.record import lines


def numbers(path: Path) -> list[Any]:
    """(step, phase, metrics without ``time/``) of each line of a run's record."""
    found = []
    for line, _ in lines(path / "metrics.jsonl"):
        assert line is not None
        kept = {name: value for name, value in line.metrics.items() if not name.startswith("time/")}
        found.append((line.step, line.phase, kept))
    return found


def forked(work: Callable[[], Any]) -> int:
    """Do something in a process of its own; its number. (A fork: nothing has to be imported again.)"""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def ended(child: int, seconds: float, cpu: float = float("inf")) -> int | None:
    """The exit status, or None where it is still running after so many seconds, or so many of CPU time."""
    end, process = time.monotonic() + seconds, psutil.Process(child)
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        times = process.cpu_times()
        if times.user + times.system > cpu:
            return None
        time.sleep(0.005)
    return None


def cpu_seconds() -> float:
    """CPU time of all processes that were waited for."""
    return os.times().children_user + os.times().children_system
