"""Long-horizon prediction on held-out trajectories: the paper's Figure 10, with numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smbrl.analysis.imagines import Infers
from smbrl.analysis.style import COLOURS, FLAT, IMAGINED, REAL, bare, figure, save
from smbrl.data.episodes import EpisodeStore
from smbrl.errors import SmbrlError
from smbrl.interfaces import Task, TaskSpec

MARKS = (100, 250, 500)
"""Env steps at which errors are reported."""


@dataclass(frozen=True)
class Trajectories:
    """Stretches of held-out behaviour, all of T env steps.

    Attributes:
        obs: ``(B, T + 1, O)``.
        actions: ``(B, T, A)``.
    """

    obs: Tensor
    actions: Tensor

    @property
    def steps(self) -> int:
        """T."""
        return self.actions.shape[1]


def held_out(store: EpisodeStore, count: int, steps: int, generator: torch.Generator) -> Trajectories:
    """``count`` stretches from random episodes that are at least ``steps`` long: one from each, then (where there are
    fewer episodes) a second from each at another random place, and so on.

    Raises:
        SmbrlError: no episode is long enough.
    """
    long = (store.lengths >= steps).nonzero().squeeze(-1)
    if not len(long):
        raise SmbrlError(
            f"no held-out trajectory has {steps} steps (the longest has {int(store.lengths.max())}): ask for fewer"
        )
    order = torch.randperm(len(long), generator=generator, device=generator.device).to(store.lengths.device)
    chosen = long[order].repeat(-(-count // len(long)))[:count]
    room = store.lengths[chosen] - steps
    share = torch.rand(len(chosen), generator=generator, device=generator.device).to(store.lengths.device)
    offset = (share * (room + 1)).long().clamp(max=room)
    found = store.window(store.starts[chosen] + offset, store.lengths[chosen] - offset, 1, steps)
    return Trajectories(found.obs, found.actions)


@dataclass(frozen=True)
class Prediction:
    """What a model foresaw.

    Attributes:
        name: of the model.
        steps: env steps from the start, ``(K,)``, increasing, the first is 0.
        obs: predicted raw observations ``(B, K, O)``.
        error: distance of the predicted from the true position ``(B, K)``, in the task's units (tasks without
            positions: distance of normalised observations). It counts as ``limit`` where it is larger, or where the
            model has run off to infinity: one such trajectory would else be all that a mean shows.
        limit: diagonal of the box that the true trajectories fill.
        lost: where the error was larger than ``limit`` ``(B, K)``.
    """

    name: str
    steps: NDArray[np.int64]
    obs: NDArray[np.float32]
    error: NDArray[np.float64]
    limit: float
    lost: NDArray[np.bool_]

    def at(self, step: int) -> NDArray[np.float64]:
        """Errors ``(B,)`` at the last prediction not later than ``step``."""
        return np.asarray(self.error[:, self._place(step)])

    def _place(self, step: int) -> int:
        return int(np.searchsorted(self.steps, step, side="right")) - 1

    def table(self, marks: Sequence[int] = MARKS) -> dict[int, dict[str, float]]:
        """Mean, standard deviation and median of the error, and the share of trajectories lost, at each mark within
        reach and at the end."""
        end = int(self.steps[-1])
        reach = [*(mark for mark in marks if mark < end), end]
        return {
            m: {
                "mean": float(self.at(m).mean()),
                "std": float(self.at(m).std()),
                "median": float(np.median(self.at(m))),
                "lost": float(self.lost[:, self._place(m)].mean()),
            }
            for m in reach
        }


@torch.no_grad()
def predict(name: str, model: Infers, spec: TaskSpec, truth: Trajectories) -> Prediction:
    """Roll a model over whole trajectories from their first observation alone, open loop.

    A skill model gets the skills that its own posterior infers from each stretch of ``horizon`` true steps, as in the
    paper; a flat model gets the true actions.
    """
    h = model.horizon
    decisions = truth.steps // h
    obs = truth.obs[:, : decisions * h].reshape(len(truth.obs), decisions, h, -1)
    actions = truth.actions[:, : decisions * h].reshape(len(truth.obs), decisions, h, -1)
    state = model.encode(truth.obs[:, 0])
    seen = [model.decode(state).float()]
    for index in range(decisions):
        state = model.imagine(state, model.infer(obs[:, index], actions[:, index]))
        seen.append(model.decode(state).float())
    guess = torch.stack(seen, 1)
    real = truth.obs[:, : decisions * h + 1 : h]
    if spec.position:
        guessed, true = (x[..., list(spec.position)].double() for x in (guess, real))
    else:
        guessed, true = (x.double() * torch.tensor(spec.scale, device=x.device) for x in (guess, real))
    limit = float((true.flatten(0, 1).amax(0) - true.flatten(0, 1).amin(0)).norm())
    error = (guessed - true).norm(dim=-1).nan_to_num(nan=torch.inf)
    steps = np.arange(decisions + 1, dtype=np.int64) * h
    clipped, lost = error.clamp(max=limit).cpu().numpy(), (error > limit).cpu().numpy()
    return Prediction(name, steps, guess.cpu().numpy(), clipped, limit, lost)


def error_curves(predictions: Sequence[Prediction], path: Path, *, unit: str = "m", title: str = "") -> Path:
    """Mean error over env steps, band of one standard deviation over trajectories, medians dashed."""
    with figure(6.2, 3.8) as (made, (axes,)):
        for prediction, colour in zip(predictions, (IMAGINED, FLAT, *COLOURS[2:]), strict=False):
            mean, spread = prediction.error.mean(0), prediction.error.std(0)
            axes.plot(prediction.steps, mean, color=colour, label=f"{prediction.name}: mean")
            low = np.maximum(mean - spread, 0.0)
            axes.fill_between(prediction.steps, low, mean + spread, color=colour, alpha=0.15, linewidth=0)
            median = np.median(prediction.error, 0)
            axes.plot(prediction.steps, median, "--", color=colour, linewidth=1.1, label=f"{prediction.name}: median")
        axes.set_xlabel("environment steps predicted, open loop")
        axes.set_ylabel(f"position error ({unit})" if unit else "error (normalised observation)")
        axes.set_xlim(0, max(int(p.steps[-1]) for p in predictions))
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")
        count = len(predictions[0].error)
        lost = [p for p in predictions if p.lost.any()]
        if lost:
            shares = ", ".join(f"{p.name} {100 * p.lost[:, -1].mean():.0f} %" for p in lost)
            note = f"errors count as at most {predictions[0].limit:.0f}; larger at the end: {shares}"
            axes.text(0.99, 0.02, note, transform=axes.transAxes, ha="right", fontsize=7.5, color="#60656e")
        axes.set_title(title or f"Prediction error over {count} held-out trajectories (band: 1 std)")
        return save(made, path)


def trajectory_pictures(
    task: Task, truth: Trajectories, predictions: Sequence[Prediction], path: Path, *, count: int = 4
) -> Path | None:
    """Truth and predictions over the scene: a row per model, a column per trajectory.

    The trajectories are those with the first model's errors at even quantiles (best to worst), so that nothing is
    picked by eye.
    """
    place = list(task.spec.position[:2])
    if len(place) < 2:
        return None
    count = min(count, len(truth.obs))
    order = np.argsort(predictions[0].error.mean(1))
    ranks = np.linspace(0, len(order) - 1, count).round().astype(int)
    real = truth.obs.cpu().numpy()
    with figure(2.5 * count, 2.75 * len(predictions) + 0.45, len(predictions), count) as (made, axes):
        for number, axis in enumerate(axes):
            row, column = divmod(number, count)
            prediction, which = predictions[row], order[ranks[column]]
            task.draw(axis)
            bare(axis)
            true = real[which][: prediction.steps[-1] + 1, :][:, place]
            colour = (IMAGINED, FLAT, *COLOURS[2:])[row]
            far = 10 * prediction.limit
            guess = np.clip(prediction.obs[which][:, place], -far, far)
            axis.plot(*true.T, color=REAL, linewidth=1.6, zorder=5, label="ground truth")
            axis.plot(*guess.T, color=colour, linewidth=1.4, zorder=6, label=prediction.name)
            axis.plot(*true[0], "o", color="white", markeredgecolor=REAL, markersize=5, zorder=7, label="start")
            error = f"mean error {prediction.error[which].mean():.2f}, at the end {prediction.error[which][-1]:.2f}"
            axis.set_title(error, fontsize=8, fontweight="normal")
        handles = [handle for row in range(len(predictions)) for handle in axes[row * count].get_lines()]
        named = {str(handle.get_label()): handle for handle in handles}
        made.suptitle(
            f"{predictions[0].steps[-1]} steps, open loop; of {len(order)} trajectories those at even ranks of the "
            f"error of {predictions[0].name}",
            fontsize=9.5,
            fontweight="bold",
            x=0.01,
            ha="left",
        )
        made.legend(named.values(), named.keys(), loc="outside lower left", ncols=len(named), fontsize=8.5)
        return save(made, path)


def as_json(predictions: Sequence[Prediction], about: Mapping[str, object] | None = None) -> dict[str, object]:
    """Tables of all models as plain JSON values."""
    models = {
        p.name: {"trajectories": len(p.error), "error": {str(k): v for k, v in p.table().items()}} for p in predictions
    }
    return {**(about or {}), "models": models}
