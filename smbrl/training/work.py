"""Bring runs to their ends, some at a time, each in a process of its own; what fails does not stop the rest.

``work`` decides what begins when, tries again and passes a wish to stop on. Where a run's process lives is an
``Executor``'s matter: here (``Processes``) or on a cluster (``smbrl.sweeps.cluster``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from smbrl.training.folder import INFO, RunFolder
from smbrl.training.jobs import OVER, Job, State

INTERVAL = 0.3
"""Seconds between two looks at what is running."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WORD = "error: "
"""How the command line begins the one line that says what was wrong."""


class Handle(Protocol):
    """A run's process, wherever it is."""

    def poll(self) -> int | None:
        """Its exit code, negative where it was killed; None while it is running."""
        ...

    def stop(self) -> None:
        """Ask it to save itself and stop; the second time insist."""
        ...


class Executor(Protocol):
    """Where runs are computed."""

    @property
    def slots(self) -> int:
        """Runs at a time."""
        ...

    def start(self, job: Job) -> Handle:
        """Begin a run or go on with it."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt at a run.

    Attributes:
        state: of the run now.
        code: exit code; negative where it was killed.
        attempt: counted from 1.
        again: whether it will be tried again.
        reason: why it failed, as far as it said; "" where it did not.
    """

    state: State
    code: int
    attempt: int = 1
    again: bool = False
    reason: str = ""

    def __str__(self) -> str:
        if self.state == "finished":
            return "finished"
        if self.state == "diverged":
            return f"diverged: {self.reason}"
        what = f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        what = f"failed, {what}" + (f" ({self.reason})" if self.reason else "")
        return f"{what}; trying again" if self.again else what


class Audience:
    """Is told how the work goes, and may add to it. Does nothing by itself."""

    def begun(self, job: Job, resumed: bool) -> None:
        """A run was started."""

    def ended(self, job: Job, outcome: Outcome | None) -> None:
        """An attempt is over; None where it was asked to stop, and did."""

    def over(self, job: Job) -> None:
        """Nothing is left to do for a run: it was finished before, or meanwhile by another process."""

    def look(self, running: Mapping[Job, Handle]) -> None:
        """Some time has passed."""

    def more(self) -> Sequence[Job]:
        """More runs, asked for when there is room and nothing waits; none: that was all."""
        return ()


def work(
    jobs: Sequence[Job], executor: Executor, audience: Audience | None = None, *, retries: int = 0
) -> dict[Job, State]:
    """Bring runs to their ends.

    Args:
        jobs: what is to be done, in order; finished ones are not run again. One that another process holds is waited
            for.
        executor: where.
        audience: is told.
        retries: further attempts at a run that fails or is killed.

    Returns:
        The state of each run there was.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; every run was asked to save itself, and has ended. Asked once more, they
            stop at once.
    """
    audience = audience or Audience()
    waiting, running, attempts = deque(jobs), dict[Job, Handle](), dict[Job, int]()
    every, sent = list(jobs), 0
    with _Wishes() as wishes:
        while True:
            if wishes.count > sent:
                sent = wishes.count
                for handle in running.values():
                    handle.stop()
            elsewhere: list[Job] = []
            while not wishes.count and len(running) < executor.slots:
                if not waiting:
                    added = [] if elsewhere else audience.more()
                    every += added
                    waiting += added
                    if not added:
                        break
                job = waiting.popleft()
                state = job.state()
                if state == "running":
                    elsewhere.append(job)
                elif state in OVER:
                    audience.over(job)
                else:
                    attempts[job] = attempts.get(job, 0) + 1
                    job.path.parent.mkdir(parents=True, exist_ok=True)
                    running[job] = executor.start(job)
                    audience.begun(job, state != "waiting")
            waiting.extend(elsewhere)
            if not running and (wishes.count or not waiting):
                break
            wishes.wait(INTERVAL)
            for job, code in [(job, code) for job, h in running.items() if (code := h.poll()) is not None]:
                del running[job]
                outcome = _outcome(job, code, attempts[job], retries)
                stopped = wishes.count > 0 and outcome.state not in OVER
                audience.ended(job, None if stopped else outcome)
                if outcome.again and not stopped:
                    waiting.append(job)
            audience.look(running)
        if wishes.count:
            raise KeyboardInterrupt
    return {job: job.state() for job in every}


def _outcome(job: Job, code: int, attempt: int, retries: int) -> Outcome:
    state = job.state()
    if state == "finished":
        return Outcome(state, code, attempt)
    said = ""
    if code >= 0:
        known = (job.path / INFO).exists()
        said = str(RunFolder.open(job.path).info().get("error", "")) if known else ""
        said = said or _last_words(job.log)
    return Outcome(state, code, attempt, state not in OVER and attempt <= retries, said)


def _last_words(log: Path) -> str:
    """The last error line of a log."""
    with contextlib.suppress(OSError):
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return next((line.removeprefix(WORD) for line in reversed(lines) if line.startswith(WORD)), "")
    return ""


class _Wishes:
    """Ctrl-C, SIGTERM and a closed terminal, counted instead of obeyed."""

    def __init__(self) -> None:
        self.count = 0
        self._event = threading.Event()
        self._before: dict[int, Any] = {}

    def wait(self, seconds: float) -> None:
        """Some time, or until another wish comes."""
        self._event.wait(seconds)
        self._event.clear()

    def __enter__(self) -> _Wishes:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            with contextlib.suppress(AttributeError, ValueError):  # unknown here; or not in the main thread
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._event.set()


# -- here ------------------------------------------------------------------------------------------
class Process:
    """A run's process on this machine; it stops with the process that started it (``smbrl.leash``).

    Args:
        job: the run.
        command: how to call smbrl.
        environment: of the process.
    """

    def __init__(self, job: Job, command: Sequence[str], environment: Mapping[str, str]) -> None:
        with open(job.log, "ab") as out:
            self._process = subprocess.Popen(
                [*command, *job.arguments()],
                stdout=out,
                stderr=out,
                stdin=subprocess.PIPE,  # the leash
                env=dict(environment),
                start_new_session=True,  # Ctrl-C in the terminal is passed on by whoever decides, once
            )
        self._asked = 0

    def poll(self) -> int | None:
        """See ``Handle``."""
        return self._process.poll()

    def stop(self) -> None:
        """See ``Handle``; the third time it is ended."""
        self._asked += 1
        self._process.send_signal(signal.SIGINT if self._asked < 3 else signal.SIGKILL)


class Processes:
    """Runs on this machine.

    Args:
        command: how to call smbrl.
        slots: runs at a time.
        cores: of each run; what computes with OpenMP is told, unless the environment tells it already.
        devices: CUDA devices that the runs take turns with; none: as the configuration says.
    """

    def __init__(self, command: Sequence[str], slots: int = 1, cores: int = 1, devices: Sequence[str] = ()) -> None:
        self._command, self._slots, self._cores = tuple(command), slots, cores
        self._devices: deque[str] = deque(devices)
        self._lent: list[tuple[Process, str]] = []

    @property
    def slots(self) -> int:
        """See ``Executor``."""
        return self._slots

    def start(self, job: Job) -> Process:
        """See ``Executor``."""
        environment = environment_of(self._cores)
        for process, device in [pair for pair in self._lent if pair[0].poll() is not None]:
            self._lent.remove((process, device))
            self._devices.appendleft(device)
        if not self._devices:
            return Process(job, self._command, environment)
        device = self._devices.popleft()
        started = Process(job, self._command, {**environment, "CUDA_VISIBLE_DEVICES": device})
        self._lent.append((started, device))
        return started


def environment_of(cores: int, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a run with so many cores; what ``base`` (default: this process's) says of threads stays."""
    return {**dict.fromkeys(THREADS, str(cores)), **(os.environ if base is None else base)}


def cuda_devices(slots: int) -> list[str]:
    """The CUDA devices that so many runs at a time share, each as often as needed; none where there is one or none."""
    import torch

    if torch.cuda.device_count() < 2:
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
    return [names[place % len(names)] for place in range(slots)]
