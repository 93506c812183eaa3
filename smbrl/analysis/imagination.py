"""Imagined against real: the same skills from the same state, by the model and by the world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from smbrl.analysis.imagines import IMAGINES, Imagines, can
from smbrl.analysis.rollout import Trace
from smbrl.analysis.style import IMAGINED, REAL, bare, figure, save
from smbrl.interfaces import Task


@torch.no_grad()
def imagine(model: Imagines, obs: torch.Tensor, decisions: torch.Tensor) -> torch.Tensor:
    """What the model expects to see: ``(B, O), (B, N, Z) -> (B, N + 1, O)``, now and after each decision."""
    state = model.encode(obs)
    seen = [model.decode(state)]
    for decision in decisions.unbind(1):
        state = model.imagine(state, decision)
        seen.append(model.decode(state))
    return torch.stack(seen, 1).float()


def stretches(trace: Trace, count: int, decisions: int) -> list[int]:
    """Up to ``count`` decisions, spread over the episode, after which ``decisions`` whole ones follow."""
    whole = trace.steps // trace.horizon
    last = whole - decisions
    if last < 0:
        return []
    return sorted({round(place) for place in np.linspace(0, last, count)})


def imagination(
    task: Task,
    agent: object,
    traces: Sequence[Trace],
    path: Path,
    *,
    decisions: int = 10,
    panels: int = 6,
    device: torch.device | str = "cpu",
    title: str = "",
) -> Path | None:
    """Panels, each with a stretch of a real episode and the model's open-loop prediction of it.

    Args:
        task: draws the scene.
        agent: see ``Imagines``.
        traces: real episodes.
        path: PNG to write.
        decisions: length of a stretch.
        panels: how many, spread evenly over all traces.
        device: of the agent.
        title: of the picture.

    Returns:
        The path; None where the agent cannot imagine, the task has no position in the plane, or no episode is long
        enough.
    """
    place = list(task.spec.position[:2])
    if len(place) < 2 or not can(agent, *IMAGINES):
        return None
    each = max(1, -(-panels // max(len(traces), 1)))
    chosen = [(trace, start) for trace in traces for start in stretches(trace, each, decisions)][:panels]
    if not chosen:
        return None
    horizon = chosen[0][0].horizon
    starts = np.stack([trace.obs[d * horizon] for trace, d in chosen])
    skills = np.stack([trace.decisions[d : d + decisions] for trace, d in chosen])
    model = cast(Imagines, agent)
    seen = imagine(model, torch.from_numpy(starts).to(device), torch.from_numpy(skills).to(device)).cpu().numpy()
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    with figure(2.9 * columns, 2.9 * rows + 0.6, rows, columns) as (made, axes):
        for number, (axis, (trace, d)) in enumerate(zip(axes, chosen, strict=False)):
            real = trace.obs[d * horizon : (d + decisions) * horizon + 1][:, place]
            guess = seen[number][:, place]
            task.draw(axis)
            bare(axis)
            axis.plot(*real.T, color=REAL, linewidth=1.6, zorder=5, label="real")
            axis.plot(*real[::horizon].T, "o", color=REAL, markersize=2.5, zorder=5)
            axis.plot(*guess.T, "o--", color=IMAGINED, markersize=3, linewidth=1.3, zorder=6, label="imagined")
            axis.plot(*real[0], "s", color="white", markeredgecolor=REAL, markersize=6, zorder=7, label="start")
            error = np.linalg.norm(guess[-1] - real[-1])
            axis.set_title(f"from step {d * horizon}: {error:.2f} off at the end", fontsize=8.5, fontweight="normal")
            window(axis, np.concatenate([real, guess]))
        for axis in axes[len(chosen) :]:
            axis.set_visible(False)
        axes[0].legend(loc="best", fontsize=8)
        what = f"{decisions} decisions of {horizon} steps" if horizon > 1 else f"{decisions} steps"
        made.suptitle(
            title or f"Imagined and real: {what}, open loop", fontsize=10, fontweight="bold", x=0.02, ha="left"
        )
        return save(made, path)


def window(axes: object, points: NDArray[np.floating], least: float = 6.0) -> None:
    """Show a square around points, at least ``least`` wide."""
    low, high = points.min(0), points.max(0)
    half = max(float((high - low).max()) * 0.6, least / 2)
    middle = (low + high) / 2
    axes.set_xlim(middle[0] - half, middle[0] + half)  # type: ignore[attr-defined]
    axes.set_ylim(middle[1] - half, middle[1] + half)  # type: ignore[attr-defined]
