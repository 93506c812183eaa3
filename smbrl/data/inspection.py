"""What is in a data set: numbers and a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smbrl.data.store import Dataset
from smbrl.interfaces import Task

BIN = 0.5
"""Side of a bin of the coverage picture, in units of the position (metres)."""
MAX_BINS = 400
ROWS = 1 << 18
"""Of the data that are looked at together."""


@dataclass(frozen=True)
class Statistics:
    """Numbers of a data set.

    Attributes:
        lengths: shortest, median, mean, longest episode in steps.
        observations, actions: per element: minimum, maximum, mean, standard deviation ``(size, 4)``.
        saturated: share of action elements at -1 or 1.
        megabytes: on disk.
    """

    episodes: int
    steps: int
    lengths: tuple[int, float, float, int]
    observations: NDArray[np.float64]
    actions: NDArray[np.float64]
    saturated: float
    megabytes: float


def statistics(dataset: Dataset) -> Statistics:
    """Read the data (which checks them) and count.

    Raises:
        SmbrlError: the data set is damaged.
    """
    arrays = dataset.arrays
    lengths = arrays.lengths
    real = np.ones(len(arrays.actions), bool)
    real[arrays.starts + lengths] = False
    size = sum(file.stat().st_size for file in (dataset.path / "data").iterdir())
    saturated = sum(int((np.abs(block) >= 1.0).sum()) for block in _blocks(arrays.actions, real))
    return Statistics(
        episodes=len(lengths),
        steps=int(lengths.sum()),
        lengths=(int(lengths.min()), float(np.median(lengths)), float(lengths.mean()), int(lengths.max())),
        observations=_summary(arrays.obs),
        actions=_summary(arrays.actions, real),
        saturated=saturated / (int(lengths.sum()) * arrays.actions.shape[1]),
        megabytes=size / 1e6,
    )


def _blocks(values: NDArray[np.float32], chosen: NDArray[np.bool_] | None = None) -> Iterator[NDArray[np.float32]]:
    """The (chosen) rows, some at a time: the data may be mapped because they do not fit into memory."""
    for start in range(0, len(values), ROWS):
        rows = slice(start, start + ROWS)
        block = values[rows] if chosen is None else values[rows][chosen[rows]]
        if len(block):
            yield block


def _summary(values: NDArray[np.float32], chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Minimum, maximum, mean, standard deviation of each column ``(size, 4)``."""
    count = len(values) if chosen is None else int(chosen.sum())
    low = np.min([block.min(0) for block in _blocks(values, chosen)], 0)
    high = np.max([block.max(0) for block in _blocks(values, chosen)], 0)
    mean = np.sum([block.sum(0, dtype=np.float64) for block in _blocks(values, chosen)], 0) / count
    squares = np.sum([np.square(block - mean).sum(0) for block in _blocks(values, chosen)], 0)
    return np.stack([low, high, mean, np.sqrt(squares / count)], 1).astype(np.float64)


def draw_coverage(dataset: Dataset, path: Path, task: Task | None = None) -> Path:
    """Draw where the data have been, episode lengths and actions into a picture file.

    Args:
        dataset: what to draw.
        path: of the picture; the suffix chooses the format.
        task: draws the scene and says which elements are the position; None: the first two, no scene.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    arrays = dataset.arrays
    position = task.spec.position[:2] if task is not None else tuple(range(min(2, arrays.obs.shape[1])))
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(2.1, 1))
    if len(position) == 2:
        main = figure.add_subplot(grid[:, 0])
        x, y = (arrays.obs[:, element] for element in position)
        counts, columns, rows = np.histogram2d(x, y, bins=(_edges(x), _edges(y)))
        shown = np.ma.masked_equal(counts.T, 0)
        image = main.pcolormesh(columns, rows, shown, norm=LogNorm(1, max(counts.max(), 2)), cmap="viridis", zorder=1)
        figure.colorbar(image, ax=main, label=f"steps per bin of {columns[1] - columns[0]:.2g}", shrink=0.85)
        if task is not None:
            task.draw(main)
        else:
            main.set_xlabel(f"observation {position[0]}")
            main.set_ylabel(f"observation {position[1]}")
        main.set_title(
            f"{dataset.id}: {len(arrays.lengths):,} episodes, {int(arrays.lengths.sum()):,} steps", fontsize=10
        )
    lengths = figure.add_subplot(grid[0, 1])
    lengths.hist(arrays.lengths, bins=40, color="#3b6ea5")
    lengths.set_xlabel("steps per episode")
    lengths.set_ylabel("episodes")
    actions = figure.add_subplot(grid[1, 1])
    real = np.ones(len(arrays.actions), bool)
    real[arrays.starts + arrays.lengths] = False
    for element in range(min(arrays.actions.shape[1], 8)):
        actions.hist(arrays.actions[real, element], bins=60, histtype="step", label=f"action {element}", density=True)
    actions.set_xlabel("action")
    actions.set_ylabel("density")
    actions.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _edges(values: NDArray[Any]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    bins = int(np.clip((high - low) / BIN, 40, MAX_BINS))
    return np.linspace(low, high if high > low else low + 1.0, bins + 1)
