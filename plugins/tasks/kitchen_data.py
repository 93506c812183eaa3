"""Offline data of the kitchen: scripted chains of four sub-tasks, in the manner of the teleoperated data.

A chain is a walk over the seven sub-tasks without repetition. The transitions that make up Kitchen (microwave - kettle
- bottom burner - light switch) are common, those of Mis-aligned Kitchen (microwave - light switch - slide cabinet) are
rare, and no trajectory completes either task: as in the data that the paper used. Each trajectory has its own style
(speed, posture at the start, noise); one in which a sub-task fails is driven again with another.

Trajectory i depends on (seed, i) alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from smbrl_plugins.tasks.in_order import InOrder
from smbrl_plugins.tasks.kitchen_arm import Arm, OverError, Style
from smbrl_plugins.tasks.kitchen_env import KITCHEN, MISALIGNED, KitchenEnv
from smbrl_plugins.tasks.kitchen_physics import GOALS, START, holds
from smbrl_plugins.tasks.kitchen_skills import SKILLS

from smbrl.data.files import Episode
from smbrl.data.generating import Maker
from smbrl.errors import SmbrlError

GENERATOR = 2
"""Version of this file's output; raise it when the bytes change."""
NAMES = tuple(GOALS)
FIRST = {"microwave": 3.0, "kettle": 3.0}
"""Weights of a chain's first sub-task; 1 for the others."""
COMMON, RARE, OTHER = 6.0, 0.4, 1.0
TRANSITIONS = {
    ("microwave", "kettle"): COMMON,
    ("kettle", "bottom burner"): COMMON,
    ("bottom burner", "light switch"): COMMON,
    ("microwave", "light switch"): RARE,
    ("light switch", "slide cabinet"): RARE,
}
"""Weights of what follows what; OTHER for all other pairs."""
BEHIND = {"slide cabinet": "hinge cabinet"}
"""Not after these: the open hinge cabinet stands before the handle of the slide cabinet (people left it last, too)."""
ATTEMPTS, CHAINS = 10, 5
"""At a chain before another is drawn, and how many are drawn before it is said that none works."""
LONGEST_CHAIN = 5


@dataclass(frozen=True)
class Demonstrations:
    """What to generate.

    Attributes:
        trajectories: how many.
        chain: sub-tasks in each.
        noise: of the environment's sensors.
        longest: steps that a trajectory may have; a slower one is driven again.
        speed: least and greatest factor on the speed of movements, drawn per trajectory.
        tremor: greatest standard deviation of the noise on actions.
        sway: standard deviation of the posture at the start, rad.
    """

    trajectories: int = 600
    chain: int = 4
    noise: float = 0.1
    longest: int = 450
    speed: tuple[float, float] = (0.9, 1.3)
    tremor: float = 0.03
    sway: float = 0.025

    def __post_init__(self) -> None:
        if self.trajectories < 1:
            raise SmbrlError(f"kitchen data of {self.trajectories} trajectories: give at least 1")
        if not 1 <= self.chain <= LONGEST_CHAIN:
            raise SmbrlError(
                f"kitchen data with chains of {self.chain} sub-tasks: give 1 to {LONGEST_CHAIN}; longer ones complete "
                "one of the paper's tasks"
            )


def draw_chain(rng: np.random.Generator, length: int) -> tuple[str, ...]:
    """A chain; never one that has all sub-tasks of Kitchen or of Mis-aligned Kitchen."""
    while True:
        weights = np.array([FIRST.get(name, 1.0) for name in NAMES])
        chain: list[str] = []
        while len(chain) < length:
            chain.append(NAMES[rng.choice(len(NAMES), p=weights / weights.sum())])
            weights = np.array([_weight(chain, name) for name in NAMES])
        # done in whatever order, a task's last sub-task would complete it
        if not any(set(task) <= set(chain) for task in (KITCHEN, MISALIGNED)):
            return tuple(chain)


def _weight(chain: list[str], name: str) -> float:
    """Of ``name`` as the next sub-task."""
    if name in chain or BEHIND.get(name) in chain:
        return 0.0
    return TRANSITIONS.get((chain[-1], name), OTHER)


def draw_style(rng: np.random.Generator, what: Demonstrations) -> Style:
    """How one trajectory is driven."""
    return Style(
        speed=float(rng.uniform(*what.speed)),
        wander=float(rng.uniform(0.0, 0.025)),
        tremor=float(rng.uniform(0.0, what.tremor)),
        sway=what.sway,
        overshoot=float(rng.uniform(1.0, 1.15)),
    )


@dataclass(frozen=True)
class Drive:
    """A trajectory and what it achieved.

    Attributes:
        completed: for each sub-task of the chain whether its condition held when its skill was over.
        ends: steps after which each skill was over.
        forbidden: Kitchen or Mis-aligned Kitchen was completed on the way.
    """

    episode: Episode
    completed: tuple[bool, ...]
    ends: tuple[int, ...]
    forbidden: bool

    @property
    def good(self) -> bool:
        """Fit to be stored."""
        return all(self.completed) and not self.forbidden


class Driver:
    """Makes trajectories, one at a time."""

    def __init__(self, what: Demonstrations) -> None:
        self.what = what
        self.env = KitchenEnv(NAMES, noise=what.noise, time_limit=what.longest + 1)

    def drive(self, chain: tuple[str, ...], style: Style, rng: np.random.Generator, homing: bool = True) -> Drive:
        """One chain in one style; what fails, fails."""
        env = self.env
        qpos = START.copy()
        qpos[:7] += style.sway * rng.standard_normal(7)
        observation, _ = env.reset(seed=int(rng.integers(2**31)), options={"qpos": qpos})
        arm = Arm(env, observation, rng, style, self.what.longest)
        completed: list[bool] = []
        ends: list[int] = []
        try:
            for name in chain:
                if homing and arm.steps:
                    arm.home()
                SKILLS[name](arm)
                completed.append(holds(env.data.qpos, name))
                ends.append(arm.steps)
        except OverError:
            completed += [False] * (len(chain) - len(completed))
        episode = Episode(np.stack(arm.observations), np.stack(arm.actions))
        return Drive(episode, tuple(completed), tuple(ends), _forbidden(episode))

    def trajectory(self, seed: int, index: int) -> Episode:
        """Trajectory ``index`` of the data set with this seed."""
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        for _ in range(CHAINS):
            chain = draw_chain(rng, self.what.chain)
            for _ in range(ATTEMPTS):
                found = self.drive(chain, draw_style(rng, self.what), rng)
                if found.good:
                    return found.episode
        raise SmbrlError(
            f"{CHAINS} kitchen chains failed {ATTEMPTS} times each: give Kitchen.longest more steps, or less noise"
        )


def _forbidden(episode: Episode) -> bool:
    """Whether the observations show one of the paper's tasks completed, in order."""
    for task in (KITCHEN, MISALIGNED):
        progress = InOrder(task)
        for row in episode.obs.astype(np.float64):
            progress.update(lambda name, row=row: holds(row, name), 0)  # type: ignore[misc]
        if progress.complete:
            return True
    return False


def prepare(what: Demonstrations) -> Maker:
    """For `smbrl.data.generating.generate`."""
    return Driver(what).trajectory
