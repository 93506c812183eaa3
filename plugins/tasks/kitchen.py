"""The paper's Kitchen and Mis-aligned Kitchen: four sub-tasks in order, learned from demonstrations of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.kitchen_data import GENERATOR, Demonstrations, maker
from smbrl_plugins.tasks.kitchen_env import KITCHEN, MISALIGNED, KitchenEnv, check_kitchen
from smbrl_plugins.tasks.kitchen_physics import GOALS, JOINTS, SIZE, THRESHOLD

from smbrl.data.files import write_episodes
from smbrl.data.generating import generate
from smbrl.errors import SmbrlError
from smbrl.interfaces import DatasetRequest, Progress, Task, TaskSpec

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


class Kitchen(Task):
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
        self._names = check_kitchen(subtasks, noise, time_limit)
        self._settings: dict[str, Any] = {
            "subtasks": self._names,
            "goal": goal,
            "noise": noise,
            "time_limit": time_limit,
            "pixels": pixels,
        }
        self.demonstrations = Demonstrations(trajectories, chain, noise, longest)
        self._data = data
        times = 2 if goal else 1
        self._spec = TaskSpec(
            observation=times * SIZE,
            action=JOINTS,
            shift=tuple(-m / h for m, h in zip(MIDDLE, HALF, strict=True)) * times,
            scale=tuple(1.0 / h for h in HALF) * times,
            time_limit=time_limit,
        )

    @property
    def spec(self) -> TaskSpec:
        """Shapes, and each element brought to about [-1, 1]."""
        return self._spec

    @property
    def subtasks(self) -> tuple[str, ...]:
        """In their order."""
        return self._names

    def completions(self, observations: NDArray[np.float32]) -> list[tuple[str, int]]:
        """Of all seven."""
        found = []
        for name, (elements, goal) in GOALS.items():
            done = np.linalg.norm(observations[:, list(elements)] - np.array(goal), axis=1) < THRESHOLD
            if done.any():
                found.append((name, int(done.argmax())))
        return sorted(found, key=lambda event: event[1])

    def make(self, render_mode: str | None = None) -> KitchenEnv:
        """One environment."""
        return KitchenEnv(**self._settings, render_mode=render_mode)

    def dataset(self) -> DatasetRequest:
        """Chains of sub-tasks: depends neither on this task's sub-tasks nor on its time limit."""
        what = self.demonstrations
        return DatasetRequest(
            name="smbrl/kitchen-v1",
            parameters={
                "generator": GENERATOR,
                "trajectories": what.trajectories,
                "chain": what.chain,
                "noise": what.noise,
                "longest": what.longest,
                "speed": list(what.speed),
                "tremor": what.tremor,
                "sway": what.sway,
            },
            stored=self._data,
        )

    def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
        """Drive chains of sub-tasks (see `kitchen_data`); an interrupted generation goes on where it was."""
        if self._settings["goal"]:
            raise SmbrlError(
                "Kitchen.goal = True needs data with goals, which are not generated: import some (D4RL's have 60 "
                "elements) and name them by Kitchen.data"
            )
        what = self.demonstrations
        # what another MuJoCo made is not mixed with what this one makes
        parts = path.with_name("parts") / f"mujoco-{mujoco.__version__}"
        episodes = generate(
            maker(what), what.trajectories, seed=seed, workers=workers, progress=progress, parts=parts, chunk=4
        )
        env = self.make()
        write_episodes(path, episodes, env.observation_space, env.action_space)


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
