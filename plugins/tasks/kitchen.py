"""The paper's Kitchen and Mis-aligned Kitchen: four sub-tasks in order, learned from demonstrations of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.kitchen_data import GENERATOR, Demonstrations, prepare
from smbrl_plugins.tasks.kitchen_env import KITCHEN, MISALIGNED, KitchenEnv, check_kitchen
from smbrl_plugins.tasks.kitchen_physics import GOALS, JOINTS, THRESHOLD
from smbrl_plugins.tasks.subtask_task import SubtaskTask

from smbrl.errors import SmbrlError
from smbrl.interfaces import Progress

MIDDLE = (
    *(-0.9, -1.5, 1.5, -2.2, 0.0, 1.2, 1.3, 0.03, 0.03),  # arm, fingers
    *(0.0, 0.0, -0.5, 0.0, 0.0, 0.0, -0.5, 0.0, -0.35, -0.025, 0.2, 0.0, 0.7, -0.4),  # mechanisms
    *(-0.25, 0.55, 1.65, 1.0, 0.0, 0.0, -0.15),  # kettle
)
HALF = (
    *(1.0, 0.5, 1.0, 0.7, 1.2, 0.8, 1.2, 0.03, 0.03),
    *(0.05, 0.05, 0.5, 0.01, 0.05, 0.01, 0.5, 0.01, 0.35, 0.025, 0.2, 0.1, 0.7, 0.4),
    *(0.15, 0.2, 0.1, 0.15, 0.15, 0.15, 0.3),
)
"""Middle and half-width of each element of the observation: the networks see ``(obs - middle) / half``."""


class Kitchen(SubtaskTask):
    """A Franka arm does sub-tasks in a kitchen, in order (the paper's section 4.1); see `KitchenEnv`.

    Observation: 30 positions (60 with the goal), action: 9 joint velocities. The defaults are the paper's task: open
    the microwave, move the kettle, turn on the bottom burner, switch on the light; +1 each, 280 steps. The offline data
    are 600 scripted trajectories of four other sub-tasks or orders each (see `kitchen_data`); they are the same for
    every list of sub-tasks.

    Args:
        subtasks: what pays 1 each, in this order: of ``microwave``, ``kettle``, ``bottom burner``, ``top burner``,
            ``light switch``, ``slide cabinet``, ``hinge cabinet``.
        goal: whether the observation has the goal behind the state (60 elements), as SPiRL saw it. There are no
            generated data of this form.
        noise: of the sensors, as a share of their amplitudes; 0.1 is D4RL's.
        time_limit: env steps of 80 ms.
        trajectories: of the offline data.
        chain: sub-tasks in each of them.
        longest: steps that an offline trajectory may have.
        data: id of a stored data set to pre-train on instead of generating one (see ``smbrl data import``).
        pixels: height of pictures.
    """

    environment = KitchenEnv
    dataset_name = "smbrl/kitchen-v1"
    generator = GENERATOR
    prepare = staticmethod(prepare)

    def __init__(
        self,
        subtasks: tuple[str, ...] = KITCHEN,
        goal: bool = False,
        noise: float = 0.1,
        time_limit: int = 280,
        trajectories: int = 600,
        chain: int = 4,
        longest: int = 450,
        data: str | None = None,
        pixels: int = 320,
    ) -> None:
        self.goal = goal
        settings = {
            "subtasks": check_kitchen(subtasks, noise, time_limit),
            "goal": goal,
            "noise": noise,
            "time_limit": time_limit,
            "pixels": pixels,
        }
        times = 2 if goal else 1
        content = Demonstrations(trajectories, chain, noise, longest)
        super().__init__(settings, JOINTS, MIDDLE * times, HALF * times, content, data)

    def completions(self, observations: NDArray[np.float32]) -> list[tuple[str, int]]:
        """Of all seven."""
        found = []
        for name, (elements, goal) in GOALS.items():
            done = np.linalg.norm(observations[:, list(elements)] - np.array(goal), axis=1) < THRESHOLD
            if done.any():
                found.append((name, int(done.argmax())))
        return sorted(found, key=lambda event: event[1])

    def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
        """Drive chains of sub-tasks (see `kitchen_data`); an interrupted generation goes on where it was."""
        if self.goal:
            raise SmbrlError(
                "Kitchen.goal = True needs data with goals, which are not generated: import some (D4RL's have 60 "
                "elements) and name them by Kitchen.data"
            )
        super().generate(path, seed=seed, workers=workers, progress=progress)


class KitchenMisaligned(Kitchen):
    """Kitchen whose sub-tasks seldom follow each other in the offline data: microwave, light, slide and hinge cabinet.

    Args:
        subtasks: see `Kitchen`, as for all others.
        goal, noise, time_limit, trajectories, chain, longest, data, pixels: see `Kitchen`.
    """

    def __init__(
        self,
        subtasks: tuple[str, ...] = MISALIGNED,
        goal: bool = False,
        noise: float = 0.1,
        time_limit: int = 280,
        trajectories: int = 600,
        chain: int = 4,
        longest: int = 450,
        data: str | None = None,
        pixels: int = 320,
    ) -> None:
        super().__init__(subtasks, goal, noise, time_limit, trajectories, chain, longest, data, pixels)
