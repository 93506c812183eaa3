"""The run: data, pre-training, online learning, evaluation; each phase skipped where its result exists."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from smbrl.data import store
from smbrl.data.episodes import EpisodeStore
from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent
from smbrl.tracking import record
from smbrl.tracking.progress import ProgressBars
from smbrl.tracking.tracker import Tracker
from smbrl.training import announce, evaluations, online, pretrain, pretrained, team
from smbrl.training.checkpoint import Checkpoint
from smbrl.training.device import usable_cores, versions
from smbrl.training.evaluate import EvaluationResult
from smbrl.training.experiment import Experiment
from smbrl.training.folder import OPERATIVE, RunFolder
from smbrl.training.guard import DivergedError
from smbrl.training.online import OnlineLoop, play
from smbrl.training.pretrain import PretrainLoop
from smbrl.training.pretrained import Lines, PretrainedStore
from smbrl.training.seeding import globals_state, load_globals_state, seed_globals
from smbrl.training.session import InterruptedRunError, Session
from smbrl.training.team import Team

logger = logging.getLogger("smbrl.training")
FINAL = "final"


@dataclass
class Summary:
    """What a run came to.

    Attributes:
        folder: of the run.
        results: final success, return, length, ...; empty where the run was not finished.
        steps: env steps of online learning.
        seconds: by phase.
        pretrained: where the pre-trained model lies, if there is one.
    """

    folder: RunFolder
    results: dict[str, float]
    steps: int
    seconds: dict[str, float]
    pretrained: str | None = None
    notes: list[str] = field(default_factory=list)


def begin(path: Path, experiment: Experiment, config: str, about: Mapping[str, Any] | None = None) -> RunFolder:
    """Make the folder of a new run.

    Args:
        path: of the folder.
        experiment: what will be run.
        config: the complete configuration, gin syntax.
        about: more for run.json: a short name of the configuration, the command's gin files and overrides.

    Raises:
        SmbrlError: there is something already.
    """
    info = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": "new",
        "phase": "",
        "step": 0,
        "steps": experiment.online.steps,
        "seed": experiment.seed,
        **experiment.describe(),
        **experiment.machine.describe(),
        **({"tags": dict(experiment.tracking.tags)} if experiment.tracking.tags else {}),
        "versions": versions(),
        **(about or {}),
    }
    return RunFolder.create(path, config, info)


def execute(
    experiment: Experiment,
    folder: RunFolder,
    *,
    operative: str = "",
    bars: ProgressBars | None = None,
    finish: Callable[[RunFolder, Tracker], None] | None = None,
) -> Summary:
    """Bring a run to its end, from wherever it is.

    Args:
        experiment: built from the folder's configuration.
        folder: of the run.
        operative: the configuration that is really used, for the record.
        bars: progress (default: on stderr).
        finish: called when the run is finished, before the log is closed: pictures, say.

    Raises:
        SmbrlError: a user's mistake, or numbers that went wrong; the folder says so too.
        InterruptedRunError: Ctrl-C or SIGTERM; everything is saved.
    """
    with folder.locked():
        info = folder.info()
        if info["state"] == "finished":
            return _summary(folder)
        if operative:
            folder.write_text(OPERATIVE, operative)
        if info.get("versions") != versions():
            logger.warning("versions differ from those the run began with; numbers may differ from here on")
        folder.update(state="running", error="", versions=versions())
        bars = bars or ProgressBars()
        tracker = announce.tracker(folder, experiment.tracking)
        session = Session(folder, tracker, bars, experiment.checkpoints, info.get("seconds"))
        status = "FAILED"
        try:
            with bars, session.interrupt:
                _Run(experiment, session).to_the_end()
                if finish is not None:
                    finish(folder, tracker)
            status = "FINISHED"
            folder.update(state="finished", finished=datetime.now(UTC).isoformat(timespec="seconds"))
        except (InterruptedRunError, KeyboardInterrupt) as error:
            status = "KILLED"
            session.note(state="interrupted")
            raise InterruptedRunError(f"interrupted; go on with: smbrl resume {_shown(folder)}") from error
        except DivergedError as error:
            session.note(state="diverged", error=str(error))
            last = folder.info()["step"]
            raise SmbrlError(f"{error}; the last good checkpoint is at step {last} of {_shown(folder)}") from error
        except Exception as error:
            session.note(state="failed", error=f"{type(error).__name__}: {error}")
            raise
        finally:
            tracker.close(status)
        return _summary(folder)


class _Run:
    """The phases in order."""

    def __init__(self, experiment: Experiment, session: Session) -> None:
        self.experiment = experiment
        self.session = session
        self.agent = experiment.agent
        self.checkpoint = session.store.latest()
        self.dataset: store.Dataset | None = None
        self.team: Team | None = None
        self._began_together = False

    def to_the_end(self) -> None:
        checkpoint, session = self.checkpoint, self.session
        session.tracker.rewind(checkpoint.state["position"] if checkpoint else 0)
        announce.about(session.tracker, session.folder)
        if checkpoint is not None:
            session.bars.message(f"resuming {checkpoint.phase} at step {checkpoint.step:,}, from {checkpoint.path}")
        begins = checkpoint is None or checkpoint.phase != online.PHASE
        with team.joined(self.agent.compute.device) as self.team:
            if begins and self.agent.pretrains:
                self._pretrain(checkpoint)
            self._let_go()
        if begins:
            seed_globals(self.experiment.seed, online.PHASE)
        loop = self._online(checkpoint if checkpoint and checkpoint.phase == online.PHASE else None)
        self._evaluate(loop)

    def _let_go(self) -> None:
        """The other processes, where there are any, have nothing (more) to do."""
        if self.team is not None and not self._began_together:
            self.team.send({})

    # -- data --------------------------------------------------------------------------------------
    def _data(self) -> store.Dataset:
        experiment, session = self.experiment, self.session
        request = experiment.task.dataset()
        if request is None:
            raise SmbrlError(
                f"{type(self.agent).__name__} pre-trains, but {type(experiment.task).__name__} has no offline data: "
                "use another task or an agent that does not pre-train"
            )
        with session.phase("data"):
            seed = experiment.pretraining.data_seed
            if store.find(request, seed=seed) is None:
                with session.bar("offline data", 0, "episodes") as bar:
                    found = store.ensure(experiment.task, seed=seed, workers=usable_cores(), progress=bar.callback)
            else:
                found = store.ensure(experiment.task, seed=seed)
        session.note(dataset=found.id, data_hash=found.content_hash)
        session.tracker.tags({"dataset": found.id, "data_hash": found.content_hash})
        return found

    # -- pre-training ------------------------------------------------------------------------------
    def _pretrain(self, checkpoint: Checkpoint | None) -> None:
        """Give the agent its pre-trained model: a stored one, or one made here and then stored."""
        experiment, session = self.experiment, self.session
        dataset = self._data()
        settings, seed = experiment.pretraining, experiment.pretraining_seed
        key = pretrained.key(self.agent, experiment.task.spec, dataset.content_hash, settings, seed)
        models = PretrainedStore(store.home() / "pretrained")
        with session.phase(pretrain.PHASE):
            if not settings.reuse:
                model, _ = self._train(dataset, checkpoint)
            else:
                with models.making(key, session.bars.message):
                    found = models.find(key)
                    if found is not None:
                        # its log becomes part of this run's, so that a run reads the same whoever pre-trained
                        session.tracker.rewind(0)
                        for step, line in found.lines:
                            session.tracker.log(line, step, pretrain.PHASE)
                        session.bars.message(f"pre-training: found in {found.path}")
                        model = found.model
                        session.note(pretrained=str(found.path))
                    else:
                        model, lines = self._train(dataset, checkpoint)
                        path = models.keep(key, model, lines, made_by=session.folder.name)
                        session.note(pretrained=str(path))
        self.agent.load_pretrained({name: value.to(self.agent.compute.device) for name, value in model.items()})

    def _train(self, dataset: store.Dataset, checkpoint: Checkpoint | None) -> tuple[dict[str, Any], Lines]:
        experiment, session = self.experiment, self.session
        seed = experiment.pretraining_seed
        agent: Agent = experiment.new_agent(seed)
        episodes = EpisodeStore.from_dataset(dataset, agent.compute.device)
        loop = PretrainLoop(agent, episodes, experiment.pretraining, seed, self.team)
        if checkpoint is None:
            seed_globals(seed, pretrain.PHASE)
        else:
            loop.load_state(checkpoint.state["phase"])
            load_globals_state(checkpoint.state["globals"])
        if self.team is None:
            loop.run(session)
        else:
            session.bars.message(f"pre-training in {self.team.size} processes")
            session.note(processes=self.team.size)
            self._began_together = True
            self.team.send({"data_hash": dataset.content_hash, "phase": loop.state(), "globals": globals_state()})
            try:
                loop.run(session)
            finally:
                with contextlib.suppress(RuntimeError):  # somebody is gone already
                    self.team.go(False)
        session.tracker.flush()
        lines = [
            (line.step, line.metrics)
            for line, _ in record.lines(session.folder.metrics)
            if line is not None and line.phase == pretrain.PHASE
        ]
        return agent.pretrained_state(), lines

    # -- learning online, and the end --------------------------------------------------------------
    def _online(self, checkpoint: Checkpoint | None) -> OnlineLoop:
        experiment, session = self.experiment, self.session
        with session.phase(online.PHASE):
            self.agent.start_online()
            loop = OnlineLoop(experiment.task, self.agent, experiment.online, experiment.evaluation, experiment.seed)
            if checkpoint is not None:
                loop.load_state(checkpoint.state["phase"])
                load_globals_state(checkpoint.state["globals"])
            try:
                if checkpoint is None:
                    self._save(loop)  # pre-training need not be done again, whatever happens
                at = loop.step, loop.updates
                loop.run(session)
                if checkpoint is None or at != (loop.step, loop.updates):
                    self._save(loop)
            finally:
                loop.collector.close()
        return loop

    def _save(self, loop: OnlineLoop) -> None:
        self.session.save(online.PHASE, loop.step, self.agent, loop.guard, loop.state())

    def _evaluate(self, loop: OnlineLoop) -> None:
        experiment, session = self.experiment, self.session
        results: dict[str, float] = {"steps": loop.step, "updates": loop.updates, "training_episodes": loop.episodes}
        if loop.first_success is not None:
            results["first_success"] = loop.first_success
        if loop.best_success is not None:
            results["best_success"] = loop.best_success
        if experiment.evaluation.episodes:
            began = time.monotonic()
            with session.phase(FINAL), session.interrupt.patient():
                result = play(
                    session,
                    experiment.task,
                    self.agent,
                    experiment.evaluation.episodes,
                    experiment.evaluation,
                    experiment.seed,
                    loop.step,
                    FINAL,
                )
            metrics = result.metrics(FINAL)
            session.tracker.log(metrics, loop.step, FINAL)
            self._keep(result, loop.step, time.monotonic() - began)
            results |= {name.partition("/")[2]: value for name, value in metrics.items()}
        session.tracker.flush()
        session.folder.update(results=results, seconds=session.seconds, step=loop.step, success=results.get("success"))

    def _keep(self, result: EvaluationResult, step: int, seconds: float) -> None:
        """Every episode of the final evaluation, as a file; the run is not lost to a full disk."""
        session = self.session
        try:
            path = evaluations.write(
                session.folder.path, result, how=evaluations.TRAINED, seed=None, step=step, seconds=seconds
            )
        except SmbrlError as error:
            logger.warning(str(error))
        else:
            session.tracker.artifact(path)


def _summary(folder: RunFolder) -> Summary:
    info = folder.info()
    return Summary(
        folder, info.get("results", {}), int(info.get("step", 0)), info.get("seconds", {}), info.get("pretrained")
    )


def _shown(folder: RunFolder) -> str:
    """The shortest thing a user can type for this run."""
    try:
        known = RunFolder.find(folder.name).path == folder.path
    except SmbrlError:
        known = False
    return folder.name if known else str(folder.path)
