"""The paper's Figure 10 from a run: skill dynamics against a flat model on held-out trajectories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from smbrl.analysis.flat import flat_twin, train_flat
from smbrl.analysis.imagines import INFERS, Infers, can, missing
from smbrl.analysis.prediction import Prediction, as_json, error_curves, held_out, predict, trajectory_pictures
from smbrl.analysis.report import Subject
from smbrl.data import store
from smbrl.data.episodes import EpisodeStore
from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Dynamics, Encoder
from smbrl.nn.heads import GaussianDecoder
from smbrl.tracking.progress import ProgressBars
from smbrl.training import pretrain
from smbrl.training.load import LoadedRun
from smbrl.training.seeding import generator, seed_globals, untouched_globals


def check(steps: int, trajectories: int, flat_updates: int | None, flat_window: int) -> None:
    """Look at a wish before anything long begins.

    Raises:
        SmbrlError: a number makes no sense.
    """
    for name, value, least in (
        ("steps", steps, 1),
        ("trajectories", trajectories, 1),
        ("flat-updates", flat_updates or 0, 0),
        ("flat-window", flat_window, 1),
    ):
        if value < least:
            raise SmbrlError(f"--{name} is {value}; it must be at least {least}")


@dataclass(frozen=True)
class Foresight:
    """What came out: predictions by model, and the files written."""

    predictions: Sequence[Prediction]
    files: Sequence[Path]


def foresee(
    run: LoadedRun,
    bars: ProgressBars,
    *,
    steps: int = 500,
    trajectories: int = 100,
    flat_updates: int | None = None,
    flat_window: int = 10,
) -> Foresight:
    """Predict held-out trajectories with the run's model and with a flat one trained here on the same data.

    The run's model is the one that pre-training left: online learning goes on changing it, and not its decoder.
    The flat model has the same encoder, dynamics network, decoder, losses and optimiser, the same batch size and (by
    default) the same number of updates; its decisions are env actions. Results go to the run's ``plots``.

    Args:
        run: read back; its offline data must be in the store.
        bars: progress.
        steps: env steps to predict.
        trajectories: how many.
        flat_updates: of the flat model; None: as many as the run pre-trained with; 0: leave it out.
        flat_window: env steps in one of its training windows.

    Raises:
        SmbrlError: the agent cannot predict, or the data are not in the store.
    """
    check(steps, trajectories, flat_updates, flat_window)
    agent, task = Subject.of(run).pretrained(), run.task
    if not can(agent, *INFERS):
        raise SmbrlError(f"{type(agent).__name__} cannot be asked for predictions: it lacks {missing(agent, *INFERS)}")
    settings, seed = run.experiment.pretraining, run.experiment.pretraining_seed
    request = task.dataset()
    data = store.find(request, seed=settings.data_seed) if request is not None else None
    if data is None:
        raise SmbrlError(f"the offline data of {type(task).__name__} are not in the store: smbrl data generate")
    device = agent.compute.device
    episodes = EpisodeStore.from_dataset(data, device)
    share = settings.validation_share or 0.01
    training, validation = episodes.split(share, generator(device, seed, pretrain.PHASE, "split"))
    truth = held_out(validation, trajectories, steps, generator(device, seed, "prediction"))
    name = "skill dynamics" if agent.horizon > 1 else "model"
    found = [predict(name, cast(Infers, agent), task.spec, truth)]
    updates = settings.updates if flat_updates is None else flat_updates
    if updates:
        with untouched_globals():
            seed_globals(seed, "flat")
            twin = flat_twin(*_parts(agent)).to(device)
            with bars.phase("flat model", updates, "updates") as bar:
                train_flat(
                    twin,
                    training,
                    updates=updates,
                    batch=settings.batch,
                    steps=flat_window,
                    generator=generator(device, seed, "flat"),
                    progress=bar.callback,
                )
        found.append(predict("flat model", twin, task.spec, truth))
    plots = run.folder.plots
    about = {"run": run.folder.name, "step": run.step, "flat_updates": updates, "flat_window": flat_window}
    numbers = plots / "prediction.json"
    numbers.write_text(json.dumps(as_json(found, about), indent=1) + "\n", encoding="utf-8")
    unit = "task units" if task.spec.position else ""
    files = [numbers, error_curves(found, plots / "prediction_error.png", unit=unit)]
    drawn = trajectory_pictures(task, truth, found, plots / "prediction_paths.png")
    return Foresight(found, [*files, *([drawn] if drawn else [])])


def _parts(agent: Agent) -> tuple[Encoder, Dynamics, GaussianDecoder]:
    """The first encoder, dynamics and decoder of an agent's world model, wherever it keeps them."""
    holders = [getattr(agent, "model", agent), agent]
    kinds = (("encoder", Encoder), ("dynamics", Dynamics), ("decoder", GaussianDecoder))
    parts = []
    for name, kind in kinds:
        part = next((p for p in (getattr(h, name, None) for h in holders) if isinstance(p, kind)), None)
        if part is None:
            raise SmbrlError(
                f"{type(agent).__name__} has no {name} that a flat model could be built like: use --flat-updates 0"
            )
        parts.append(part)
    return cast(tuple[Encoder, Dynamics, GaussianDecoder], tuple(parts))
