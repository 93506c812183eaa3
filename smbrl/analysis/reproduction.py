"""What a study came to, beside what was published: a table, a CSV, a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smbrl.analysis.curves import compare, ema
from smbrl.tracking.record import Columns, read
from smbrl.training.folder import RunFolder
from smbrl.training.study import Method, Study, StudyRun

WEIGHT = 0.9
"""Of the moving average of a run's curve."""
SOLVED = 0.95
"""Success of an evaluation that counts as solved."""


@dataclass(frozen=True)
class Row:
    """A method's line of the table; numbers are means over its runs, NaN where there is nothing.

    Attributes:
        method: its name.
        runs, finished: how many there are, and how many came to their end.
        steps: env steps.
        value: the study's metric at the end, smoothed.
        spread: standard deviation over runs.
        evaluated: success of the final evaluation.
        solved: env steps of the first evaluation that counts as solved, where every run has one.
        published: the published value at as many steps; None where nothing was published.
        best: the last published value and its steps.
        hours: wall time of a run, pre-training included where it was not found.
    """

    method: str
    runs: int
    finished: int
    steps: float
    value: float
    spread: float
    evaluated: float
    solved: float
    published: float | None
    best: tuple[float, float] | None
    hours: float


def rows(study: Study, methods: Sequence[Method], jobs: Sequence[StudyRun]) -> list[Row]:
    """One for each method that has a run."""
    begun = _begun(jobs)
    return [_row(study.metric, method, runs) for method in methods if (runs := begun.get(method))]


def _begun(jobs: Sequence[StudyRun]) -> dict[Method, list[RunFolder]]:
    """The runs there are of each method."""
    found: dict[Method, list[RunFolder]] = {}
    for job in jobs:
        if job.state() != "waiting":
            found.setdefault(job.method, []).append(RunFolder.open(job.path))
    return found


def _row(metric: str, method: Method, folders: Sequence[RunFolder]) -> Row:
    infos, records = [folder.info() for folder in folders], [read(folder.metrics) for folder in folders]
    values = np.array([ema(c.values(metric), WEIGHT)[-1] if metric in c else np.nan for c in records])
    steps = _mean([float(info.get("step", 0)) if info.get("phase") in ("online", "final") else 0.0 for info in infos])
    published = None
    if method.published:
        places, heights = zip(*method.published, strict=True)
        published = float(np.interp(steps, places, heights))
    return Row(
        method.name,
        len(folders),
        sum(info.get("state") == "finished" for info in infos),
        steps,
        _mean(values),
        float(np.nanstd(values)) if np.isfinite(values).any() else np.nan,
        _mean([np.nan if info.get("success") is None else float(info["success"]) for info in infos]),
        float(np.mean([_solved(c) for c in records])),
        published,
        (method.published[-1][1], method.published[-1][0]) if method.published else None,
        _mean([sum(info.get("seconds", {}).values()) / 3600.0 for info in infos]),
    )


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    array = np.asarray(values, np.float64)
    return float(np.nanmean(array)) if np.isfinite(array).any() else float("nan")


def _solved(columns: Columns) -> float:
    if "eval/success" not in columns:
        return float("nan")
    there = np.flatnonzero(columns.values("eval/success") >= SOLVED)
    return float(columns.steps("eval/success")[there[0]]) if len(there) else float("nan")


def table(found: Sequence[Row], metric: str) -> tuple[list[str], list[list[str]]]:
    """Titles and lines, as text."""
    titles = ["method", "runs", "env steps", metric, "final success", "solved at", "paper, as many steps", "paper, end"]
    titles.append("hours a run")
    lines = []
    for row in found:
        runs = str(row.runs) if row.finished == row.runs else f"{row.finished} of {row.runs}"
        lines.append(
            [
                row.method,
                runs,
                f"{row.steps:,.0f}",
                _shown(row.value) + (f" ± {row.spread:.2f}" if row.runs > 1 and np.isfinite(row.spread) else ""),
                _shown(row.evaluated),
                "" if np.isnan(row.solved) else f"{row.solved:,.0f}",
                "" if row.published is None else _shown(row.published),
                "" if row.best is None else f"{row.best[0]:.2f} at {row.best[1]:,.0f}",
                f"{row.hours:.2f}",
            ]
        )
    return titles, lines


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def write(study: Study, methods: Sequence[Method], jobs: Sequence[StudyRun], folder: Path) -> list[Path]:
    """``report.md``, ``report.csv`` and ``curves.png``; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    titles, lines = table(rows(study, methods, jobs), study.metric)
    markdown = folder / "report.md"
    body = [titles, ["---"] * len(titles), *lines]
    text = "\n".join("| " + " | ".join(line) + " |" for line in body)
    markdown.write_text(f"# {study.name}\n\n{study.about}\n\n{text}\n", encoding="utf-8")
    comma = folder / "report.csv"
    with open(comma, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([titles, *lines])
    made = [markdown, comma]
    begun = _begun(jobs)
    curves = {m.name: [read(run.metrics) for run in runs] for m in methods if (runs := begun.get(m))}
    published = {method.name: tuple(zip(*method.published, strict=True)) for method in methods if method.published}
    drawn = compare(
        curves,
        folder / "curves.png",
        metric=study.metric,
        weight=WEIGHT,
        bins=60,
        title=f"{study.name}: {study.metric}, moving average of weight {WEIGHT:g}",
        reference={name: (list(x), list(y)) for name, (x, y) in published.items()},
    )
    return [*made, drawn] if drawn else made
