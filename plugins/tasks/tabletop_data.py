"""Offline data of the tabletop: task-agnostic play.

For each trajectory the desk is put into a random state (half of what moves is shut or off, the rest anywhere), then a
scripted player does one thing after the other (see `tabletop_play`), each drawn at random from what would change
something, in a style of its own, until the trajectory has its length. So any given transition from one sub-task to
another is rare, and a trajectory that completes all of the target's sub-tasks in their order is drawn again.

Trajectory i depends on (seed, i) alone, so the data do not depend on the number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from smbrl_plugins.tasks.tabletop_env import ORDER, TabletopEnv
from smbrl_plugins.tasks.tabletop_moves import Over
from smbrl_plugins.tasks.tabletop_play import Player, start

from smbrl.data.files import Episode
from smbrl.data.generating import Maker
from smbrl.errors import SmbrlError

GENERATOR = 1
"""Version of this file's output; raise it when the bytes change."""
WEIGHTS = {"press button": 1.0, "wander": 0.6, "push block": 0.6, "lift block": 0.8}
"""How much likelier than 1 something is begun."""
SENSIBLE = 0.9
"""Share of the time that something is begun which would change something; else anything."""


@dataclass(frozen=True)
class Play:
    """What to generate.

    Attributes:
        trajectories: how many.
        shortest, longest: env steps; lengths are uniform between them.
        blocks: whether the observations tell where the blocks are.
    """

    trajectories: int = 1239
    shortest: int = 300
    longest: int = 500
    blocks: bool = False

    def __post_init__(self) -> None:
        if self.trajectories < 1:
            raise SmbrlError(f"tabletop data of {self.trajectories} trajectories: give at least 1")
        if not 1 <= self.shortest <= self.longest:
            raise SmbrlError(
                f"tabletop data with trajectories of {self.shortest} to {self.longest} steps: "
                "give 1 <= shortest <= longest"
            )


class Hand:
    """Makes trajectories, one at a time."""

    def __init__(self, what: Play) -> None:
        self.what = what
        self.env = TabletopEnv(ORDER, blocks=True, time_limit=2**31)

    def trajectory(self, seed: int, index: int) -> Episode:
        """Trajectory ``index`` of the data set with this seed."""
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        for _ in range(100):
            player = Player(self.env, rng, start(self.env, rng))
            player.steps = int(rng.integers(self.what.shortest, self.what.longest + 1))
            self._play(player)
            if not self.env.progress.complete:
                return player.episode(self.what.blocks)
        raise SmbrlError("tabletop play completes the target every time: lower Tabletop.longest")

    @staticmethod
    def _play(player: Player) -> None:
        rng = player.rng
        while True:
            names = player.sensible()
            if rng.random() > SENSIBLE:
                names = [*names, "open drawer", "close drawer", "slider left", "slider right", "bulb on", "bulb off"]
            weights = np.array([WEIGHTS.get(name, 1.0) for name in names])
            try:
                player.play(names[int(rng.choice(len(names), p=weights / weights.sum()))])
            except Over:
                return


def prepare(what: Play) -> Maker:
    """For `smbrl.data.generating.generate`."""
    return Hand(what).trajectory
