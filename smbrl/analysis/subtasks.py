"""When sub-tasks were completed: a row for each episode, and how many have come how far by when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smbrl.analysis.style import NOTHING, REAL, bare, figure, save, subtask_colours
from smbrl.training.evaluations import Completions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 25
"""Episodes up to which each has its number and its count written beside it, and each completion a dot."""
GREY = "#60656e"


def timelines(done: Completions, path: Path, *, limit: int, title: str = "") -> Path | None:
    """Episodes as rows of coloured stretches, those that came farthest first.

    A stretch is the time until a sub-task was completed, in its colour; what follows the last one is grey. Beside each
    row: which sub-tasks were completed. Below: the share of episodes that had completed each by then.

    Args:
        done: when.
        path: PNG to write.
        limit: env steps that an episode may have.
        title: of the picture.

    Returns:
        The path; None where there is no episode or no sub-task.
    """
    episodes, count = done.steps.shape
    if not episodes or not count:
        return None
    colours = list(subtask_colours(done.subtasks).values())
    order = ranked(done.steps)
    rows = min(max(0.19 * episodes, 1.2), 4.4)
    with figure(7.6, rows + 2.1, 0, 0) as (made, _):
        grid = made.add_gridspec(2, 2, height_ratios=(rows, 1.15), width_ratios=(3.6, 1.0))
        above = made.add_subplot(grid[0, 0])
        _rows(above, done, order, colours, limit)
        _shares(made.add_subplot(grid[0, 1], sharey=above), done, order, colours)
        below = made.add_subplot(grid[1, 0], sharex=above)
        _progress(below, done.steps, colours, limit)
        _names(made.add_subplot(grid[1, 1]), done, colours)
        above.tick_params(labelbottom=False)
        mean = (done.steps >= 0).sum(1).mean()
        by = "" if done.how == "as trained" else f" by the {done.how} alone"
        said = f"Sub-tasks completed{by}: {mean:.2f} of {count} on average ({episodes} episodes, step {done.step:,})"
        made.suptitle(title or said, fontsize=10, fontweight="bold", x=0.01, ha="left")
        return save(made, path)


def ranked(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Episodes in order: those with more sub-tasks first, among equals those that were done sooner."""
    return np.lexsort((np.arange(len(steps)), steps.max(1), -(steps >= 0).sum(1)))


def stretches(steps: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """One episode's ``(sub-task, from, to)`` in the order of time; completions in one step have no length."""
    found, since = [], 0
    for number in np.argsort(steps, kind="stable").tolist():
        if steps[number] >= 0:
            found.append((number, since, int(steps[number])))
            since = int(steps[number])
    return found


def _height(episodes: int) -> float:
    """Of a bar, where rows are 1 apart."""
    return 0.62 if episodes <= NAMED else 0.8 if episodes <= 2 * NAMED else 1.0


def _rows(axes: Axes, done: Completions, order: NDArray[np.int64], colours: list[str], limit: int) -> None:
    episodes = len(order)
    few = episodes <= NAMED
    height = _height(episodes)
    size = np.clip(260 / episodes, 9, 24)
    for row, episode in enumerate(order):
        length = int(done.lengths[episode])
        parts = stretches(done.steps[episode])
        last = parts[-1][2] if parts else 0
        axes.barh(row, length - last, height, left=last, color=NOTHING, linewidth=0)
        for number, since, until in parts:
            axes.barh(row, until - since, height, left=since, color=colours[number], linewidth=0)
        if not few:
            continue
        for until in {part[2] for part in parts}:
            together = [number for number, _, to in parts if to == until]
            offsets = (np.arange(len(together)) - (len(together) - 1) / 2) * height / len(together)
            axes.scatter(
                [until] * len(together),
                row + offsets,
                s=size / len(together),
                c=[colours[number] for number in together],
                edgecolors="white",
                linewidths=0.7,
                zorder=4,
                clip_on=False,
            )
    axes.set_xlim(0, limit)
    axes.set_ylim(episodes - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if few:
        axes.set_yticks(range(episodes), [f"episode {episode}" for episode in order], fontsize=7.5)
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{episodes} episodes, farthest first")


def _shares(axes: Axes, done: Completions, order: NDArray[np.int64], colours: list[str]) -> None:
    """A cell for each sub-task, filled where it was completed."""
    episodes, count = done.steps.shape
    few = episodes <= NAMED
    for number, colour in enumerate(colours):
        reached = done.steps[order, number] >= 0
        axes.barh(
            np.arange(episodes),
            0.9 if few else 1.0,
            _height(episodes),
            left=number,
            color=[colour if yes else NOTHING for yes in reached],
            linewidth=0,
        )
    axes.set_xlim(-0.1, count * (1.45 if few else 1.02))
    if few:
        for row, episode in enumerate(order):
            text = f"{(done.steps[episode] >= 0).sum()} of {count}"
            axes.text(count * 1.04, row + 0.05, text, va="center", fontsize=7.5, color=REAL)
    axes.grid(False)
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("completed", fontsize=8.5, fontweight="normal", color=GREY)


def _progress(axes: Axes, steps: NDArray[np.int64], colours: list[str], limit: int) -> None:
    """The share of episodes that had completed each sub-task, over time."""
    for number, colour in enumerate(colours):
        at = np.sort(steps[steps[:, number] >= 0, number])
        share = np.arange(1, len(at) + 1) / len(steps)
        last = share[-1] if len(at) else 0.0
        axes.step([0, *at, limit], [0.0, *share, last], where="post", color=colour, linewidth=1.6, zorder=3)
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_ylabel("of episodes")
    axes.set_xlabel("environment steps")


def _names(axes: Axes, done: Completions, colours: list[str]) -> None:
    """The sub-tasks in their order with their rates; the pictures' legend."""
    bare(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(colours) - 0.3, -0.7)
    rates = (done.steps >= 0).mean(0)
    for row, (name, colour, rate) in enumerate(zip(done.subtasks, colours, rates, strict=True)):
        axes.scatter([0.03], [row], s=42, marker="s", color=colour, linewidths=0, clip_on=False)
        axes.text(0.1, row, name, va="center", fontsize=8, color=REAL)
        axes.text(1.0, row, f"{100 * rate:.0f} %", va="center", ha="right", fontsize=8, color=REAL, fontweight="bold")
