"""Pre-training: gradient updates on windows of the offline data."""

from __future__ import annotations

import time
from typing import Any

from smbrl.data.episodes import EpisodeStore
from smbrl.interfaces import Agent, Metrics
from smbrl.training.agent_state import agent_state, load_agent_state
from smbrl.training.guard import Guard
from smbrl.training.meters import Meters
from smbrl.training.seeding import Streams
from smbrl.training.session import Session
from smbrl.training.settings import Pretraining
from smbrl.training.team import Team

PHASE = "pretrain"


class PretrainLoop:
    """The state of the phase, and its loop.

    Args:
        agent: prepared.
        episodes: on the agent's device; split here into what is learned from and what is only looked at.
        settings: of the phase.
        seed: of the phase.
        team: the processes that make updates together; None: this one alone.
    """

    def __init__(
        self, agent: Agent, episodes: EpisodeStore, settings: Pretraining, seed: int, team: Team | None = None
    ) -> None:
        self.team = team
        self.agent = agent
        self.settings = settings
        self.streams = Streams(agent.compute.device, seed, PHASE, ("split", "batch", "update", "validation"))
        self.training: EpisodeStore = episodes
        self.validation: EpisodeStore | None = None
        if settings.validation_share and episodes.episodes > 1:
            self.training, self.validation = episodes.split(settings.validation_share, self.streams["split"])
        self.updates = 0
        self.meters = Meters()
        self.guard = Guard("pre-training", "update")

    def run(self, session: Session) -> None:
        """Train to the end.

        Raises:
            InterruptedRunError: that was asked for; everything is saved.
            DivergedError: see ``Guard``.
        """
        settings, agent = self.settings, self.agent
        logged_at, logged = time.monotonic(), self.updates
        session.began(self.updates)
        with (
            session.bar("pre-training", settings.updates, "updates", start=self.updates) as bar,
            session.interrupt.patient(),
        ):
            while self.updates < settings.updates:
                if self.team is not None:
                    self.team.go()
                self.meters.add(self._update())
                last = self.updates == settings.updates
                if self.updates % settings.log_every == 0 or last:
                    means = self.meters.fetch()
                    self.guard.check(means, self.updates)
                    now = time.monotonic()
                    line = {f"pretrain/{name}": value for name, value in means.items()}
                    line["time/pretrain_updates_per_second"] = (self.updates - logged) / max(now - logged_at, 1e-9)
                    line["time/pretrain_seconds"] = session.tick()
                    session.tracker.log(line, self.updates, PHASE)
                    logged_at, logged = now, self.updates
                    bar.update(self.updates, _shown(means))
                else:
                    bar.update(self.updates)
                if settings.validate_every and (self.updates % settings.validate_every == 0 or last):
                    self._validate(session)
                session.pause(PHASE, self.updates, agent, self.guard, self.state)

    def _update(self) -> Metrics:
        """The next one. In a team all draw the same windows, and each takes its share of them."""
        agent, streams = self.agent, self.streams
        windows = self.training.sample(self.settings.batch, agent.offline_window, agent.horizon, streams["batch"])
        self.updates += 1
        if self.team is None:
            return agent.pretrain(windows, streams["update"])
        return self.team.update(agent, windows, streams["update"])

    def follow(self) -> None:
        """Make updates as long as process 0 of the team does, and nothing else."""
        assert self.team is not None
        while self.team.go():
            self._update()

    def _validate(self, session: Session) -> None:
        """Look at the held-out episodes; nothing is learned from them."""
        if self.validation is None:
            return
        stream = self.streams["validation"]
        agent = self.agent
        windows = self.validation.sample(self.settings.validation_batch, agent.offline_window, agent.horizon, stream)
        losses = agent.validate(windows, stream)
        if losses:
            meters = Meters()
            meters.add(losses)
            session.tracker.log({f"validation/{name}": v for name, v in meters.fetch().items()}, self.updates, PHASE)

    # -- checkpoints -------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on."""
        return {
            **agent_state(self.agent),
            "streams": self.streams.state(),
            "updates": self.updates,
            "meters": self.meters.state(),
            "guard": self.guard.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        load_agent_state(self.agent, state)
        self.streams.load_state(state["streams"])
        self.updates = int(state["updates"])
        self.meters.load_state(state["meters"], self.agent.compute.device)
        self.guard.load_state(state["guard"])


def _shown(means: dict[str, float], count: int = 3) -> dict[str, float]:
    """The first few metrics: what an agent returns first is what it wants seen."""
    return dict(list(means.items())[:count])
