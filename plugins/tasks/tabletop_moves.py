"""How a scripted hand moves at the desk: through way-points, in a style of its own.

The actions are feedback on where the gripper is,

    a = clip(gain (way-point - gripper) / 2 cm, speed) + noise,

noise being a slowly varying (Ornstein-Uhlenbeck) process. What is to be done is in `tabletop_play`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import pi

import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.tabletop_arm import DOWN, REACH, TURN, YAW
from smbrl_plugins.tasks.tabletop_env import TabletopEnv, observation_size

from smbrl.data.files import Episode

Point = tuple[float, float, float]
Done = Callable[[], bool]

GAIN = 0.35
MEMORY = 0.9
"""Of the noise, from step to step."""


@dataclass(frozen=True)
class Style:
    """How a skill is performed.

    Attributes:
        speed: largest action.
        noise: deviation of what is added to it.
        height: at which the gripper travels, metres.
        tilt: roll (away from straight down) and pitch, radians.
        turn: away from the usual yaw, radians.
        extent: 0 (as little as counts) to 1 (as far as it goes).
        loose: how far a way-point may be missed, metres.
        open: whether the gripper is, where that does not matter.
        offset: along what is grasped or pushed, -1 to 1.
    """

    speed: float
    noise: float
    height: float
    tilt: tuple[float, float]
    turn: float
    extent: float
    loose: float
    open: bool
    offset: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Style:
        """A random one."""
        roll, pitch = rng.uniform(-0.15, 0.15, 2).tolist()
        return cls(
            speed=float(rng.uniform(0.55, 1.0)),
            noise=float(rng.uniform(0.02, 0.18)),
            height=float(rng.uniform(0.57, 0.66)),
            tilt=(roll, pitch),
            turn=float(rng.uniform(-0.3, 0.3)),
            extent=float(rng.uniform(0.0, 1.0)),
            loose=float(rng.uniform(0.015, 0.035)),
            open=bool(rng.random() < 0.3),
            offset=float(rng.uniform(-1.0, 1.0)),
        )


class Over(Exception):
    """The trajectory has its length."""


@dataclass
class Mover:
    """Moves the gripper of an environment and remembers what happened.

    Attributes:
        env: with blocks in its observation, reset with ``obs``.
        rng: of everything that is random.
        obs: the latest observation.
        steps: after which `Over` is raised; None: never.
        seen, done: observations and actions so far.
    """

    env: TabletopEnv
    rng: np.random.Generator
    obs: NDArray[np.float32]
    steps: int | None = None
    seen: list[NDArray[np.float32]] = field(default_factory=list)
    done: list[NDArray[np.float32]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen.append(self.obs)
        self.style = Style.draw(self.rng)
        self.grip = 1.0
        self._noise = np.zeros(6)

    def episode(self, blocks: bool = False) -> Episode:
        """What happened, with or without the blocks in the observations."""
        return Episode(np.ascontiguousarray(np.stack(self.seen)[:, : observation_size(blocks)]), np.stack(self.done))

    # -- what is seen

    @property
    def slider(self) -> float:
        """Travel of the door, metres."""
        return float(self.obs[15])

    @property
    def drawer(self) -> float:
        """Travel of the drawer, metres."""
        return float(self.obs[16])

    @property
    def lever(self) -> float:
        """Travel of the lever, metres."""
        return float(self.obs[18])

    def _block(self, number: int) -> tuple[float, float, float, float]:
        """Position and turn of a block."""
        x, y, z, _, _, turn = self.obs[21 + 6 * number : 27 + 6 * number].tolist()
        return x, y, z, turn

    # -- moving

    def _act(self, change: NDArray[np.float64], share: float = 0.5) -> None:
        """One step; ``share`` of the style's noise."""
        if self.steps is not None and len(self.done) >= self.steps:
            raise Over
        self._noise = MEMORY * self._noise + (1.0 - MEMORY**2) ** 0.5 * self.rng.standard_normal(6)
        action = np.empty(7, np.float32)
        action[:6] = np.clip(change + share * self.style.noise * self._noise, -1.0, 1.0)
        action[6] = self.grip
        self.obs, *_ = self.env.step(action)
        self.seen.append(self.obs)
        self.done.append(action)

    def _go(
        self,
        to: Point,
        *,
        until: Done | None = None,
        within: float | None = None,
        speed: float = 1.0,
        yaw: float | None = None,
        most: int = 60,
        straight: bool = False,
    ) -> bool:
        """Move to a point; False where that took too long.

        Args:
            to: metres.
            until: ends the movement.
            within: metres from the point at which it counts as reached; None: as the style says.
            speed: share of the style's.
            yaw: None: the usual one.
            most: steps it may take.
            straight: point straight down rather than as the style says, and with half its noise.
        """
        within = self.style.loose if within is None else within
        goal = np.array(to)
        roll, pitch = (0.0, 0.0) if straight else self.style.tilt
        turn = (pi / 2 + self.style.turn) if yaw is None else yaw
        angles = np.array((DOWN + roll, pitch, min(max(turn, YAW[0] + 0.02), YAW[1] - 0.02)))
        limit = self.style.speed * speed
        for _ in range(most):
            error = (goal - self.obs[:3]) / REACH
            distance = float(np.linalg.norm(error))
            twist = (angles - self.obs[3:6]) / TURN
            if until is not None:
                if until():
                    return True
            elif distance * REACH < within and np.abs(twist).max() * TURN < 0.12:
                return True
            share = 0.5 if straight else 1.0
            pull = GAIN * error
            size = GAIN * distance
            if size > limit:
                pull *= limit / size
            self._act(np.concatenate([pull, np.clip(0.3 * twist, -limit, limit)]), share)
        return until() if until is not None else False

    def _travel(self, x: float, y: float, yaw: float | None = None) -> None:
        """Above a point, not through anything."""
        height = self.style.height
        if self.obs[2] < height - 0.03:
            self._go((float(self.obs[0]), min(float(self.obs[1]), -0.02), height), within=0.04)
        self._go((x, y, height), within=0.03, yaw=yaw, most=90)

    def _rise(self, back: float = 0.03) -> None:
        """Away from what was touched."""
        x, y, _ = self.obs[:3].tolist()
        height = self.style.height - 0.05 * self.style.extent
        self._go((x, min(y - back, 0.0) if y > -0.2 else y, height), within=0.04, most=25)

    def _squeeze(self, closed: bool, steps: int) -> None:
        """Open or close the gripper where it is."""
        self.grip = -1.0 if closed else 1.0
        here = self.obs[:3].astype(np.float64)
        for _ in range(steps):
            self._act(np.concatenate([GAIN * (here - self.obs[:3]) / REACH, np.zeros(3)]))

    def _fingers(self, may_open: bool = True) -> None:
        """Open or closed, as the style says where it may."""
        self.grip = 1.0 if may_open and self.style.open else -1.0
