"""A comparison as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import html
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smbrl import __version__
from smbrl.analysis.comparison import tables
from smbrl.analysis.comparison.comparison import Comparison, Line
from smbrl.analysis.comparison.groups import ABSENT
from smbrl.analysis.comparison.pictures import colours
from smbrl.analysis.comparison.statistics import AGGREGATES, Estimate
from smbrl.analysis.comparison.tables import NAMES, Table


def write(comparison: Comparison, path: Path, title: str) -> Path:
    """Write the report."""
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(render(comparison, title), encoding="utf-8")
    draft.replace(path)
    return path


def render(comparison: Comparison, title: str) -> str:
    """The report's source."""
    folder, settings = files(__package__), comparison.settings
    css = folder.joinpath("page.css").read_text(encoding="utf-8")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    # "</script>" in a label must not end the data
    data = json.dumps(_data(comparison), allow_nan=False).replace("<", "\\u003c")
    summary = tables.summary(comparison)
    smooth = f"moving average of weight {settings.smooth:g}, " if settings.smooth else "not smoothed, "
    how = (
        f"{settings.metric}; {smooth}{NAMES[settings.statistic]} over runs, {settings.bootstrap.confidence:.0%} "
        f"stratified-bootstrap intervals from {settings.bootstrap.reps:,} resamples (rliable). smbrl {__version__}."
    )
    body = [
        f"<h1>{html.escape(title)}</h1><p>{html.escape(how)}</p>",
        "<h2>What differs</h2>",
        *(_differences(comparison, task.title) for task in comparison.tasks),
        '<div id="bar"></div><noscript><p>The charts are drawn by a script in this file; the same pictures lie beside '
        "it.</p></noscript>",
        '<h2>Learning curves</h2><div class="charts" id="curves"></div>',
        _remarks(comparison),
        '<h2>Aggregates</h2><div class="charts four" id="aggregates"></div>',
        _table(summary),
        "<h2>Sample efficiency and time</h2>",
        *(_table(tables.task_table(comparison, task)) for task in comparison.tasks),
        "<p>Steps to a level: median over the runs (first to last). Hours to it: online learning alone. Hours a run: "
        "all phases.</p>",
    ]
    if len(comparison.labels) > 1:
        body += [
            "<h2>Probability of improvement</h2>",
            "<p>That a run of the row scores higher than one of the column; ties count half.</p>",
            _heat(comparison),
        ]
    body += [
        '<h2>Performance profiles</h2><div class="charts"><div id="profiles"></div></div>',
        "<h2>Runs</h2>",
        _table(tables.runs_table(comparison), "sortable"),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{css}</style></head>\n<body>\n"
        + "\n".join(body)
        + f'\n<div id="tip"></div>\n<script type="application/json" id="data">{data}</script>\n'
        f"<script>\n{script}</script></body></html>\n"
    )


def _data(comparison: Comparison) -> dict[str, Any]:
    return {
        "metric": comparison.settings.metric,
        "colours": colours(comparison),
        "labels": list(comparison.labels),
        "statistics": [NAMES[name] for name in AGGREGATES],
        "aggregates": {
            label: {NAMES[name]: _estimate(found[name]) for name in AGGREGATES}
            for label, found in comparison.aggregates.items()
        },
        "levels": _plain(comparison.levels),
        "profiles": {label: _estimate(found) for label, found in comparison.profiles.items()},
        "tasks": [
            {"title": task.title, "level": task.level, "lines": [_line(line) for line in task.lines]}
            for task in comparison.tasks
        ],
    }


def _line(line: Line) -> dict[str, Any]:
    published = None
    if line.published is not None:
        published = {"steps": _plain(line.published[0]), "value": _plain(line.published[1])}
    return {
        "label": line.label,
        "steps": _plain(line.steps),
        "hours": _plain(line.seconds / 3600.0),
        **_estimate(line.curve),
        "runs": [
            {"name": run.name, "value": _plain(values)} for run, values in zip(line.group.runs, line.each, strict=True)
        ],
        "published": published,
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high)}


def _plain(values: NDArray[np.float64]) -> Any:
    """Numbers for JSON, seven digits of each; null for what is none."""
    if np.ndim(values) == 0:
        return float(f"{float(values):.7g}") if math.isfinite(float(values)) else None
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in np.asarray(values).tolist()]


def _table(table: Table, kind: str = "") -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in table.rows)
    return (
        f'<h3>{html.escape(table.title)}</h3><div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _differences(comparison: Comparison, task: str) -> str:
    """Settings first; parts that only some have, one line each, and all their bindings on demand."""
    short = tables.difference_table(comparison.differences, task)
    if not short.rows:
        return f"<p>{html.escape(task)}: nothing but seeds.</p>"
    full = tables.difference_table(comparison.differences, task, all_of_them=True)
    more = ""
    if len(full.rows) > len(short.rows):
        more = f"<details><summary>all {len(full.rows)} bindings</summary>{_marked(full)}</details>"
    return f"<h3>{html.escape(task)}</h3>{_marked(short)}{more}"


def _marked(table: Table) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in table.columns)
    rows = ""
    for name, *values in table.rows:
        usual = max(values, key=values.count)
        cells = "".join(
            f"<td{' class=differs' if value not in (usual, ABSENT) else ''}><code>{html.escape(value)}</code></td>"
            for value in values
        )
        rows += f"<tr><td><code>{html.escape(name)}</code></td>{cells}</tr>\n"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _heat(comparison: Comparison) -> str:
    labels = comparison.labels
    head = "".join(f"<th>{html.escape(label)}</th>" for label in labels)
    rows = ""
    for ours in labels:
        cells = ""
        for theirs in labels:
            if ours == theirs:
                cells += "<td></td>"
                continue
            found = comparison.improvement[ours, theirs]
            value = float(found.value[0])
            colour = (
                f"rgba(31, 111, 139, {value - 0.5:.2f})" if value > 0.5 else f"rgba(224, 122, 63, {0.5 - value:.2f})"
            )
            text = html.escape(tables.with_interval(found, 0))
            cells += f'<td class="heat" style="background:{colour}">{text}</td>'
        rows += f"<tr><th>{html.escape(ours)}</th>{cells}</tr>\n"
    return f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _remarks(comparison: Comparison) -> str:
    texts = list(comparison.remarks)
    if any(line.published for task in comparison.tasks for line in task.lines):
        texts.append(f"Dashed: {comparison.source}")
    return '<ul class="remarks">' + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"
