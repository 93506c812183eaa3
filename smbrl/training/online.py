"""Online learning: act, remember, update, now and then evaluate."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

from smbrl.data.replay import DecisionReplay
from smbrl.interfaces import Agent, Mode, Task
from smbrl.training.agent_state import agent_state, load_agent_state
from smbrl.training.collect import Collector, Episode
from smbrl.training.evaluate import EvaluationResult, evaluate
from smbrl.training.guard import Guard
from smbrl.training.meters import Meters
from smbrl.training.seeding import Streams, derive, generator
from smbrl.training.session import InterruptedRunError, Session
from smbrl.training.settings import Evaluation, Online

PHASE = "online"
MANY_UPDATES = 200
"""So many updates at once (after the warm-up) have a progress bar of their own."""


class OnlineLoop:
    """The state of the phase, and its loop.

    Args:
        task: to act in.
        agent: after ``start_online``.
        settings: of the phase.
        evaluation: when and how to evaluate meanwhile.
        seed: of the run.
    """

    def __init__(self, task: Task, agent: Agent, settings: Online, evaluation: Evaluation, seed: int) -> None:
        self.task, self.agent, self.settings, self.evaluation, self.seed = task, agent, settings, evaluation, seed
        device = agent.compute.device
        self.streams = Streams(device, seed, PHASE, ("act", "replay", "update"))
        self.collector = Collector(task, agent, settings.envs, derive(seed, PHASE))
        self.replay = DecisionReplay(
            settings.capacity,
            task.spec.observation,
            agent.decision,
            agent.discount,
            device,
            settings.rewarded_share,
        )
        self.meters = Meters()
        self.guard = Guard("online learning", "env step")
        self.step = self.updates = self.episodes = self.successes = 0
        self.warm_at: int | None = 0 if self._warm else None  # env step at which the warm-up ended
        self.first_success: int | None = None
        self.best_success: float | None = None
        self.solved = False
        # success, return, length and (where the task has any) completed sub-tasks of episodes since the last log line
        self._recent: list[tuple[float, ...]] = []
        self._logged_step = 0
        self._next_log = settings.log_every
        self._next_evaluation = evaluation.every

    @property
    def owed(self) -> int:
        """Updates that should have been made by now."""
        if self.warm_at is None:
            return 0
        settings = self.settings
        return settings.first_updates + (self.step - self.warm_at) // settings.update_every * settings.updates

    @property
    def _warm(self) -> bool:
        """Whether the warm-up should be over."""
        settings = self.settings
        patient = settings.warmup_patience is None or self.step < settings.warmup_patience
        wanted = settings.warmup_successes if patient else min(settings.warmup_successes, 1)
        return self.step >= settings.warmup_steps and self.successes >= wanted

    def run(self, session: Session) -> None:
        """Learn to the end.

        Every stage below is skipped by what the state says, so that a checkpoint may fall between any two updates
        and the resumed loop goes on exactly there.

        Raises:
            InterruptedRunError: that was asked for; everything is saved.
            DivergedError: see ``Guard``.
        """
        settings = self.settings
        session.began(self.step)
        self._logged = (time.monotonic(), self.step, self.updates)
        with (
            session.bar("online learning", settings.steps, "steps", start=self.step) as bar,
            session.interrupt.patient(),
        ):
            while True:
                self._learn(session)
                if self.evaluation.every and self.step >= self._next_evaluation:
                    self._evaluate(session)
                    self._next_evaluation += (
                        (self.step - self._next_evaluation) // self.evaluation.every + 1
                    ) * self.evaluation.every
                over = self.solved or self.step >= settings.steps
                if self.step >= self._next_log or (over and self.step > self._logged_step):
                    bar.update(min(self.step, settings.steps), self._log(session))
                    self._next_log += ((self.step - self._next_log) // settings.log_every + 1) * settings.log_every
                self._pause(session)
                if over:
                    return
                self._act()
                bar.update(min(self.step, settings.steps))

    def _pause(self, session: Session) -> None:
        session.pause(PHASE, self.step, self.agent, self.guard, self.state)

    # -- one round ---------------------------------------------------------------------------------
    def _learn(self, session: Session) -> None:
        owed = self.owed - self.updates
        if owed <= 0 or not len(self.replay):
            return
        agent, settings, streams = self.agent, self.settings, self.streams
        with session.bar("updates", owed, "updates") if owed > MANY_UPDATES else nullcontext() as bar:
            for _ in range(owed):
                windows = self.replay.sample(settings.batch, agent.window, streams["replay"])
                self.meters.add(agent.update(windows, streams["update"]))
                self.updates += 1
                if bar is not None:
                    bar.advance()
                self._pause(session)

    def _act(self) -> None:
        mode: Mode = "prior" if self.warm_at is None else "explore"
        collected = self.collector.advance(mode=mode, step=self.step, generator=self.streams["act"])
        self.step += collected.steps
        for episode in collected.episodes:
            self._remember(episode)
        if self.warm_at is None and self._warm:
            self.warm_at = self.step

    def _remember(self, episode: Episode) -> None:
        obs, decision, reward = episode.arrays()
        self.replay.add_episode(obs, decision, reward, episode.terminated or self.settings.timeouts_terminate)
        self.episodes += 1
        self.successes += episode.success
        if episode.success and self.first_success is None:
            self.first_success = self.step
        completed = (float(len(episode.subtasks)),) if self.task.subtasks else ()
        self._recent.append((float(episode.success), episode.total, episode.steps, *completed))

    def _evaluate(self, session: Session) -> None:
        evaluation = self.evaluation
        try:
            result = play(session, self.task, self.agent, evaluation.every_episodes, evaluation, self.seed, self.step)
        except InterruptedRunError:
            self._pause(session)  # saves: the evaluation has changed nothing, and is begun anew on resume
            raise
        session.tracker.log(result.metrics("eval"), self.step, "eval")
        if self.best_success is None or result.success > self.best_success:
            self.best_success = result.success
        until = self.settings.until_success
        self.solved = until is not None and result.success >= until
        session.note(step=self.step, success=result.success)

    def _log(self, session: Session) -> dict[str, float]:
        learned = self.meters.fetch()
        self.guard.check(learned, self.step)
        line = {f"online/{name}": value for name, value in learned.items()}
        line |= {
            "online/updates": float(self.updates),
            "online/episodes": float(self.episodes),
            "online/successes": float(self.successes),
            "online/replay_decisions": float(len(self.replay)),
            "online/replay_rewarded_decisions": float(self.replay.rewarded),
        }
        shown = {"successes": float(self.successes)}
        if self._recent:
            names = ("success", "return", "length", "subtasks")
            means = {
                name: sum(column) / len(self._recent)
                for name, column in zip(names, zip(*self._recent, strict=True), strict=False)
            }
            line |= {f"train/{name}": value for name, value in means.items()}
            shown |= {name: means[name] for name in ("success", "subtasks") if name in means}
        then, step, updates = self._logged
        now = time.monotonic()
        line["time/env_steps_per_second"] = (self.step - step) / max(now - then, 1e-9)
        line["time/updates_per_second"] = (self.updates - updates) / max(now - then, 1e-9)
        line["time/online_seconds"] = session.tick()
        session.tracker.log(line, self.step, PHASE)
        self._logged = (now, self.step, self.updates)
        self._logged_step = self.step
        self._recent.clear()
        return shown

    # -- checkpoints -------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Everything that the next decision and the next update depend on."""
        return {
            **agent_state(self.agent),
            "streams": self.streams.state(),
            "collector": self.collector.state(),
            "replay": self.replay.state(),
            "meters": self.meters.state(),
            "guard": self.guard.state(),
            "counters": {name: getattr(self, name) for name in _COUNTERS},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        load_agent_state(self.agent, state)
        self.streams.load_state(state["streams"])
        self.collector.load_state(state["collector"])
        self.replay.load_state(state["replay"])
        self.meters.load_state(state["meters"], self.agent.compute.device)
        self.guard.load_state(state["guard"])
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])


_COUNTERS = (
    "step",
    "updates",
    "episodes",
    "successes",
    "warm_at",
    "first_success",
    "best_success",
    "solved",
    "_recent",
    "_logged_step",
    "_next_log",
    "_next_evaluation",
)


def play(
    session: Session,
    task: Task,
    agent: Agent,
    episodes: int,
    evaluation: Evaluation,
    seed: int,
    step: int,
    name: str = "eval",
) -> EvaluationResult:
    """Evaluate inside a run: the episodes are the same each time, the agent's own randomness follows the step.

    Raises:
        InterruptedRunError: that was asked for meanwhile.
    """

    def stop() -> None:
        if session.interrupt.asked:
            raise InterruptedRunError

    with session.bar("evaluation", episodes, "episodes") as bar:
        return evaluate(
            agent,
            task,
            episodes=episodes,
            seed=derive(seed, name),
            generator=generator(agent.compute.device, seed, name, step),
            envs=evaluation.envs,
            step=step,
            progress=bar.callback,
            pause=stop,
        )
