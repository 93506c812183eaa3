"""A comparison as rows of text, for the terminal, for CSV files and for the page."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from smbrl.analysis.comparison.comparison import Comparison, Line, Task
from smbrl.analysis.comparison.groups import Difference, summarised
from smbrl.analysis.comparison.statistics import AGGREGATES, Estimate
from smbrl.analysis.style import short

NAMES = {"iqm": "IQM", "median": "median", "mean": "mean", "optimality gap": "optimality gap"}


@dataclass(frozen=True)
class Table:
    """Titles and rows, as text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def number(value: float) -> str:
    """Three significant digits; empty where there is no number."""
    if math.isnan(value):
        return ""
    return "never" if math.isinf(value) else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def with_interval(found: Estimate, place: int | None = None) -> str:
    """``0.72 [0.55, 0.9]``."""
    value, low, high = (float(x if place is None else x[place]) for x in (found.value, found.low, found.high))
    return number(value) if math.isnan(low) else f"{number(value)} [{number(low)}, {number(high)}]"


def difference_table(found: Sequence[Difference], task: str, *, all_of_them: bool = False) -> Table:
    """What differs between the groups of a task; parts that only some groups have are one line each."""
    rows = [row for row in (found if all_of_them else summarised(found)) if row.task == task]
    labels = list(rows[0].values) if rows else []
    return Table(
        f"What differs on {task}", ["binding", *labels], [[row.name, *(row.values[n] for n in labels)] for row in rows]
    )


def summary(comparison: Comparison) -> Table:
    """Aggregates of every method that has all tasks."""
    share = f"{comparison.settings.bootstrap.confidence:.0%}"
    optimal = "" if comparison.optimal == 1.0 else f" to {number(comparison.optimal)}"
    titles = ["method", "runs", *(NAMES[name] for name in AGGREGATES)]
    titles[-1] += optimal
    rows = []
    for label in comparison.labels:
        counts = sorted({len(line.scores) for task in comparison.tasks for line in task.lines if line.label == label})
        found = comparison.aggregates[label]
        rows.append([label, " to ".join(map(str, counts)), *(with_interval(found[name]) for name in AGGREGATES)])
    where = comparison.tasks[0].title if len(comparison.tasks) == 1 else f"{len(comparison.tasks)} tasks"
    return Table(f"{comparison.settings.metric} on {where}, [{share} interval]", titles, rows)


def task_table(comparison: Comparison, task: Task) -> Table:
    """Of one task: score, steps and time to the level, final evaluation, wall time, the paper's value."""
    level = number(task.level)
    titles = [
        "method",
        "seeds",
        f"at {short(task.at)}",
        f"steps to {level}",
        "runs that get there",
        f"hours to {level}",
    ]
    titles += ["final evaluation", "hours a run"]
    published = any(line.published for line in task.lines)
    if published:
        titles += ["published, as many steps", "published, end"]
    rows = []
    for line in task.lines:
        there = sum(math.isfinite(steps) for steps, _ in line.reached)
        row = [
            line.label,
            ", ".join(run.seed for run in line.group.runs),
            number(float(line.scores.mean())),
            _steps(line),
            f"{there} of {len(line.reached)}",
            number(line.hours_to_level()) if there else "",
            number(line.final),
            number(line.hours),
        ]
        if published:
            row.append(number(line.published_at(task.at)))
            row.append(
                "" if line.published is None else f"{line.published[1][-1]:.3g} at {short(line.published[0][-1])}"
            )
        rows.append(row)
    return Table(f"{task.title}: mean score, sample efficiency, time", titles, rows)


def _steps(line: Line) -> str:
    middle = line.steps_to_level()
    steps = sorted(steps for steps, _ in line.reached)
    if math.isinf(middle):
        return "never"
    ends = [short(steps[0]), "never" if math.isinf(steps[-1]) else short(steps[-1])]
    spread = f" ({ends[0]} to {ends[1]})" if ends[0] != ends[1] else ""
    return short(middle) + spread


def improvement_table(comparison: Comparison) -> Table:
    """P(row beats column)."""
    labels = comparison.labels
    rows = [
        [ours, *("" if ours == theirs else with_interval(comparison.improvement[ours, theirs], 0) for theirs in labels)]
        for ours in labels
    ]
    return Table("Probability that a run of the row scores higher than one of the column", ["", *labels], rows)


def runs_table(comparison: Comparison) -> Table:
    """Every run that was compared."""
    rows = []
    for task in comparison.tasks:
        for line in task.lines:
            for place, run in enumerate(line.group.runs):
                steps, seconds = line.reached[place]
                hours = sum(run.seconds.values()) / 3600.0 if run.seconds else math.nan
                rows.append(
                    [
                        task.title,
                        line.label,
                        run.name,
                        run.seed,
                        run.state,
                        repr(float(line.scores[place])),
                        "" if math.isinf(steps) else f"{steps:.0f}",
                        "" if not math.isfinite(seconds) else f"{seconds:.1f}",
                        "" if math.isnan(hours) else f"{hours:.4f}",
                        run.tags.get("git", ""),
                        run.tags.get("data_hash", "")[:12],
                    ]
                )
    titles = ["task", "method", "run", "seed", "state", "score", "steps to level", "seconds to level", "hours"]
    return Table("Runs", [*titles, "git", "data"], rows)


def curves(comparison: Comparison) -> Table:
    """Points of all curves, long form."""
    rows: list[list[str]] = []
    for task in comparison.tasks:
        for line in task.lines:
            for i, step in enumerate(line.steps):
                numbers = (step, line.seconds[i], line.curve.value[i], line.curve.low[i], line.curve.high[i])
                shown = ["" if math.isnan(x) else f"{x:.8g}" for x in numbers]
                rows.append([task.title, line.label, *shown, str(len(line.each))])
    statistic = comparison.settings.statistic
    return Table("Curves", ["task", "method", "env_steps", "seconds", statistic, "low", "high", "runs"], rows)


def scores(comparison: Comparison) -> Table:
    """The aggregates as plain numbers, long form."""
    rows = []
    for label in comparison.labels:
        for name in AGGREGATES:
            found = comparison.aggregates[label][name]
            values = (float(found.value), float(found.low), float(found.high))
            rows.append([label, name, *("" if math.isnan(x) else f"{x:.8g}" for x in values)])
    for (ours, theirs), found in comparison.improvement.items():
        values = (float(found.value[0]), float(found.low[0]), float(found.high[0]))
        rows.append([ours, f"P(beats {theirs})", *("" if math.isnan(x) else f"{x:.8g}" for x in values)])
    return Table("Scores", ["method", "statistic", "value", "low", "high"], rows)


def write_csv(comparison: Comparison, folder: Path) -> list[Path]:
    """``curves.csv``, ``scores.csv``, ``runs.csv`` and ``differences.csv``."""
    made = []
    for name, table in (
        ("curves", curves(comparison)),
        ("scores", scores(comparison)),
        ("runs", runs_table(comparison)),
    ):
        made.append(_write(folder / f"{name}.csv", [table.columns, *table.rows]))
    labels = comparison.all_labels
    rows = [[d.task, d.name, *(d.values.get(label, "") for label in labels)] for d in comparison.differences]
    return [*made, _write(folder / "differences.csv", [["task", "binding", *labels], *rows])]


def _write(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path
