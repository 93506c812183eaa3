"""A comparison as pictures, each as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from smbrl.analysis.comparison.comparison import Comparison
from smbrl.analysis.comparison.statistics import AGGREGATES
from smbrl.analysis.comparison.tables import NAMES
from smbrl.analysis.style import COLOURS, figure, save, steps_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ACROSS = 3
LONGEST = 44
"""Characters of a label in a legend."""


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """``curves``, ``aggregates``, ``profiles`` and, of two methods or more, ``improvement``."""
    made = []
    for name, picture in PICTURES.items():
        if name != "improvement" or len(comparison.labels) > 1:
            made += picture(comparison, folder / f"{name}.png")
    return made


def colours(comparison: Comparison) -> dict[str, str]:
    """One for each method, the same everywhere."""
    return {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(comparison.all_labels)}


def curves(comparison: Comparison, path: Path) -> list[Path]:
    """Learning curves, a panel for each task; published ones dashed."""
    tasks, settings = comparison.tasks, comparison.settings
    across = min(MOST_ACROSS, len(tasks))
    rows = -(-len(tasks) // across)
    colour = colours(comparison)
    legend = 0.17 * len(comparison.all_labels) + 0.25
    with figure(6.4 if across == 1 else 4.2 * across, 3.6 * rows + legend, rows, across) as (made, panels):
        for axes, task in zip(panels, tasks, strict=False):
            for line in task.lines:
                count = f"{len(line.each)} run{'s' if len(line.each) > 1 else ''}"
                axes.plot(
                    line.steps, line.curve.value, color=colour[line.label], label=f"{brief(line.label)} ({count})"
                )
                axes.fill_between(
                    line.steps, line.curve.low, line.curve.high, color=colour[line.label], alpha=0.15, linewidth=0
                )
            most = max(line.steps[-1] for line in task.lines)
            for line in task.lines:
                if line.published is not None:
                    steps, values = line.published
                    inside = np.union1d(steps[steps <= most], [min(most, steps[-1])])
                    axes.plot(inside, np.interp(inside, steps, values), "--", color=colour[line.label], linewidth=1.1)
            axes.axhline(task.level, color="#b8bcc4", linewidth=0.8, linestyle=":")
            axes.set_title(task.title)
            axes.set_ylabel(settings.metric)
            steps_axis(axes)
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        handles = dict(zip(*reversed(_legends(panels)), strict=True))
        made.suptitle(_how(comparison), fontsize=8.5, x=0.01, ha="left", color="#60656e")
        made.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=1)
        return _both(made, path)


def _legends(panels: list[Axes]) -> tuple[list[object], list[str]]:
    handles: list[object] = []
    labels: list[str] = []
    for axes in panels:
        more, names = axes.get_legend_handles_labels()
        handles += more
        labels += names
    return handles, labels


def _how(comparison: Comparison) -> str:
    settings = comparison.settings
    smooth = f"moving average of weight {settings.smooth:g}, " if settings.smooth else ""
    dashed = "; dashed: published" if any(line.published for task in comparison.tasks for line in task.lines) else ""
    share = f"{settings.bootstrap.confidence:.0%}"
    return f"{smooth}{NAMES[settings.statistic]} and {share} stratified-bootstrap interval{dashed}"


def aggregates(comparison: Comparison, path: Path) -> list[Path]:
    """Every aggregate with its interval, a row for each method."""
    labels, colour = list(comparison.labels), colours(comparison)
    with figure(10.0, 0.34 * len(labels) + 1.0, 1, len(AGGREGATES)) as (made, panels):
        for number, (axes, name) in enumerate(zip(panels, AGGREGATES, strict=True)):
            for place, label in enumerate(reversed(labels)):
                found = comparison.aggregates[label][name]
                if np.isfinite(found.low):
                    axes.barh(
                        place,
                        float(found.high - found.low),
                        left=float(found.low),
                        height=0.55,
                        color=colour[label],
                        alpha=0.35,
                    )
                axes.plot([float(found.value)] * 2, [place - 0.28, place + 0.28], color=colour[label], linewidth=2.4)
            axes.set_title(NAMES[name])
            names = [brief(label) for label in reversed(labels)] if number == 0 else [""] * len(labels)
            axes.set_yticks(range(len(labels)), names)
            axes.set_ylim(-0.6, len(labels) - 0.4)
            axes.grid(axis="y", visible=False)
        return _both(made, path)


def profiles(comparison: Comparison, path: Path) -> list[Path]:
    """Share of runs above each score."""
    colour = colours(comparison)
    with figure(6.4, 3.4 + 0.17 * len(comparison.labels)) as (made, (axes,)):
        for label, found in comparison.profiles.items():
            axes.step(comparison.levels, found.value, where="post", color=colour[label], label=brief(label))
            axes.fill_between(
                comparison.levels, found.low, found.high, step="post", color=colour[label], alpha=0.15, linewidth=0
            )
        axes.set_xlabel(f"{comparison.settings.metric} (score)")
        axes.set_ylabel("share of runs that score more")
        axes.set_ylim(-0.03, 1.03)
        axes.set_title("Performance profiles")
        made.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=1)
        return _both(made, path)


def improvement(comparison: Comparison, path: Path) -> list[Path]:
    """P(first beats second) for every pair once."""
    labels, colour = list(comparison.labels), colours(comparison)
    pairs = [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]
    with figure(8.0, 0.27 * len(pairs) + 1.0) as (made, (axes,)):
        for place, pair in enumerate(reversed(pairs)):
            found = comparison.improvement[pair]
            low, value, high = float(found.low[0]), float(found.value[0]), float(found.high[0])
            if np.isfinite(low):
                axes.barh(place, high - low, left=low, height=0.55, color=colour[pair[0]], alpha=0.35)
            axes.plot([value] * 2, [place - 0.28, place + 0.28], color=colour[pair[0]], linewidth=2.4)
        axes.axvline(0.5, color="#60656e", linewidth=0.8)
        axes.set_yticks(
            range(len(pairs)), [f"{brief(a, 30)}  >  {brief(b, 30)}" for a, b in reversed(pairs)], fontsize=8
        )
        axes.set_xlim(-0.02, 1.02)
        axes.grid(axis="y", visible=False)
        axes.set_title("Probability of improvement")
        return _both(made, path)


def brief(label: str, most: int = LONGEST) -> str:
    """A label that fits into a legend."""
    return label if len(label) <= most else label[: most - 4] + " ..."


def _both(made: Figure, path: Path) -> list[Path]:
    save(made, path)
    svg = path.with_suffix(".svg")
    draft = svg.with_name(svg.name + ".tmp")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "smbrl"}):  # text stays text; equal files
        made.savefig(draft, format="svg", metadata={"Date": None})
    draft.replace(svg)
    return [path, svg]


PICTURES: dict[str, Callable[[Comparison, Path], list[Path]]] = {
    "curves": curves,
    "aggregates": aggregates,
    "profiles": profiles,
    "improvement": improvement,
}
