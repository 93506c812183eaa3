"""Progress of a run on the terminal: a bar per phase, or now and then a plain line where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

REFRESHES = 2
"""Redraws per second; each costs the training thread a few milliseconds."""
LINE_SECONDS = 30.0
"""Seconds between two plain lines."""
RATE_WINDOW = 60.0
"""Seconds over which a rate is measured, so that it follows what the run does now."""


class Phase:
    """One stretch of work whose length is known: data, pre-training, online learning, an evaluation.

    Use as a context manager; made by ``ProgressBars.phase``.

    Attributes:
        done: finished units.
        total: units in all.
    """

    def __init__(
        self, bars: ProgressBars, name: str, total: int, unit: str, start: int, clock: Callable[[], float]
    ) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, start
        self.metrics: dict[str, float] = {}
        self._bars = bars
        self._clock = clock
        self._began = clock()
        self._marks: deque[tuple[float, int]] = deque([(self._began, start)])

    def advance(self, units: int = 1, metrics: Mapping[str, float] | None = None) -> None:
        """Count ``units`` more as done."""
        self.update(self.done + units, metrics)

    def update(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
        """``done`` units are finished; ``metrics`` (a few) replace those of the same names on display."""
        self.done = done
        if metrics:
            self.metrics.update(metrics)
        now = self._clock()
        if now - self._marks[-1][0] >= 0.5:
            self._marks.append((now, done))
            while len(self._marks) > 2 and now - self._marks[1][0] > RATE_WINDOW:
                self._marks.popleft()
        self._bars._show(self)

    def callback(self, done: int, total: int) -> None:
        """The same as a ``smbrl.interfaces.Progress``."""
        self.total = total
        self.update(done)

    @property
    def rate(self) -> float | None:
        """Units per second lately; None before there is anything to say."""
        (then, before), now = self._marks[0], self._clock()
        if now - then < 0.5 or self.done <= before:
            return None
        return (self.done - before) / (now - then)

    @property
    def left(self) -> float | None:
        """Seconds to go; None where unknown."""
        rate = self.rate
        return None if rate is None else max(0.0, (self.total - self.done) / rate)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    def line(self) -> str:
        """The phase in one plain line."""
        share = f" ({100 * self.done / self.total:.0f} %)" if self.total else ""
        parts = [f"{self.name}: {self.done:,}/{self.total:,} {self.unit}{share}", *self.notes()]
        return ", ".join(parts)

    def notes(self) -> list[str]:
        """Rate, time left (or taken) and the metrics, as text."""
        parts = [] if self.rate is None else [f"{number(self.rate)} {self.unit}/s"]
        if self.done >= self.total:
            parts.append(f"took {duration(self.elapsed)}")
        elif self.left is not None:
            parts.append(f"{duration(self.left)} left")
        return parts + [f"{name} {number(value)}" for name, value in self.metrics.items()]

    def __enter__(self) -> Phase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars._end(self)


class ProgressBars:
    """Shows phases; a phase begun inside another one (an evaluation) is shown below it and goes when it ends.

    Use as a context manager around the whole run. Warnings printed meanwhile appear above the bars.

    Args:
        stream: where to (default: stderr at this moment).
        line_seconds: seconds between two plain lines where ``stream`` is no terminal.
        quiet: show nothing at all.
        clock: monotonic seconds (tests put their own here).
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        line_seconds: float = LINE_SECONDS,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._line_seconds = line_seconds
        self._line_at = clock()
        self._quiet = quiet
        self._phases: list[Phase] = []
        self._tasks: dict[TaskID, tuple[Phase, Task]] = {}
        self._bars: Progress | None = None
        console = Console(file=self._stream)
        if console.is_terminal and not console.is_dumb_terminal and not quiet:
            self._bars = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                _Notes(self._tasks),
                console=console,
                refresh_per_second=REFRESHES,
                expand=True,
            )

    def phase(self, name: str, total: int, unit: str, *, start: int = 0) -> Phase:
        """Begin a phase.

        Args:
            name: what is being done, "pre-training".
            total: units in all.
            unit: what is counted, "updates".
            start: units done before (a resumed run); they do not count for the rate.
        """
        phase = Phase(self, name, total, unit, start, self._clock)
        self._phases.append(phase)
        if self._bars is not None:
            number = self._bars.add_task(name, total=total, completed=start)
            self._tasks[number] = (phase, self._bars.tasks[-1])
        return phase

    def message(self, text: str) -> None:
        """A line for the user, above the bars."""
        if self._bars is not None:
            self._bars.console.print(Text(text))
        elif not self._quiet:
            print(text, file=self._stream, flush=True)

    def _show(self, phase: Phase) -> None:
        """A phase has moved on."""
        if self._bars is not None:
            for number, (other, _) in self._tasks.items():
                if other is phase:
                    self._bars.update(number, completed=phase.done, total=phase.total)
        elif (
            not self._quiet and phase.done < phase.total and self._clock() - self._line_at >= self._line_seconds
        ):  # the last line of a phase is written when it ends
            self._line_at = self._clock()
            self.message(phase.line())

    def _end(self, phase: Phase) -> None:
        """A phase is over: a line remains of every outermost one."""
        inner = phase in self._phases and self._phases.index(phase) > 0
        self._phases = [other for other in self._phases if other is not phase]
        for number, (other, _) in list(self._tasks.items()):
            if other is phase and self._bars is not None:
                if inner:
                    self._bars.remove_task(number)
                    del self._tasks[number]
                else:
                    self._bars.stop_task(number)
                    self._bars.refresh()
        if self._bars is None and not self._quiet and not inner:
            self._line_at = self._clock()
            self.message(phase.line())

    def __enter__(self) -> ProgressBars:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()


class _Notes(ProgressColumn):
    """Rate, time left and metrics of a phase behind its bar."""

    def __init__(self, tasks: dict[TaskID, tuple[Phase, Task]]) -> None:
        super().__init__(table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
        self._tasks = tasks
        self._final: dict[TaskID, Text] = {}

    def render(self, task: Task) -> Text:
        """The text; of a finished phase the one it ended with."""
        if task.id in self._final:
            return self._final[task.id]
        known = self._tasks.get(task.id)
        text = Text(", ".join(known[0].notes()) if known else "", style="cyan", no_wrap=True, overflow="ellipsis")
        if task.stop_time is not None:
            self._final[task.id] = text
        return text


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 5 s``, ``2 h 14 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value: float) -> str:
    """A number as a reader wants it: three significant digits, thousands without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
