"""What a sweep came to: each configuration with the mean of its seeds; a table, a CSV file, how to go on."""

from __future__ import annotations

import csv
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smbrl.analysis.comparison import comparison, sources
from smbrl.errors import SmbrlError
from smbrl.sweeps.plan import Plan, SweepRun
from smbrl.sweeps.sweep import NONE
from smbrl.tracking.progress import duration
from smbrl.tracking.record import read
from smbrl.training.folder import RunFolder

CSV = "sweep.csv"
MINIMISED = "minimize"


@dataclass(frozen=True)
class Result:
    """A configuration's line.

    Attributes:
        runs: of the configuration; the first tells its values.
        finished: how many came to their end.
        values: the metric's last value of each finished run that has one.
        steps: env steps, mean of the finished runs; NaN where there is none.
        hours: wall time of a run, mean of the finished.
    """

    runs: tuple[SweepRun, ...]
    finished: int
    values: tuple[float, ...]
    steps: float
    hours: float

    @property
    def mean(self) -> float:
        """Of the metric over seeds; NaN where no run has it."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over seeds (of a sample); NaN for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan


def last_value(run: SweepRun, metric: str) -> float:
    """The metric's last value; NaN where it was never logged."""
    return read(RunFolder(run.path).metrics).last(metric)


def metric_of(plan: Plan) -> str:
    """The metric of the sweep; where none was named, what ``smbrl compare`` takes for the finished runs."""
    if plan.sweep.metric:
        return plan.sweep.metric
    done = [run for run in plan.runs if run.state() == "finished"]
    return comparison.default_metric([sources.of_folder(RunFolder(run.path)) for run in done])


def results(plan: Plan, metric: str) -> list[Result]:
    """A line for each configuration, in their order."""
    found = []
    for members in plan.configurations().values():
        done = [run for run in members if run.state() == "finished"]
        infos = [RunFolder.open(run.path).info() for run in done]
        values = [last_value(run, metric) for run in done]
        hours = [sum(info.get("seconds", {}).values()) / 3600.0 for info in infos]
        found.append(
            Result(
                tuple(members),
                len(done),
                tuple(value for value in values if not math.isnan(value)),
                float(np.mean([float(info.get("step", 0)) for info in infos])) if infos else math.nan,
                float(np.mean(hours)) if hours else math.nan,
            )
        )
    return found


def best(found: Sequence[Result], direction: str) -> Result | None:
    """The configuration with the best mean among those all of whose runs are finished."""
    whole = [one for one in found if one.finished == len(one.runs) and not math.isnan(one.mean)]
    sign = -1.0 if direction == MINIMISED else 1.0
    return max(whole, key=lambda one: sign * one.mean, default=None)


def titles_of(plan: Plan) -> list[str]:
    """What tells configurations apart: columns."""
    titles = ["method"] if len(plan.sweep.methods) > 1 else []
    titles += ["overlay"] if len(plan.sweep.overlays) > 1 else []
    return [*titles, *plan.sweep.names] or ["method"]


def cells(plan: Plan, run: SweepRun) -> list[str]:
    """The texts for ``titles_of``."""
    table = {"method": run.method, "overlay": run.overlay, **dict(run.values)}
    return [table.get(title, "") for title in titles_of(plan)]


def table(plan: Plan, found: Sequence[Result], metric: str) -> tuple[list[str], list[list[str]]]:
    """Titles and lines, as text; the spread is the standard deviation over seeds."""
    titles = ["", *titles_of(plan), "runs", metric, "env steps", "time a run"]
    chosen = best(found, plan.sweep.direction)
    lines = []
    for one in found:
        runs = str(len(one.runs)) if one.finished == len(one.runs) else f"{one.finished} of {len(one.runs)}"
        value = "" if math.isnan(one.mean) else f"{one.mean:.4g}"
        value += "" if math.isnan(one.spread) else f" ± {one.spread:.2g}"
        steps = "" if math.isnan(one.steps) else f"{one.steps:,.0f}"
        time = "" if math.isnan(one.hours) else duration(3600.0 * one.hours)
        mark = "best" if one is chosen and len(found) > 1 else ""
        lines.append([mark, *cells(plan, one.runs[0]), runs, value, steps, time])
    return titles, lines


def write(plan: Plan, found: Sequence[Result], metric: str) -> Path:
    """``sweep.csv``: a line for each configuration, numbers in full.

    Raises:
        SmbrlError: it cannot be written.
    """
    path = plan.folder / CSV
    head = ["configuration", "method", "overlay", *plan.sweep.names, "seeds", "runs", "finished"]
    head += [metric, "standard deviation", "env steps", "hours a run"]
    rows = []
    for one in found:
        run = one.runs[0]
        values = dict(run.values)
        seeds = " ".join(str(member.seed) for member in one.runs)
        row = [run.configuration, run.method, run.overlay, *(values.get(name, "") for name in plan.sweep.names)]
        numbers = (one.mean, one.spread, one.steps, one.hours)
        rows.append([*row, seeds, len(one.runs), one.finished, *("" if math.isnan(n) else repr(n) for n in numbers)])
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *rows])
    except OSError as error:
        raise SmbrlError(f"cannot write {path} ({error.strerror})") from error
    return path


def next_line(plan: Plan, metric: str) -> str:
    """The command that compares the configurations."""
    words = ["smbrl", "compare", str(plan.folder), "--metric", metric]
    several = len(plan.sweep.methods) > 1 or plan.sweep.overlays != (NONE,)
    for name in plan.sweep.names if not several else ():
        words += ["--by", name]
    return shlex.join(words)
