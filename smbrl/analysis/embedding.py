"""What skills mean: those of held-out behaviour, projected to the plane, coloured by what was going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smbrl.analysis.style import NOTHING, REAL, TIME, bare, figure, save, subtask_colours
from smbrl.data.episodes import EpisodeStore
from smbrl.errors import SmbrlError
from smbrl.interfaces import TanhNormal, Task
from smbrl.policy.views import Skills

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Floats = NDArray[np.float32]
AFTER = "none after"
"""What windows behind the last completion of their episode are called."""
REGION = 0.95
GREY = "#60656e"
PRIOR = "#a4abb6"


@dataclass(frozen=True)
class Meaning:
    """What was going on in each window.

    Attributes:
        how: ``sub-task`` (the next that is completed), ``direction`` (of the displacement) or ``time``.
        values: index into ``names`` ``(B,)``; radians, NaN where nothing moved; share of the episode.
        names: of sub-tasks, ``AFTER`` last; empty otherwise.
        colours: one for each name.
    """

    how: str
    values: NDArray[np.float64]
    names: Sequence[str] = ()
    colours: Sequence[str] = ()

    def counts(self) -> dict[str, int]:
        """Windows by name, where there are names."""
        return {name: int((self.values == number).sum()) for number, name in enumerate(self.names)}


@dataclass(frozen=True)
class Embedding:
    """Skills of B windows and their principal components.

    Attributes:
        skills: the posterior's modes ``(B, Z)``.
        prior: a sample of the prior in the first state of each window ``(B, Z)``; None: the method has none.
        points: the skills' principal components ``(B, Z)``, those with the largest variance first.
        prior_points: the prior's samples along the same components.
        explained: share of the skills' variance along each ``(Z,)``.
        covered: share of samples of the posterior inside the prior's 95 % region for their state; 0.95 where the prior
            is exact, less where it misses some of what the data do, more where it is wider.
        kl: mean KL(posterior || prior), nats; like ``covered`` None where there is no prior.
        meaning: of the windows.
    """

    skills: Floats
    prior: Floats | None
    points: Floats
    prior_points: Floats | None
    explained: Floats
    covered: float | None
    kl: float | None
    meaning: Meaning

    def as_json(self) -> dict[str, object]:
        """The numbers as plain values."""
        return {
            "windows": len(self.skills),
            "explained": [round(float(share), 4) for share in self.explained],
            "prior_covers": self.covered,
            "kl": self.kl,
            "coloured_by": self.meaning.how,
            "kinds": self.meaning.counts(),
        }


@torch.no_grad()
def embed(task: Task, skills: Skills, episodes: EpisodeStore, count: int, generator: torch.Generator) -> Embedding:
    """Infer the skills of random windows, and look at them beside the prior's.

    Args:
        task: says what was going on.
        skills: of the agent.
        episodes: held-out data.
        count: windows B of one skill each.
        generator: draws windows and samples.

    Raises:
        SmbrlError: no episode is as long as a skill.
    """
    episode, step = episodes.draw(count, skills.horizon, generator)
    first, left = episodes.starts[episode] + step, episodes.lengths[episode] - step
    windows = episodes.window(first, left, 1, skills.horizon)
    posterior = skills.posterior(windows.obs[:, :-1], windows.actions)
    try:
        prior = skills.prior(windows.obs[:, 0])
    except SmbrlError:  # the method has none
        prior = None
    modes = posterior.mode.float()
    middle = modes.mean(0)
    _, spread, axes = torch.linalg.svd(modes - middle, full_matrices=False)
    drawn = None if prior is None else prior.rsample(generator).float()
    return Embedding(
        modes.cpu().numpy(),
        None if drawn is None else drawn.cpu().numpy(),
        ((modes - middle) @ axes.T).cpu().numpy(),
        None if drawn is None else ((drawn - middle) @ axes.T).cpu().numpy(),
        (spread.square() / spread.square().sum().clamp(min=1e-12)).cpu().numpy(),
        None if prior is None else covered(posterior, prior, generator),
        None if prior is None else float(posterior.kl(prior).mean()),
        meaning(task, episodes, episode, step, windows.obs),
    )


def covered(posterior: TanhNormal, prior: TanhNormal, generator: torch.Generator) -> float:
    """Share of posterior samples inside the ellipsoid of the prior that has 95 % of its probability."""
    noise = torch.randn(posterior.mean.shape, generator=generator, device=generator.device).to(posterior.mean.device)
    raw = posterior.mean.float() + posterior.std.float() * noise
    distance = ((raw - prior.mean.float()) / prior.std.float()).square().sum(-1)
    size = raw.shape[-1]
    # quantile of chi-squared (Wilson and Hilferty 1931)
    edge = size * (1 - 2 / (9 * size) + 1.6448536 * (2 / (9 * size)) ** 0.5) ** 3
    return float((distance <= edge).float().mean())


def meaning(task: Task, episodes: EpisodeStore, episode: Tensor, step: Tensor, obs: Tensor) -> Meaning:
    """What was going on in windows ``obs (B, H + 1, O)`` that begin at a ``step (B,)`` of an ``episode (B,)``."""
    which, when = episode.cpu().numpy(), step.cpu().numpy()
    events = {}
    for number in np.unique(which):
        start, length = int(episodes.starts[number]), int(episodes.lengths[number])
        events[number] = task.completions(episodes.obs[start : start + length + 1].cpu().numpy())
    known = {name for found in events.values() for name, _ in found}
    if known:
        names = [*(name for name in task.subtasks if name in known), *sorted(known - set(task.subtasks))]
        ahead = [
            next((names.index(name) for name, at in events[number] if at > begin), len(names))
            for number, begin in zip(which, when, strict=True)
        ]
        colours = subtask_colours((*task.subtasks, *names))
        return Meaning(
            "sub-task", np.array(ahead, np.float64), (*names, AFTER), (*(colours[name] for name in names), REAL)
        )
    place = list(task.spec.position[:2])
    if len(place) == 2:
        moved = (obs[:, -1, place] - obs[:, 0, place]).double().cpu().numpy()
        still = np.linalg.norm(moved, axis=1) < 1e-6
        return Meaning("direction", np.where(still, np.nan, np.arctan2(moved[:, 1], moved[:, 0])))
    return Meaning("time", when / np.maximum(episodes.lengths.cpu().numpy()[which], 1))


def picture(found: Embedding, path: Path, *, title: str = "") -> Path:
    """The two largest components, the prior's samples below the skills; how wide both are along every component."""
    with figure(8.2, 4.7, 0, 0) as (made, _):
        grid = made.add_gridspec(2, 2, width_ratios=(2.5, 1.0), height_ratios=(1.25, 1.0))
        axes = made.add_subplot(grid[:, 0])
        _scatter(axes, found)
        _legend(made.add_subplot(grid[0, 1], projection="polar" if found.meaning.how == "direction" else None), found)
        _spreads(made.add_subplot(grid[1, 1]), found)
        by = {
            "sub-task": "the sub-task that is completed next",
            "direction": "where they lead",
            "time": "time in the episode",
        }[found.meaning.how]
        made.suptitle(
            title or f"Skills of {len(found.skills):,} held-out windows, by {by}",
            fontsize=10,
            fontweight="bold",
            x=0.01,
            ha="left",
        )
        return save(made, path)


def _scatter(axes: Axes, found: Embedding) -> None:
    x, y = found.points[:, :2].T if found.points.shape[1] > 1 else (found.points[:, 0], np.zeros(len(found.points)))
    if found.prior_points is not None:
        shown = found.prior_points if found.prior_points.shape[1] > 1 else np.repeat(found.prior_points, 2, 1) * (1, 0)
        axes.scatter(shown[:, 0], shown[:, 1], s=9, color=PRIOR, alpha=0.45, linewidths=0, zorder=2, rasterized=True)
    what = found.meaning
    style: dict[str, Any] = {
        "s": 13,
        "alpha": 0.85,
        "linewidths": 0.25,
        "edgecolors": "white",
        "zorder": 3,
        "rasterized": True,
    }
    if what.how == "sub-task":
        colours = np.array(what.colours)[what.values.astype(int)]
        axes.scatter(x, y, c=colours, **style)
    elif what.how == "direction":
        still = np.isnan(what.values)
        axes.scatter(x[still], y[still], color=REAL, **style)
        axes.scatter(x[~still], y[~still], c=what.values[~still], cmap=_wheel(), vmin=-np.pi, vmax=np.pi, **style)
    else:
        axes.scatter(x, y, c=what.values, cmap=TIME, vmin=0, vmax=1, **style)
    axes.set_xlabel(f"component 1 ({100 * found.explained[0]:.0f} % of the variance)")
    if len(found.explained) > 1:
        axes.set_ylabel(f"component 2 ({100 * found.explained[1]:.0f} %)")
    if found.covered is not None:
        axes.set_title(
            f"grey: the prior in the same states; its {100 * REGION:.0f} % region holds {100 * found.covered:.0f} % "
            "of the skills",
            fontsize=8.5,
            fontweight="normal",
            color=GREY,
        )


def _wheel() -> Colormap:
    """Colours of directions: a circle without an end, of even lightness."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "wheel", ["#c2508b", "#7a63b8", "#1f7fa3", "#3fa79b", "#79a83f", "#d9a441", "#dd6b45", "#c2508b"]
    )


def _legend(axes: Axes, found: Embedding) -> None:
    what = found.meaning
    if what.how == "direction":
        edges = np.linspace(-np.pi, np.pi, 73)
        middles = (edges[1:] + edges[:-1]) / 2
        colours = _wheel()((middles + np.pi) / (2 * np.pi))
        axes.bar(middles, 0.45, width=2 * np.pi / 72 * 1.15, bottom=0.55, color=colours, linewidth=0)
        axes.set_ylim(0, 1.05)
        axes.grid(False)
        axes.set_yticks([])
        axes.set_xticks(np.array([0, 0.5, 1, 1.5]) * np.pi, ["right", "up", "left", "down"], fontsize=8)
        axes.tick_params(pad=0)
        axes.spines["polar"].set_visible(False)
        axes.text(0, 0, "leads", ha="center", va="center", fontsize=8, color=REAL)
        return
    bare(axes)
    axes.set_xlim(0, 1)
    if what.how == "time":
        axes.imshow(np.linspace(0, 1, 64)[None], aspect="auto", cmap=TIME, extent=(0.0, 1.0, 0.45, 0.6))
        axes.set_ylim(0, 1)
        axes.text(0, 0.4, "start", va="top", fontsize=8, color=REAL)
        axes.text(1, 0.4, "end", va="top", ha="right", fontsize=8, color=REAL)
        return
    rows = [(n, c, k) for (n, k), c in zip(what.counts().items(), what.colours, strict=True) if k]
    axes.set_ylim(max(len(rows), 6) - 0.3, -0.9)
    for row, (name, colour, count) in enumerate(rows):
        axes.scatter([0.03], [row], s=36, color=colour, linewidths=0, clip_on=False)
        axes.text(0.1, row, name, va="center", fontsize=8, color=REAL)
        axes.text(1.0, row, f"{count}", va="center", ha="right", fontsize=8, color=GREY)


def _spreads(axes: Axes, found: Embedding) -> None:
    from matplotlib.ticker import MaxNLocator

    place = np.arange(1, found.points.shape[1] + 1)
    axes.bar(
        place, found.points.std(0), 0.7, color=NOTHING if found.prior_points is None else "#8fb7c5", label="skills"
    )
    if found.prior_points is not None:
        axes.plot(place, found.prior_points.std(0), "o-", color=GREY, markersize=3, linewidth=1.0, label="prior")
    axes.set_title("spread (1 std)", fontsize=8.5, fontweight="normal", color=GREY)
    axes.set_xlabel("component")
    axes.set_ylim(bottom=0)
    axes.grid(False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(fontsize=7.5, loc="upper right", handlelength=1.4)
