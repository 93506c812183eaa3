"""Offline data of the maze: a scripted driver between random cells.

For each trajectory: start and goal are random free cells, each moved by U(-0.1, 0.1) per axis; the shortest way over
the grid gives way-points, each shifted by -U(0, 0.2) per axis; the controller is
``a = clip(10 (waypoint - position) - velocity, -1, 1)``; the next way-point is taken when the ball is closer than
0.1 m. A trajectory ends at its goal or after 1,600 steps; those of 50 steps or fewer are drawn again.

Trajectory i depends on (seed, i) alone, so the data do not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.maze_layout import Cell, Layout, parse
from smbrl_plugins.tasks.maze_physics import MAX_SPEED, model

from smbrl.data.files import Episode
from smbrl.data.generating import Maker, generate
from smbrl.errors import SmbrlError
from smbrl.interfaces import Progress

GENERATOR = 1
"""Version of this file's output; raise it when the bytes change."""
GAIN, DAMPING = 10.0, 1.0
REACHED = 0.1
"""Metres to a way-point at which the next one is taken."""
JITTER, SHIFT = 0.1, 0.2
"""Half-width of the noise on start and goal; largest shift of a way-point; metres."""
CHUNK = 8
"""Trajectories a process makes at a time."""


@dataclass(frozen=True)
class Demonstrations:
    """What to generate.

    Attributes:
        layout: text of the walls.
        trajectories: how many.
        longest: a trajectory is cut after this many steps.
        shortest: trajectories with fewer steps are drawn again.
    """

    layout: str
    trajectories: int = 3046
    longest: int = 1600
    shortest: int = 51

    def __post_init__(self) -> None:
        if self.trajectories < 1:
            raise SmbrlError(f"maze data of {self.trajectories} trajectories: give at least 1")
        if not 1 <= self.shortest <= self.longest:
            raise SmbrlError(
                f"maze data with trajectories of {self.shortest} to {self.longest} steps: give 1 <= shortest <= longest"
            )


class Driver:
    """Makes trajectories, one at a time."""

    def __init__(self, what: Demonstrations) -> None:
        self.what = what
        self.layout: Layout = parse(what.layout)
        self.model = model(self.layout)
        self.data = mujoco.MjData(self.model)

    def trajectory(self, seed: int, index: int) -> Episode:
        """Trajectory ``index`` of the data set with this seed."""
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        free = self.layout.free
        for _ in range(2_000):
            start, goal = free[rng.integers(len(free))], free[rng.integers(len(free))]
            way = self._way(start, goal)
            if not way:
                continue
            points = np.array(way, np.float64) - rng.uniform(0.0, SHIFT, (len(way), 2))
            points[-1] = np.array(goal) + rng.uniform(-JITTER, JITTER, 2)
            begin = (np.array(start) + rng.uniform(-JITTER, JITTER, 2)).astype(np.float32)
            obs, actions = self._drive(begin, points.tolist())
            if len(actions) >= self.what.shortest:
                return Episode(obs, actions)
        raise SmbrlError(
            f"no way in this maze layout lasts {self.what.shortest} steps: draw a larger one or lower Maze.shortest"
        )

    def _way(self, start: Cell, goal: Cell) -> list[Cell]:
        """Cells after ``start`` on a shortest way to ``goal``; empty where there is none."""
        distance = self.layout.distances(goal)
        left = int(distance[start])
        cell, way = start, []
        while left > 0:
            i, j = cell
            left -= 1
            cell = next(c for c in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)) if distance[c] == left)
            way.append(cell)
        return way

    def _drive(
        self, begin: NDArray[np.float32], points: list[list[float]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Follow the way-points: observations (T + 1, 4), actions (T, 2).

        Replaying the stored actions from the stored first observation gives the stored observations exactly:
        what is stored is what was applied.
        """
        model, data, step = self.model, self.data, mujoco.mj_step
        mujoco.mj_resetData(model, data)
        qpos, qvel, ctrl = data.qpos, data.qvel, data.ctrl
        qpos[:] = begin
        x, y = qpos.tolist()
        vx = vy = 0.0
        obs = np.empty((self.what.longest + 1, 4), np.float32)
        actions = np.empty((self.what.longest, 2), np.float32)
        obs[0] = x, y, vx, vy
        target, last = 0, len(points) - 1
        tx, ty = points[0]
        time = 0
        while time < self.what.longest:
            dx, dy = tx - x, ty - y
            if dx * dx + dy * dy < REACHED * REACHED:
                if target == last:
                    break
                target += 1
                tx, ty = points[target]
                dx, dy = tx - x, ty - y
            action = actions[time]
            action[0] = min(max(GAIN * dx - DAMPING * vx, -1.0), 1.0)
            action[1] = min(max(GAIN * dy - DAMPING * vy, -1.0), 1.0)
            ctrl[:] = action
            if not -MAX_SPEED <= vx <= MAX_SPEED:
                qvel[0] = MAX_SPEED if vx > 0.0 else -MAX_SPEED
            if not -MAX_SPEED <= vy <= MAX_SPEED:
                qvel[1] = MAX_SPEED if vy > 0.0 else -MAX_SPEED
            step(model, data)
            x, y = qpos.tolist()
            vx, vy = qvel.tolist()
            time += 1
            obs[time] = x, y, vx, vy
        return obs[: time + 1].copy(), actions[:time].copy()


def _prepare(what: Demonstrations) -> Maker:
    return Driver(what).trajectory


def generate_episodes(
    what: Demonstrations,
    *,
    seed: int,
    workers: int = 1,
    progress: Progress | None = None,
    parts: Path | None = None,
) -> Iterator[Episode]:
    """The trajectories in order (see `smbrl.data.generating.generate`).

    Raises:
        SmbrlError: a worker died, or the seed or number of workers makes no sense.
    """
    return generate(
        partial(_prepare, what),
        what.trajectories,
        seed=seed,
        workers=workers,
        progress=progress,
        parts=parts,
        chunk=CHUNK,
    )
