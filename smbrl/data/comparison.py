"""What demonstrations do: which sub-task follows which, how long it takes, and what two data sets have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smbrl.data.store import Dataset
from smbrl.errors import SmbrlError
from smbrl.interfaces import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#3b6ea5", "#d9822b")
SHOWN = 32
"""Elements of the observation whose range is drawn, at most."""


@dataclass(frozen=True)
class Transitions:
    """How sub-tasks follow each other in a data set.

    Attributes:
        names: of the sub-tasks that occur, in the task's order first.
        counts: how often the column's sub-task was the next after the row's, ``(n, n)``.
        first: how many episodes begin with each, ``(n,)``.
        episodes: in how many episodes each occurs, ``(n,)``.
        per_episode: sub-tasks completed in each episode.
        steps: between two completions, or the start and the first.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    first: NDArray[np.int64]
    episodes: NDArray[np.int64]
    per_episode: NDArray[np.int64]
    steps: NDArray[np.int64]


def transitions(dataset: Dataset, task: Task, names: Sequence[str] = ()) -> Transitions:
    """Find the sub-tasks in every episode.

    Args:
        dataset: with observations of the task (elements behind them, such as D4RL's goals, do no harm).
        task: says when its sub-tasks were completed (`Task.completions`).
        names: to begin with, so that two data sets have the same rows.
    """
    found = [task.completions(episode.obs) for episode in dataset.episodes()]
    known = dict.fromkeys((*names, *task.subtasks))
    known |= dict.fromkeys(name for events in found for name, _ in events)
    order = tuple(known)
    number = {name: index for index, name in enumerate(order)}
    counts = np.zeros((len(order), len(order)), np.int64)
    first, episodes = np.zeros(len(order), np.int64), np.zeros(len(order), np.int64)
    steps: list[int] = []
    for events in found:
        before = 0
        for place, (name, step) in enumerate(events):
            if place == 0:
                first[number[name]] += 1
            else:
                counts[number[events[place - 1][0]], number[name]] += 1
            steps.append(step - before)
            before = step
        for name in {name for name, _ in events}:
            episodes[number[name]] += 1
    each = np.array([len(events) for events in found], np.int64)
    return Transitions(order, counts, first, episodes, each, np.array(steps, np.int64))


def lines(what: Transitions) -> list[str]:
    """The transition matrix as text, and what goes with it."""
    width = max(map(len, what.names), default=0)
    heads = "".join(f"{name[:12]:>14}" for name in what.names)
    text = [f"{'then':>{width}}{heads}{'begins':>10}{'episodes':>10}"]
    for name, row, first, episodes in zip(what.names, what.counts, what.first, what.episodes, strict=True):
        text.append(f"{name:<{width}}" + "".join(f"{count:14d}" for count in row) + f"{first:10d}{episodes:10d}")
    if len(what.steps):
        text.append(
            f"{what.per_episode.mean():.2f} sub-tasks per episode, {what.steps.mean():.1f} steps each "
            f"({np.percentile(what.steps, 5):.0f} to {np.percentile(what.steps, 95):.0f} for nine of ten)"
        )
    return text


def draw_comparison(datasets: Sequence[Dataset], task: Task, path: Path) -> Path:
    """Transitions, lengths and the ranges of observations and actions of one or two data sets, side by side.

    Raises:
        SmbrlError: a data set of another task: fewer observation elements, or other actions.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for dataset in datasets:
        sizes = dataset.arrays.obs.shape[1], dataset.arrays.actions.shape[1]
        if sizes[0] < task.spec.observation or sizes[1] != task.spec.action:
            raise SmbrlError(
                f"data set {dataset.id} has observations of size {sizes[0]} and actions of size {sizes[1]}, task "
                f"{type(task).__name__} has {task.spec.observation} and {task.spec.action}: they cannot be compared"
            )
    names: tuple[str, ...] = ()
    for dataset in datasets:
        names = transitions(dataset, task, names).names
    found = [transitions(dataset, task, names) for dataset in datasets]
    figure = Figure(figsize=(13, 10), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 2, height_ratios=(1.3, 0.8, 1.0))
    for column, (dataset, what) in enumerate(zip(datasets, found, strict=True)):
        axes = figure.add_subplot(grid[0, column])
        axes.set_title(
            f"{dataset.id}\n{len(dataset.arrays.lengths):,} episodes, {what.per_episode.mean():.2f} sub-tasks each",
            fontsize=10,
        )
        _matrix(axes, what)
    lengths, between = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    longest = max(int(dataset.arrays.lengths.max()) for dataset in datasets)
    slowest = max((int(what.steps.max()) for what in found if len(what.steps)), default=1)
    for dataset, what, colour in zip(datasets, found, COLOURS, strict=False):
        label = f"{dataset.id}, mean {dataset.arrays.lengths.mean():.0f}"
        lengths.hist(
            dataset.arrays.lengths,
            bins=np.linspace(0, longest, 45).tolist(),
            density=True,
            alpha=0.6,
            color=colour,
            label=label,
        )
        if len(what.steps):
            between.hist(
                what.steps,
                bins=np.linspace(0, slowest, 45).tolist(),
                density=True,
                alpha=0.6,
                color=colour,
                label=f"mean {what.steps.mean():.0f}",
            )
    lengths.set_xlabel("steps per episode")
    between.set_xlabel("steps per sub-task")
    for axes in (lengths, between):
        axes.set_ylabel("density")
        axes.legend(fontsize=8)
    _ranges(figure.add_subplot(grid[2, 0]), datasets, task, "observation")
    _ranges(figure.add_subplot(grid[2, 1]), datasets, task, "action")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _matrix(axes: Axes, what: Transitions) -> None:
    axes.imshow(np.sqrt(what.counts), cmap="Blues", aspect="auto")
    deep = what.counts.max(initial=1) / 2
    for row, column in np.argwhere(what.counts > 0):
        count = int(what.counts[row, column])
        axes.text(column, row, str(count), ha="center", va="center", color="white" if count > deep else "black")
    numbers = range(len(what.names))
    axes.set_xticks(numbers, what.names, rotation=30, ha="right", fontsize=8)
    labels = [f"{name} ({first} begin)" for name, first in zip(what.names, what.first, strict=True)]
    axes.set_yticks(numbers, labels, fontsize=8)
    axes.set_xlabel("... is followed by")


def _ranges(axes: Axes, datasets: Sequence[Dataset], task: Task, kind: str) -> None:
    """Nine tenths of each element's values as a bar, half of them thicker; observations as the networks see them."""
    shift, scale = np.array(task.spec.shift), np.array(task.spec.scale)
    for place, (dataset, colour) in enumerate(zip(datasets, COLOURS, strict=False)):
        arrays = dataset.arrays
        if kind == "observation":
            shown = min(task.spec.observation, SHOWN)
            values = arrays.obs[:, :shown] * scale[:shown] + shift[:shown]
        else:
            real = np.ones(len(arrays.actions), bool)
            real[arrays.starts + arrays.lengths] = False
            values = arrays.actions[real]
        at = np.arange(values.shape[1]) + (place - (len(datasets) - 1) / 2) * 0.35
        low, lower, upper, high = np.percentile(values, (5, 25, 75, 95), axis=0)
        axes.vlines(at, low, high, color=colour, linewidth=1.5)
        axes.vlines(at, lower, upper, color=colour, linewidth=5, alpha=0.7, label=dataset.id)
    axes.set_xlabel(f"{kind} element")
    axes.set_ylabel("normalised" if kind == "observation" else "action")
    axes.legend(fontsize=8)
