"""One look for all pictures, and files that are small enough to be logged often."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from cycler import cycler

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
LARGEST = 200_000
"""Bytes of a picture."""
COLOURS = ("#1f6f8b", "#e07a3f", "#5d9c59", "#b5485d", "#7b6ba8", "#8a7f5c", "#4a4e57")
"""One for each curve: told apart in grey and by the colour-blind."""
SUBTASKS = (*COLOURS[:6], "#d9a441", "#3fa79b", "#c77fb3", COLOURS[6])
"""One for each sub-task, in the task's order; then for others that its data know."""
NOTHING = "#e4e6ea"
"""Where nothing is going on."""
TIME = "viridis"
"""Colour map of training time."""
REAL, IMAGINED, FLAT = "#30343b", "#e07a3f", "#1f6f8b"
"""What happened, what the model says, what the model it is compared with says."""

_STYLE: dict[str, Any] = {
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#60656e",
    "axes.labelcolor": "#30343b",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "grid.color": "#e4e6ea",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.color": "#60656e",
    "ytick.color": "#60656e",
    "savefig.facecolor": "white",
}


def subtask_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each sub-task, the same in every picture and video where the names come in the same order."""
    return dict(zip(dict.fromkeys(names), itertools.cycle(SUBTASKS), strict=False))


@contextmanager
def figure(width: float, height: float, rows: int = 1, columns: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of ``width`` x ``height`` inches in the common look, with its axes row by row.

    It never touches the screen nor matplotlib's global state, and is freed at the end.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    context: Any = matplotlib.rc_context
    with context(_STYLE):
        made = Figure(figsize=(width, height))
        FigureCanvasAgg(made)
        axes = [made.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]
        yield made, axes
        made.clear()


def save(made: Figure, path: Path) -> Path:
    """Write a PNG of at most ``LARGEST`` bytes: true colour if that fits, else fewer colours, else fewer pixels."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    data = b""
    for dpi, colours in ((DPI, None), (DPI, 256), (DPI, 64), (80, 256), (50, 128)):
        buffer = io.BytesIO()
        made.savefig(buffer, format="png", dpi=dpi)
        if colours is not None:
            image = Image.open(buffer).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
            buffer = io.BytesIO()
            image.save(buffer, format="png", optimize=True)
        data = buffer.getvalue()
        if len(data) <= LARGEST:
            break
    draft = path.with_name(path.name + ".tmp")
    draft.write_bytes(data)
    draft.replace(path)
    return path


def steps_axis(axes: Axes, label: str = "environment steps") -> None:
    """Steps along x, written as 250k and 1.5M."""
    from matplotlib.ticker import FuncFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_xlabel(label)


def short(value: float) -> str:
    """``1500000`` as ``1.5M``, ``25000`` as ``25k``."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def bare(axes: Axes) -> None:
    """Axes of a map: no grid, no frame, no ticks."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("")
    axes.set_ylabel("")
    for spine in axes.spines.values():
        spine.set_visible(False)
