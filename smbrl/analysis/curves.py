"""Learning curves, from the records of one or many runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smbrl.analysis.style import COLOURS, REAL, figure, save, steps_axis
from smbrl.tracking.record import Columns
from smbrl.training.intervals import wilson

Floats = NDArray[np.float64]

CROWDED = 5
"""Methods in a picture beyond which the legend goes beside it."""
LINES = ("-", "-.", ":")
"""Of the first round of colours, the second, the third."""


def ema(values: Sequence[float] | Floats, weight: float, anchor: int = 10) -> Floats:
    """Exponential moving average, s_t = w s_(t-1) + (1 - w) x_t.

    With weight 0.99 and anchor 10 this is how the paper's curves were smoothed. Such an anchor looks ahead: a short
    curve that ends high also begins high. Without one, s_t is the weighted mean of what came before and nothing else.

    Args:
        values: ``(n,)``, logged at even intervals.
        weight: of the past, in [0, 1).
        anchor: the mean of how many first values is s_(-1); 0: divide by the sum of the weights instead.
    """
    values = np.asarray(values, np.float64)
    smooth = np.empty_like(values)
    state = values[:anchor].mean() if anchor and len(values) else 0.0
    for index, value in enumerate(values):
        state = weight * state + (1.0 - weight) * value
        smooth[index] = state if anchor else state / (1.0 - weight ** (index + 1))
    return smooth


def pooled(curves: Sequence[tuple[Floats, Floats]], bins: int = 100) -> tuple[Floats, Floats, Floats]:
    """Points of several seeds, thrown together and cut into bins of equal width, as in the paper's plots.

    Args:
        curves: (steps, values) of each seed.
        bins: how many at most; never more than a seed has points, or a bin would hold some seeds and the next the
            others.

    Returns:
        Middle, mean and standard deviation of every bin that has a point. The deviation mixes seeds and time.
    """
    steps = np.concatenate([np.asarray(s, np.float64) for s, _ in curves])
    values = np.concatenate([np.asarray(v, np.float64) for _, v in curves])
    if not len(steps):
        return np.empty(0), np.empty(0), np.empty(0)
    bins = min(bins, max(len(s) for s, _ in curves))
    edges = np.linspace(steps.min(), steps.max(), bins + 1)
    place = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, bins - 1)
    full = np.unique(place)
    mean = np.array([values[place == b].mean() for b in full])
    deviation = np.array([values[place == b].std() for b in full])
    return (edges[full] + edges[full + 1]) / 2, mean, deviation


def learning_curve(columns: Columns, path: Path, *, title: str = "", weight: float = 0.8) -> Path | None:
    """One run: success (or, for tasks that never report one, return) in training and evaluation episodes.

    Args:
        columns: the run's record.
        path: PNG to write.
        title: of the picture.
        weight: smoothing of the training curve (see ``ema``); stated in the picture.

    Returns:
        The path; None where the run has neither training nor evaluation episodes yet.
    """
    names = _what_to_show(columns)
    if not names:
        return None
    with figure(5.6 if len(names) == 1 else 4.6 * len(names), 4.0, 1, len(names)) as (made, panels):
        for axes, name in zip(panels, names, strict=True):
            _training(axes, columns, name, weight)
            _evaluations(axes, columns, name)
            if f"final/{name}" in columns:
                count, last = columns.last("final/episodes"), columns.last(f"final/{name}")
                label = f"final evaluation, {count:.0f} episodes: {last:.3g}"
                axes.plot(
                    columns.steps(f"final/{name}")[-1],
                    last,
                    "*",
                    color=COLOURS[3],
                    markersize=10,
                    zorder=5,
                    label=label,
                )
            steps_axis(axes)
            axes.set_ylabel(name)
            axes.set_xlim(left=0)
            if name == "success":
                axes.set_ylim(-0.03, 1.03)
        panels[0].set_title(title or "Learning curve")
        handles, labels = panels[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower left", ncols=1 if len(names) == 1 else len(labels))
        return save(made, path)


def _what_to_show(columns: Columns) -> list[str]:
    has = [n for n in ("success", "return") if f"train/{n}" in columns or f"eval/{n}" in columns]
    success = np.concatenate([columns.values("train/success"), columns.values("eval/success")])
    if "success" in has and "return" in has:
        returns = np.concatenate([columns.values("train/return"), columns.values("eval/return")])
        top = np.abs(returns).max(initial=0.0)
        if len(returns) == len(success) and np.allclose(returns, top * success):
            return ["success"]  # a reward for success and nothing else: two panels would show the same
        return has if success.any() else ["return"]
    return has


def _training(axes: object, columns: Columns, name: str, weight: float) -> None:
    steps, values = columns.steps(f"train/{name}"), columns.values(f"train/{name}")
    if not len(steps):
        return
    axes.plot(steps, values, ".", color=COLOURS[0], alpha=0.35, markersize=4)  # type: ignore[attr-defined]
    label = f"training episodes (moving average over log lines, weight {weight:g})"
    axes.plot(steps, ema(values, weight, 0), color=COLOURS[0], label=label)  # type: ignore[attr-defined]


def _evaluations(axes: object, columns: Columns, name: str) -> None:
    steps, values = columns.steps(f"eval/{name}"), columns.values(f"eval/{name}")
    if not len(steps):
        return
    episodes = columns.values("eval/episodes")
    label, errors = "evaluation", None
    if name == "success" and len(episodes) == len(steps):
        bounds = np.array([wilson(round(v * n), int(n)) for v, n in zip(values, episodes, strict=True)])
        errors = np.clip(np.abs(bounds.T - values), 0.0, None)
        label = "evaluation, 95 % interval"
    axes.errorbar(  # type: ignore[attr-defined]
        steps, values, errors, fmt="o-", markersize=3.5, linewidth=1.0, capsize=2, color=COLOURS[1], label=label
    )


def pretraining_curves(columns: Columns, path: Path, *, most: int = 6) -> Path | None:
    """Small multiples of the pre-training losses, held-out values as dots.

    Args:
        columns: the run's record.
        path: PNG to write.
        most: panels; the metrics an agent returns first are shown, those with held-out values before the others.

    Returns:
        The path; None where the run did not pre-train.
    """
    names = [name.partition("/")[2] for name in columns.names if name.startswith("pretrain/")]
    names.sort(key=lambda name: f"validation/{name}" not in columns)
    names = names[:most]
    if not names:
        return None
    across = min(3, len(names))
    rows = -(-len(names) // across)
    with figure(3.1 * across, 2.3 * rows + 0.4, rows, across) as (made, panels):
        for axes, name in zip(panels, names, strict=False):
            steps, values = columns.steps(f"pretrain/{name}"), columns.values(f"pretrain/{name}")
            axes.plot(steps, values, color=COLOURS[0], linewidth=1.2, label="training")
            held, dots = columns.steps(f"validation/{name}"), columns.values(f"validation/{name}")
            if len(held):
                axes.plot(held, dots, "o", color=COLOURS[1], markersize=3, label="held out")
            everything = np.concatenate([values, dots])
            positive = everything[np.isfinite(everything)]
            if len(positive) and positive.min() > 0 and positive.max() > 20 * positive.min():
                axes.set_yscale("log")
            axes.set_title(name, fontsize=9)
            steps_axis(axes, "updates")
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        panels[0].legend(loc="upper right")
        return save(made, path)


def _shown(label: str, most: int = 60) -> str:
    """A label that fits into a legend."""
    return label if len(label) <= most else label[: most - 4] + " ..."


def compare(
    runs: Mapping[str, Sequence[Columns]],
    path: Path,
    *,
    metric: str = "train/success",
    weight: float = 0.0,
    bins: int = 100,
    title: str = "",
    reference: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
) -> Path | None:
    """Many runs in one picture: a line per label (method), mean and band over its seeds as in the paper.

    Args:
        runs: records of the seeds of each label.
        path: PNG to write.
        metric: what is drawn.
        weight: smoothing of every seed before pooling; 0.99 is the paper's, for points every 500 steps.
        bins: see ``pooled``.
        title: of the picture.
        reference: published (steps, values) by label, drawn dashed, thin, in the label's colour.

    Returns:
        The path; None where no run has the metric.
    """
    drawn = {label: [c for c in group if metric in c] for label, group in runs.items()}
    if not any(drawn.values()):
        return None
    crowded = len(drawn) > CROWDED
    with figure(8.6 if crowded else 6.4, 4.0) as (made, (axes,)):
        for number, (label, group) in enumerate(drawn.items()):
            colour, line = COLOURS[number % len(COLOURS)], LINES[number // len(COLOURS) % len(LINES)]
            if group:
                curves = [(c.steps(metric).astype(np.float64), ema(c.values(metric), weight)) for c in group]
                steps, mean, deviation = pooled(curves, bins)
                seeds = f"{_shown(label)} ({len(group)} run{'s' if len(group) > 1 else ''})"
                axes.plot(steps, mean, line, color=colour, label=seeds)
                axes.fill_between(steps, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
            if reference and label in reference:
                axes.plot(*reference[label], "--", color=colour, linewidth=1.0)
        if reference:
            axes.plot([], [], "--", color=REAL, linewidth=1.0, label="published")
        steps_axis(axes)
        axes.set_ylabel(metric)
        axes.set_xlim(left=0)
        smoothing = f"moving average of weight {weight:g}, " if weight else ""
        axes.set_title(title or f"{metric}: {smoothing}mean and deviation in {bins} bins")
        if crowded:
            made.legend(loc="outside right upper")
        else:
            axes.legend(loc="best")
        return save(made, path)
