"""Where the agent has been: the paper's Figure 9."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smbrl.analysis.style import TIME, bare, figure, save, short
from smbrl.interfaces import Task

MOST = 25_000
"""Points in a picture; of more, an even selection over time is drawn."""


def coverage(
    task: Task, observations: NDArray[np.float32], path: Path, *, steps: float | None = None, title: str = ""
) -> Path | None:
    """Positions over the task's scene, coloured by when they were visited.

    Args:
        task: draws the scene and knows which elements of an observation are its position.
        observations: ``(n, O)`` in the order they were made (a replay buffer's, a data set's).
        path: PNG to write.
        steps: env steps that the observations span, for the colour bar; None: a share of the time.
        title: of the picture.

    Returns:
        The path; None where the task has no position in the plane, or there is nothing to draw.
    """
    place = task.spec.position
    if len(place) < 2 or not len(observations):
        return None
    chosen = np.unique(np.linspace(0, len(observations) - 1, min(MOST, len(observations))).astype(int))
    x, y = observations[chosen][:, place[0]], observations[chosen][:, place[1]]
    when = chosen / max(len(observations) - 1, 1) * (steps or 1.0)
    with figure(5.6, 4.9) as (made, (axes,)):
        task.draw(axes)
        dots = axes.scatter(x, y, c=when, s=2.2, cmap=TIME, linewidths=0, zorder=4, rasterized=True)
        bare(axes)
        axes.set_title(title or f"Where the agent has been: {cells(x, y)} different cells")
        bar = made.colorbar(dots, ax=axes, shrink=0.85, pad=0.02)
        bar.ax.spines["outline"].set_visible(False)
        bar.set_label("environment steps" if steps else "share of the time")
        if steps:
            bar.ax.yaxis.set_major_formatter(lambda value, _: short(value))
        return save(made, path)


def cells(x: NDArray[np.float32], y: NDArray[np.float32]) -> int:
    """Different unit cells among the positions."""
    return len(np.unique(np.round(np.stack([x, y], 1)), axis=0))
