"""How fast environments are: one, several in a process, and processes side by side.

A run steps its environments one after the other in one process: there they share a core. What a second core brings is a
second run, so processes side by side are measured as two runs would be: each with environments of its own.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import BrokenBarrierError
from typing import Any

import numpy as np

from smbrl.errors import SmbrlError
from smbrl.interfaces import Task

PATIENCE = 300.0
"""Seconds that processes may take to come up, beyond the time of measuring."""
BUSY = 0.9
"""Share of a core below which a process has been kept waiting by others."""


@dataclass(frozen=True)
class Throughput:
    """What processes with environments of their own did in the same stretch of time.

    Attributes:
        processes: how many.
        envs: environments in each, stepped one after the other.
        steps: env steps of each process ``(processes,)``.
        seconds: that the clock ran for each.
        processor: seconds that each computed.
    """

    processes: int
    envs: int
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    processor: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Env steps per second of the clock, of all processes together."""
        return sum(steps / seconds for steps, seconds in zip(self.steps, self.seconds, strict=True))

    @property
    def per_core(self) -> float:
        """Env steps per second of processor time: what a core that nobody else uses would do."""
        return sum(self.steps) / max(sum(self.processor), 1e-9)

    @property
    def share(self) -> float:
        """Of a core, that each process had on average."""
        return sum(self.processor) / sum(self.seconds)

    @property
    def busy(self) -> bool:
        """Whether other work kept the processes waiting, so that ``rate`` says too little."""
        return self.share < BUSY


def scaling(task: Task, seconds: float, *, envs: int, processes: int, tell: Callable[[str], None]) -> list[Throughput]:
    """One environment, ``envs`` in one process, and one in each of 2, 4, ... up to ``processes`` processes.

    Args:
        task: makes the environments; its class and settings go to the processes.
        seconds: of each measurement.
        envs: in one process, as many as a run has.
        processes: at most; the machine's cores.
        tell: told what is being measured.

    Raises:
        SmbrlError: an environment fails, or a process does not come up.
    """
    several = sorted({min(2**power, processes) for power in range(processes.bit_length() + 1)} - {1})
    found = []
    for count, each in [(1, 1), *([(1, envs)] if envs > 1 else []), *((count, 1) for count in several)]:
        tell(named(count, each))
        found.append(measure(task, seconds, processes=count, envs=each))
    return found


def named(processes: int, envs: int) -> str:
    """``2 processes, 1 environment each``."""
    each = "1 environment" if envs == 1 else f"{envs} environments"
    return f"{each}, 1 process" if processes == 1 else f"{each} in each of {processes} processes"


def measure(task: Task, seconds: float, *, processes: int, envs: int) -> Throughput:
    """Step environments at random in processes that begin together; resets are part of it.

    Raises:
        SmbrlError: see ``scaling``.
    """
    context = get_context("spawn")  # neither MuJoCo nor torch threads survive a fork
    together = context.Barrier(processes)
    pipes = [context.Pipe(duplex=False) for _ in range(processes)]
    workers = [
        context.Process(
            target=_work, args=(type(task), task.settings, seconds, envs, number, together, into), daemon=True
        )
        for number, (_, into) in enumerate(pipes)
    ]
    try:
        for worker in workers:
            worker.start()
        for _, into in pipes:
            into.close()  # so that a process that dies is an end of file
        found = [_receive(out, seconds + PATIENCE) for out, _ in pipes]
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()
    steps, clock, processor = zip(*found, strict=True)
    return Throughput(processes, envs, steps, clock, processor)


def _receive(pipe: Connection, patience: float) -> tuple[int, float, float]:
    try:
        if not pipe.poll(patience):
            raise SmbrlError(f"an environment's process gave no answer for {patience:.0f} s: try fewer processes")
        found = pipe.recv()
    except EOFError as error:
        raise SmbrlError("a process with environments died (out of memory?): try fewer processes") from error
    if isinstance(found, str):
        raise SmbrlError(f"the environment fails: {found}")
    steps, clock, processor = found
    return int(steps), float(clock), float(processor)


def _work(
    task: type[Task], settings: dict[str, Any], seconds: float, envs: int, number: int, together: Any, into: Connection
) -> None:
    """A process: makes environments, waits for the others, steps, reports."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; whoever started it answers
    build: Any = task
    try:
        made: Task = build(**settings)
        fleet = [made.make() for _ in range(envs)]
        for index, env in enumerate(fleet):
            env.reset(seed=1000 * number + index)
        rng = np.random.default_rng(number)
        actions = rng.uniform(-1, 1, (1000, made.spec.action)).astype(np.float32)
        step_all(fleet, actions, 0.05)
        together.wait(PATIENCE)
        into.send(step_all(fleet, actions, seconds))
    except BrokenBarrierError:
        into.send("another process did not come up")
    except Exception as error:  # whatever a plugin's environment raises
        together.abort()
        into.send(f"{type(error).__name__}: {error}")


def step_all(
    fleet: Sequence[Any], actions: np.ndarray[Any, np.dtype[np.float32]], seconds: float
) -> tuple[int, float, float]:
    """Env steps, seconds of the clock and of the processor: all environments in turn, for ``seconds``."""
    steps, seed = 0, 1
    began, computed = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        for env in fleet:
            *_, terminated, truncated, _ = env.step(actions[steps % len(actions)])
            steps += 1
            if terminated or truncated:
                seed += 1
                env.reset(seed=seed)
    return steps, time.perf_counter() - began, time.process_time() - computed
