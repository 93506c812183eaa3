"""Scripted play at CALVIN's desk: one thing after the other, in an order that follows no task.

A `Player` knows a skill for each sub-task of `calvin_env.CONDITIONS`, and wandering. A skill leads the gripper through
way-points by feedback on the pose that was asked for,

    a = clip((way-point - asked) / 2 cm, speed) + noise,

until the condition holds. Its `Style`, drawn anew each time, sets speed, noise, heights and offsets, so that no two
performances are alike. A trajectory of the data does a few skills from a random state of the desk, each drawn from
those that have something to do, so that any transition between sub-tasks is rare; one that happens to complete the
target's four in their order is drawn again. Trajectory i depends on (seed, i) alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.calvin_env import CONDITIONS, DRAWER, LED, SLIDER, CalvinEnv, holds

from smbrl.data.files import Episode
from smbrl.data.generating import Maker
from smbrl.errors import SmbrlError

GENERATOR = 1
"""Counts changes of the generator that change its data."""
SKILLS = (*CONDITIONS, "wander")
STEP = 0.02
"""Metres of a full action."""
TURN = 0.05
"""Radians of a full action."""
REACHED = 0.012
"""Distance of the gripper from a way-point that counts as there, metres."""
UNHURRIED = 80
"""Steps after which a way-point is given up."""
BUTTON, SWITCH = (-0.12, -0.12), 0.30
"""Where the button is, and the switch's x, metres."""
HANDLE, DOOR = (0.18, -0.235, 0.355), (0.13, 0.53)
"""The closed drawer's handle (x, y, z), and the closed door's (x, z)."""
LEAN = -0.9
"""Pitch with which the fingers lean forwards, radians."""
FREE = ((-0.2, -0.3, 0.5), (0.3, -0.1, 0.65))
"""Box in which the gripper wanders."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """How a skill is performed.

    Attributes:
        speed: of the way there, of 1.
        noise: deviation of what is added to the action.
        height: at which the gripper travels, metres.
        aside: of the way-points where that does no harm, metres ``(2,)``.
        extra: how much farther than needed things are moved, metres.
    """

    speed: float
    noise: float
    height: float
    aside: tuple[float, float]
    extra: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Style:
        """One at random."""
        aside = rng.uniform(-0.012, 0.012, 2)
        return cls(
            float(rng.uniform(0.45, 0.8)),
            float(rng.uniform(0.02, 0.15)),
            float(rng.uniform(0.55, 0.62)),
            (float(aside[0]), float(aside[1])),
            float(rng.uniform(0.01, 0.05)),
        )


class Player:
    """Plays in an environment and keeps what it saw and did.

    Args:
        env: with blocks observed or not; already reset.
        observation: what the reset returned.
        rng: of styles and noise.
    """

    def __init__(self, env: CalvinEnv, observation: NDArray[np.float32], rng: np.random.Generator) -> None:
        self.env, self.rng = env, rng
        self.observations, self.actions = [observation], list[NDArray[np.float32]]()
        self.style = Style.draw(rng)
        self.gripper = -1.0
        self._turned, self._lean = env.simulator.target[3:], 0.0

    @property
    def seen(self) -> NDArray[np.float32]:
        """The last observation."""
        return self.observations[-1]

    def perform(self, skill: str) -> bool:
        """Do a skill; whether its condition holds afterwards.

        Args:
            skill: one of ``SKILLS``.
        """
        self.style = Style.draw(self.rng)
        self.gripper = -1.0
        skills: dict[str, Callable[[], None]] = {
            "open drawer": self._open,
            "close drawer": self._shut,
            "slider left": partial(self._slide, 1),
            "slider right": partial(self._slide, -1),
            "bulb on": self._switch_on,
            "bulb off": self._switch_off,
            "LED on": self._press,
            "LED off": self._press,
            "wander": self._wander,
        }
        skills[skill]()
        return skill == "wander" or holds(self.seen, skill)

    # -- skills ------------------------------------------------------------------------------------
    def _open(self) -> None:
        """Hook the fingers behind the handle from above and pull."""
        x, y, z = HANDLE[0], HANDLE[1] - float(self.seen[DRAWER]), HANDLE[2]
        self._go((x, y - 0.06, self.style.height))
        self._go((x, y, z + 0.05), 0.4)
        self._go((x, y, z), 0.3, most=25)
        self._go((x, y - 0.2, z), 0.4, lambda: bool(self.seen[DRAWER] > 0.13 + self.style.extra), most=50)
        self._go((x, float(self.seen[1]), self.style.height), most=30)

    def _shut(self) -> None:
        """Push the drawer's front."""
        x, y = HANDLE[0] + self.style.aside[0], HANDLE[1] - float(self.seen[DRAWER]) - 0.1
        self._go((x, y, self.style.height))
        self._go((x, y, HANDLE[2] + 0.005), 0.4)
        self._go((x, -0.2, HANDLE[2] + 0.005), 0.4, lambda: bool(self.seen[DRAWER] < 0.004), most=60)
        self._go((x, -0.32, HANDLE[2] + 0.02), 0.5, most=20)
        self._go((x, -0.32, self.style.height), most=30)

    def _slide(self, way: int) -> None:
        """Push the door's handle to the left (1) or to the right (-1)."""
        handle = DOOR[0] - float(self.seen[SLIDER]) - (0.0 if way > 0 else 0.18)
        self._go((handle, -0.14, self.style.height))
        self._go((handle, -0.14, DOOR[1]), most=20)
        self._go((handle, -0.01, DOOR[1]), 0.4, most=40)
        if way > 0:
            enough = 0.16 + self.style.extra
            self._go((-0.22, -0.01, DOOR[1]), 0.4, lambda: bool(self.seen[SLIDER] > enough), most=60)
        else:
            self._go((0.2, -0.01, DOOR[1]), 0.4, lambda: bool(self.seen[SLIDER] < 0.004), most=60)
        self._up()

    def _press(self) -> None:
        """Press the button once, and let go as soon as the light changes."""
        was = self.seen[LED]
        x, y = BUTTON[0] + self.style.aside[0], BUTTON[1] + self.style.aside[1]
        self._go((x, y, self.style.height))
        self._go((x, y, 0.44), 0.4, lambda: bool(self.seen[LED] != was), most=50)
        self._go((x, y, 0.58), most=25)

    def _switch_on(self) -> None:
        """Lift the lever from below."""
        x = SWITCH + self.style.aside[0]
        self._go((x, -0.06, self.style.height))
        self._go((x, -0.06, 0.48), 0.4, most=40)
        self._go((x, 0.03, 0.485), 0.4, most=25)
        self._go((x, 0.05, 0.65), 0.4, lambda: holds(self.seen, "bulb on"), most=40)
        self._go((x, -0.12, 0.62), most=25)

    def _switch_off(self) -> None:
        """Press the lever down from above, the fingers leaning forwards: the arm would not reach it otherwise."""
        x = SWITCH - 0.03 + self.style.aside[0]
        self._lean = LEAN
        self._go((x, -0.1, 0.66))
        self._go((x, 0.06, 0.66), 0.4, most=40)
        self._go((x, 0.0, 0.49), 0.4, lambda: holds(self.seen, "bulb off"), most=50)
        self._go((x, -0.14, 0.52), most=25)
        self._lean = 0.0
        self._go((x, -0.14, 0.6), most=25)

    def _wander(self) -> None:
        """Go somewhere, perhaps with open fingers."""
        self.gripper = float(self.rng.choice([-1.0, 1.0]))
        for _ in range(int(self.rng.integers(1, 4))):
            x, y, z = self.rng.uniform(*np.asarray(FREE))
            self._go((float(x), float(y), float(z)), most=40)

    # -- moving ------------------------------------------------------------------------------------
    def _up(self) -> None:
        """Away from the desk's back, then up."""
        x, y = float(self.seen[0]), float(self.seen[1])
        self._go((x, min(y, 0.0) - 0.08, self.style.height), most=30)

    def _go(
        self, point: Point, speed: float | None = None, until: Callable[[], bool] | None = None, most: int = UNHURRIED
    ) -> None:
        """Lead the gripper to a point, and its angles back to where they began."""
        speed = self.style.speed if speed is None else speed
        for _ in range(most):
            target = self.env.simulator.target
            error = (np.asarray(point) - target[:3]) / STEP
            size = float(np.linalg.norm(error))
            error *= min(1.0, speed / max(size, 1e-9))
            twist = (
                (self._turned + np.array([0.0, self._lean, 0.0]) - target[3:] + np.pi) % (2 * np.pi) - np.pi
            ) / TURN
            self._act(error, twist)
            if until is not None and until():
                return
            if np.linalg.norm(np.asarray(point) - self.seen[:3]) < REACHED:
                return

    def _act(self, move: NDArray[np.float64], twist: NDArray[np.float64]) -> None:
        noise = self.style.noise * self.rng.standard_normal(6)
        noise[3:] *= 0.3
        action = np.append(np.concatenate([move, twist]) + noise, self.gripper).clip(-1.0, 1.0).astype(np.float32)
        observation, *_ = self.env.step(action)
        self.observations.append(observation)
        self.actions.append(action)


@dataclass(frozen=True)
class Play:
    """What the generator's output depends on.

    Attributes:
        scene: of CALVIN's.
        blocks: observed.
        trajectories: how many.
        length: skills in each, at most.
        longest: steps after which a trajectory is cut.

    Raises:
        SmbrlError: nothing would be generated.
    """

    scene: str
    blocks: bool
    trajectories: int
    length: int
    longest: int

    def __post_init__(self) -> None:
        for name in ("trajectories", "length", "longest"):
            if getattr(self, name) < 1:
                raise SmbrlError(f"Calvin.{name} is {getattr(self, name)}: give at least 1")


def desk(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random state of drawer, door, switch and lights: the first six numbers of ``scene_obs``."""
    slider, drawer = rng.choice([0.0, 0.2], 2) * rng.uniform(0.85, 1.1, 2)
    switch, led = rng.choice([0.0, 1.0], 2)
    return np.array([slider, drawer * 0.85, 0.0, 0.086 * switch, switch, led])


def prepare(play: Play) -> Maker:
    """For `smbrl.data.generating.generate`; once in each process: the simulator takes seconds to start."""
    env = CalvinEnv(blocks=play.blocks, scene=play.scene, time_limit=play.longest + 1)

    def make(seed: int, index: int) -> Episode:
        rng = np.random.default_rng([GENERATOR, seed, index])
        while True:
            player = Player(env, begin(env, rng), rng)
            for skill in chosen(player, rng, play.length):
                player.perform(skill)
                if len(player.actions) >= play.longest:
                    break
            if not env.progress.complete:  # nobody shows the task that is to be learned
                break
        steps = min(len(player.actions), play.longest)
        return Episode(np.stack(player.observations[: steps + 1]), np.stack(player.actions[:steps]))

    return make


def begin(env: CalvinEnv, rng: np.random.Generator) -> NDArray[np.float32]:
    """Reset into a random state of the desk, blocks at random."""
    observation, _ = env.reset(seed=int(rng.integers(2**31)))
    scene = np.concatenate([desk(rng), env.simulator.observe()[21:]])
    observation, _ = env.reset(options={"scene": scene})
    return observation


def chosen(player: Player, rng: np.random.Generator, length: int) -> Iterator[str]:
    """Skills that have something to do, one after the other; wandering now and then."""
    for _ in range(length):
        useful = [name for name in CONDITIONS if not holds(player.seen, name)]
        yield str(rng.choice([*useful, "wander"]))
