"""What the agent thinks of every place: value, and where its policy's next decision leads."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from smbrl.analysis.imagines import IMAGINES, JUDGES, Imagines, Judges, can
from smbrl.analysis.style import bare, figure, save
from smbrl.interfaces import Task


@torch.no_grad()
def value_map(
    task: Task,
    agent: object,
    path: Path,
    *,
    template: NDArray[np.float32] | None = None,
    visited: NDArray[np.float32] | None = None,
    cells: int = 120,
    arrows: int = 32,
    device: torch.device | str = "cpu",
    title: str = "",
) -> Path | None:
    """Value over a grid of positions; arrows from each place to where the model says the policy's decision ends.

    Args:
        task: draws the scene, which hides what lies behind walls.
        agent: see ``Judges``; arrows need ``Imagines`` too.
        path: PNG to write.
        template: the other elements of the observations ``(O,)``; zeros by default (a point mass at rest).
        visited: observations ``(n, O)``; places farther than a cell from all of them are left white, because
            the networks have never seen anything like it. None shows all.
        cells: of the grid, a side.
        arrows: a side.
        device: of the agent.
        title: of the picture.

    Returns:
        The path; None where the task has no position in the plane or the agent no value.
    """
    place = task.spec.position
    if len(place) < 2 or not can(agent, *JUDGES):
        return None
    judge = cast(Judges, agent)
    base = np.zeros(task.spec.observation, np.float32) if template is None else template
    with figure(5.6, 4.9) as (made, (axes,)):
        task.draw(axes)
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        x, y = _middles(left, right, cells), _middles(bottom, top, cells)
        obs = _observations(base, place, x, y, device)
        value = judge.state_value(obs).float().cpu().numpy().reshape(cells, cells)
        value = np.where(_seen(visited, place, x, y, (right - left) / cells), value, np.nan)
        mesh = axes.imshow(
            value, extent=(left, right, bottom, top), origin="lower", cmap="magma", zorder=1, interpolation="bilinear"
        )
        if can(agent, *IMAGINES):
            _arrows(axes, cast(Imagines, agent), judge, base, place, arrows, device, visited)
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        bare(axes)
        axes.set_title(title or "Value at rest, and where the policy's next decision leads")
        bar = made.colorbar(mesh, ax=axes, shrink=0.85, pad=0.02)
        bar.ax.spines["outline"].set_visible(False)
        bar.set_label("value")
        return save(made, path)


def _middles(low: float, high: float, count: int) -> NDArray[np.float64]:
    edges = np.linspace(low, high, count + 1)
    return np.asarray((edges[1:] + edges[:-1]) / 2)


def _observations(
    base: NDArray[np.float32],
    place: tuple[int, ...],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    device: torch.device | str,
) -> torch.Tensor:
    """The template at every grid point, rows of constant y: ``(len(y) * len(x), O)``."""
    obs = np.tile(base.astype(np.float32), (len(y) * len(x), 1))
    obs[:, place[0]] = np.tile(x, len(y))
    obs[:, place[1]] = np.repeat(y, len(x))
    return torch.from_numpy(obs).to(device)


def _seen(
    visited: NDArray[np.float32] | None,
    place: tuple[int, ...],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    width: float,
) -> NDArray[np.bool_]:
    """Whether anything was visited within a unit of length of each grid point ``(len(y), len(x))``."""
    if visited is None or not len(visited):
        return np.ones((len(y), len(x)), bool)
    count, _, _ = np.histogram2d(
        visited[:, place[1]],
        visited[:, place[0]],
        bins=(_edges(y), _edges(x)),
    )
    seen = np.asarray(count > 0)
    reach = max(1, round(1.0 / width))
    grown = seen.copy()
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            grown |= np.roll(seen, (down, right), (0, 1))
    return grown


def _edges(middles: NDArray[np.float64]) -> NDArray[np.float64]:
    half = (middles[1] - middles[0]) / 2
    return np.append(middles - half, middles[-1] + half)


def _arrows(
    axes: object,
    model: Imagines,
    judge: Judges,
    base: NDArray[np.float32],
    place: tuple[int, ...],
    count: int,
    device: torch.device | str,
    visited: NDArray[np.float32] | None,
) -> None:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()  # type: ignore[attr-defined]
    x, y = _middles(left, right, count), _middles(bottom, top, count)
    obs = _observations(base, place, x, y, device)
    try:
        after = model.decode(model.imagine(model.encode(obs), judge.policy_mode(obs))).float().cpu().numpy()
    except NotImplementedError:  # an agent of this kind can decode, this one has no decoder
        return
    start = obs.cpu().numpy()
    seen = _seen(visited, place, x, y, (right - left) / count).ravel()
    move = (after - start)[seen][:, list(place[:2])]
    at = start[seen][:, list(place[:2])]
    axes.quiver(  # type: ignore[attr-defined]
        at[:, 0],
        at[:, 1],
        move[:, 0],
        move[:, 1],
        angles="xy",
        scale_units="xy",
        scale=0.5 * max(float(np.abs(move).max(initial=1e-6)) / ((right - left) / count), 1e-6),
        width=0.0022,
        color="white",
        alpha=0.85,
        zorder=1.5,
    )
