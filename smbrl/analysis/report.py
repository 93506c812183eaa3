"""The pictures of a run: every one that the run supports, and none that can stop it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from smbrl.analysis import coverage, curves, embedding, imagination, prediction, subtasks, value_map
from smbrl.analysis.imagines import IMAGINES, INFERS, JUDGES, can
from smbrl.analysis.judging import PolicyOnly
from smbrl.analysis.readout import ReadOut
from smbrl.analysis.rollout import Trace, episode_seed, trace
from smbrl.data import store
from smbrl.data.episodes import EpisodeStore
from smbrl.interfaces import Agent, Task
from smbrl.policy.views import Skills
from smbrl.tracking.record import read
from smbrl.tracking.tracker import Tracker
from smbrl.training import checkpoint, evaluations, online, pretrain
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder
from smbrl.training.load import LoadedRun
from smbrl.training.seeding import derive, generator

logger = logging.getLogger("smbrl.analysis")
TRACES = 3
TRACE_STEPS = 1000
PREDICTED_STEPS = 500
TRAJECTORIES = 100
WINDOWS = 2000


@dataclass
class Subject:
    """What pictures are made of.

    Attributes:
        task, agent: as trained.
        folder: of the run; pictures go to its ``plots``.
        experiment: settings and seeds.
        step: env steps of online learning so far.
        observations: where decisions were made online, oldest first ``(n, O)``; may be empty.
    """

    task: Task
    agent: Agent
    folder: RunFolder
    experiment: Experiment
    step: int
    observations: NDArray[np.float32]

    @classmethod
    def of(cls, run: LoadedRun) -> Subject:
        """A run that was read back."""
        step = run.step if run.phase == online.PHASE else 0
        return cls(run.task, run.agent, run.folder, run.experiment, step, run.replay_observations.cpu().numpy())

    @classmethod
    def finished(cls, experiment: Experiment, folder: RunFolder) -> Subject:
        """A run that has just ended in this process; its last checkpoint knows where the agent has been."""
        size = experiment.task.spec.observation
        seen, step = np.zeros((0, size), np.float32), 0
        last = folder.checkpoints().latest()
        if last is not None and last.phase == online.PHASE:
            rows = last.state["phase"]["replay"]["rows"]
            seen, step = rows[:, size : 2 * size].cpu().numpy(), last.step
        return cls(experiment.task, experiment.agent, folder, experiment, step, seen)

    def traces(self) -> list[Trace]:
        """A few episodes of the deterministic policy (without planning, which takes its time), cut short."""
        agent = PolicyOnly(self.agent) if can(self.agent, *JUDGES) else self.agent
        env = self.task.make()
        seed = derive(self.experiment.seed, "final")
        try:
            return [
                trace(agent, env, seed=episode_seed(seed, number), step=self.step, limit=TRACE_STEPS)
                for number in range(TRACES)
            ]
        finally:
            env.close()

    def seen(self) -> object:
        """The agent; after online learning with a read-out that does not need its outdated decoder."""
        if not self.step or not len(self.observations) or not can(self.agent, *IMAGINES, *JUDGES):
            return self.agent
        return ReadOut(self.agent, torch.from_numpy(self.observations).to(self.agent.compute.device))

    def pretrained(self) -> Agent:
        """The agent as pre-training left it, whose decoder fits its model; itself where that is not stored."""
        path = self.folder.info().get("pretrained")
        if not self.step or not path or not Path(path).is_dir():
            return self.agent
        state, _ = checkpoint.read(Path(path))
        agent = self.experiment.new_agent(self.experiment.pretraining_seed)
        device = agent.compute.device
        agent.load_pretrained({name: value.to(device) for name, value in state["model"].items()})
        return agent

    def held_out(self) -> EpisodeStore | None:
        """The episodes that pre-training only looked at; None where the store lacks the data."""
        settings, seed = self.experiment.pretraining, self.experiment.pretraining_seed
        request = self.task.dataset()
        found = store.find(request, seed=settings.data_seed) if request is not None else None
        if found is None or not settings.validation_share:
            return None
        device = self.agent.compute.device
        episodes = EpisodeStore.from_dataset(found, device)
        if episodes.episodes < 2:
            return None
        return episodes.split(settings.validation_share, generator(device, seed, pretrain.PHASE, "split"))[1]


def report(subject: Subject, tracker: Tracker | None = None) -> list[Path]:
    """Make every picture that the run supports, and hand them to MLflow.

    A picture that fails is one warning; a run is never lost to its pictures.

    Returns:
        The files, in ``plots`` of the run folder.
    """
    made: list[Path] = []
    for name, make in PICTURES.items():
        try:
            made += make(subject, subject.folder.plots)
        except NotImplementedError:
            continue  # the agent has the method, but not in this configuration
        except Exception as error:  # whatever a plugin's drawing raises
            logger.warning(f"no picture of {name}: {type(error).__name__}: {error}")
    if tracker is not None:
        for path in made:
            tracker.artifact(path)
    return made


def finish(experiment: Experiment) -> Callable[[RunFolder, Tracker], None]:
    """What ``smbrl.training.run.execute`` calls at the end of a run: the pictures of its experiment."""

    def draw(folder: RunFolder, tracker: Tracker) -> None:
        try:
            report(Subject.finished(experiment, folder), tracker)
        except Exception as error:  # a finished run is not lost because it cannot be drawn
            logger.warning(f"no pictures: {type(error).__name__}: {error}")

    return draw


def _curve(subject: Subject, plots: Path) -> list[Path]:
    return _one(curves.learning_curve(read(subject.folder.metrics), plots / "curve.png", title=subject.folder.name))


def _losses(subject: Subject, plots: Path) -> list[Path]:
    return _one(curves.pretraining_curves(read(subject.folder.metrics), plots / "pretraining.png"))


def _subtasks(subject: Subject, plots: Path) -> list[Path]:
    done = evaluations.latest_completions(subject.folder.path)
    if done is None:
        return []
    return _one(subtasks.timelines(done, plots / "subtasks.png", limit=subject.task.spec.time_limit))


def _coverage(subject: Subject, plots: Path) -> list[Path]:
    path = plots / "coverage.png"
    return _one(coverage.coverage(subject.task, subject.observations, path, steps=subject.step or None))


def _value(subject: Subject, plots: Path) -> list[Path]:
    if not subject.step:
        return []  # nothing was learned about reward yet
    visited = subject.observations if len(subject.observations) else None
    device = subject.agent.compute.device
    path = plots / "value.png"
    return _one(value_map.value_map(subject.task, subject.seen(), path, visited=visited, device=device))


def _imagination(subject: Subject, plots: Path) -> list[Path]:
    device = subject.agent.compute.device
    if len(subject.task.spec.position) < 2 or not can(subject.agent, *IMAGINES):
        return []
    reader = subject.seen()
    # the decoder has not followed the encoder through online learning, and the picture must say what it shows
    title = "Imagined (the nearest state seen in training) and real, open loop" if reader is not subject.agent else ""
    path = plots / "imagination.png"
    return _one(imagination.imagination(subject.task, reader, subject.traces(), path, device=device, title=title))


def _prediction(subject: Subject, plots: Path) -> list[Path]:
    if not can(subject.agent, *INFERS):
        return []
    episodes = subject.held_out()
    if episodes is None:
        return []
    steps = min(PREDICTED_STEPS, int(episodes.lengths.max()))
    stream = generator(episodes.device, 0, "prediction")
    truth = prediction.held_out(episodes, TRAJECTORIES, steps, stream)
    name = "skill dynamics" if subject.agent.horizon > 1 else "model"
    found = [prediction.predict(name, subject.pretrained(), subject.task.spec, truth)]  # type: ignore[arg-type]
    (plots / "prediction.json").write_text(json.dumps(prediction.as_json(found), indent=1) + "\n")
    unit = "" if not subject.task.spec.position else "task units"
    made = [prediction.error_curves(found, plots / "prediction_error.png", unit=unit)]
    return made + _one(prediction.trajectory_pictures(subject.task, truth, found, plots / "prediction_paths.png"))


def _skills(subject: Subject, plots: Path) -> list[Path]:
    if Skills.of(subject.agent) is None:
        return []
    episodes, skills = subject.held_out(), Skills.of(subject.pretrained())
    if episodes is None or skills is None:
        return []
    stream = generator(episodes.device, 0, "skills")
    return [embedding.picture(embedding.embed(subject.task, skills, episodes, WINDOWS, stream), plots / "skills.png")]


def _one(path: Path | None) -> list[Path]:
    return [] if path is None else [path]


PICTURES: dict[str, Callable[[Subject, Path], list[Path]]] = {
    "the learning curve": _curve,
    "pre-training": _losses,
    "sub-tasks": _subtasks,
    "where the agent has been": _coverage,
    "values": _value,
    "imagination": _imagination,
    "long-horizon prediction": _prediction,
    "skills": _skills,
}
