"""What tests of runs share besides fixtures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def ended(child: int, seconds: float) -> int | None:
    """The exit status, or None where it is still running after so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    return None
