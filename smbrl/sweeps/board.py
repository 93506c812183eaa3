"""What is seen while runs are worked on: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TextIO, TypeVar

from rich.console import Console
from rich.live import Live
from rich.table import Table

from smbrl.tracking.progress import duration, number
from smbrl.training.jobs import Job, State
from smbrl.training.watch import Progress, Watch
from smbrl.training.work import Audience, Handle, Outcome

LOOK_SECONDS = 2.0
"""Seconds between two looks at the folders of running runs."""
LINE_SECONDS = 60.0
"""Seconds between two plain lines of a run."""
KEPT_LINES = 8
"""Lines of the terminal that the table leaves free."""
STYLES = {"finished": "green", "failed": "red", "diverged": "red", "running": "bold", "tried again": "yellow"}
J = TypeVar("J", bound=Job)


class Board(Audience, Generic[J]):
    """Shows every run: what it is, its state, how far it is, the latest value of the metric, the time left.

    Use as a context manager around ``work``.

    Args:
        jobs: all that there are (a search adds to it).
        titles: of what tells runs apart ...
        labels: ... and the texts for one of them.
        metric: shown, "" for none.
        slots: runs at a time, for the time left.
        stream: where to (default: stderr at this moment).
        clock: monotonic seconds (tests put their own here).
    """

    def __init__(
        self,
        jobs: Sequence[J],
        titles: Sequence[str],
        labels: Callable[[J], Sequence[str]],
        metric: str = "",
        slots: Callable[[], int] = lambda: 1,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs, self._titles, self._labels, self._metric, self._slots = jobs, titles, labels, metric, slots
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._watches: dict[Job, Watch] = {}
        self._states: dict[Job, str] = {}
        self._progress: dict[Job, Progress] = {}
        self._began: dict[Job, float] = {}
        self._durations: list[float] = []
        self._looked = self._said = clock()
        console = Console(file=self._stream)
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Board[J]:
        for job in self._jobs:
            state: State = job.state()
            self._states[job] = "waiting" if state == "failed" else state
            if state != "waiting":
                self._look(job)
        if self._live is not None:
            self._live.start()
            self._refresh()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._refresh()
            self._live.stop()

    # -- Audience ----------------------------------------------------------------------------------
    def begun(self, job: Job, resumed: bool) -> None:
        """See ``Audience``."""
        self._states[job] = "running"
        self._began[job] = self._clock()
        self._say(job, "resumed" if resumed else "started")

    def ended(self, job: Job, outcome: Outcome | None) -> None:
        """See ``Audience``."""
        self._look(job)
        took = self._clock() - self._began[job]
        self._states[job] = "stopped" if outcome is None else "tried again" if outcome.again else outcome.state
        what = "stopped" if outcome is None else str(outcome)
        if outcome is not None and outcome.state == "finished":
            self._durations.append(took)
            what += f" in {duration(took)}" + self._value(job)
        elif outcome is not None:
            if not outcome.again:
                self._states[job] = "diverged" if outcome.state == "diverged" else "failed"
            what += f": see {job.log}"
        self._say(job, what, always=outcome is None or outcome.state != "finished")

    def over(self, job: Job) -> None:
        """See ``Audience``."""
        self._look(job)
        before, self._states[job] = self._states.get(job), self._progress[job].state
        if before != self._states[job]:  # its former process has brought it there
            self._say(job, self._states[job] + self._value(job))

    def look(self, running: Mapping[Job, Handle]) -> None:
        """See ``Audience``."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        for job in running:
            self._look(job)
        if self._live is not None:
            self._refresh()
        elif now - self._said >= LINE_SECONDS:
            self._said = now
            for job in running:
                self._say(job, (self._far(self._progress[job]) or "starting") + self._value(job))
            self._print(self.summary())

    # -- what is shown -----------------------------------------------------------------------------
    def summary(self) -> str:
        """All runs in one line."""
        counts: dict[str, int] = {}
        for job in self._jobs:
            state = self._states.get(job, "waiting")
            counts[state] = counts.get(state, 0) + 1
        parts = [f"{counts.pop('finished', 0)} of {len(self._jobs)} finished"]
        parts += [f"{count} {state}" for state, count in counts.items()]
        left = self._left()
        return ", ".join(parts) + ("" if left is None else f", about {duration(left)} left")

    def _left(self) -> float | None:
        """Seconds, judged by the runs that have been finished by this command."""
        if not self._durations:
            return None
        mean, now = sum(self._durations) / len(self._durations), self._clock()
        left = 0.0
        for job in self._jobs:
            match self._states.get(job, "waiting"):
                case "waiting" | "unfinished" | "tried again":
                    left += mean
                case "running" if job in self._began:
                    left += max(0.0, mean - (now - self._began[job]))
        return left / max(1, self._slots())

    def _look(self, job: Job) -> None:
        watch = self._watches.setdefault(job, Watch(job, self._metric))
        self._progress[job] = watch.look()

    def _value(self, job: Job) -> str:
        value = self._watches[job].value if job in self._watches else None
        return "" if value is None else f", {self._metric} {number(value)}"

    def _far(self, progress: Progress) -> str:
        if progress.state == "finished" or not progress.phase:
            return f"{progress.step:,}" if progress.step else ""
        share = f"{progress.step:,}" + (f" / {progress.total:,}" if progress.total else "")
        return share if progress.phase == "online" else f"{progress.phase} {share if progress.step else ''}".strip()

    def _say(self, job: Job, what: str, always: bool = False) -> None:
        if self._live is None:
            self._print(f"{job.name}: {what}")
        elif always:
            self._live.console.print(f"{job.name}: {what}", style="yellow", markup=False, highlight=False)
        if self._live is not None:
            self._refresh()

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _refresh(self) -> None:
        assert self._live is not None
        room = max(5, self._live.console.height - KEPT_LINES)
        self._live.update(self.table(room), refresh=True)

    def table(self, room: int) -> Table:
        """The table, of so many rows at most: what goes on and what went wrong first."""
        order = {"running": 0, "tried again": 1, "failed": 1, "diverged": 1, "stopped": 1, "unfinished": 2}
        shown = list(self._jobs)
        if len(shown) > room:
            shown = sorted(shown, key=lambda job: order.get(self._states.get(job, "waiting"), 3))[:room]
            shown = [job for job in self._jobs if job in shown]
        table = Table(box=None, header_style="bold", caption=self.summary(), caption_justify="left")
        for title in (*self._titles, "seed", "state", "step", self._metric, "left"):
            right = title in ("seed", "step", "left", self._metric)
            table.add_column(title, justify="right" if right else "left", no_wrap=True)
        for job in shown:
            state = self._states.get(job, "waiting")
            progress, watch = self._progress.get(job, Progress()), self._watches.get(job)
            value = watch.value if watch is not None else None
            left = progress.left if state == "running" and progress.phase in ("pretrain", "online") else None
            table.add_row(
                *self._labels(job),
                str(job.seed),
                state,
                self._far(progress),
                "" if value is None else number(value),
                "" if left is None else duration(left),
                style=STYLES.get(state, "dim"),
            )
        if len(shown) < len(self._jobs):
            table.add_row(*["..."] * len(self._titles), style="dim")
        return table
