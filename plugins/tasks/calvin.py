"""The paper's CALVIN task on the official simulator, learned from play."""

from __future__ import annotations

from math import pi
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from smbrl_plugins.tasks.calvin_env import (
    ACTION,
    BOUND,
    ORDER,
    STATE,
    STATE_WITH_BLOCKS,
    CalvinEnv,
    check_calvin,
)
from smbrl_plugins.tasks.calvin_play import GENERATOR, Play, play_episodes

from smbrl.data.files import write_episodes
from smbrl.interfaces import DatasetRequest, Progress, Task, TaskSpec

HOME = (-1.2, 1.0, 2.1, -2.3, -0.9, 1.6, 0.6)
MIDDLE = (0.0, -0.2, 0.56, 0.0, 0.0, pi / 2, 0.04, *HOME, 0.0, 0.14, 0.11, 0.01, 0.044, 0.5, 0.5)
HALF = (0.35, 0.3, 0.24, pi, 0.5, 1.2, 0.04, *(1.0,) * 7, 1.0, 0.14, 0.11, 0.01, 0.044, 0.5, 0.5)
"""Middle and half-width of each element of the observation: the networks see ``(obs - middle) / half``."""
BLOCK_MIDDLE, BLOCK_HALF = (0.0, -0.07, 0.5, 0.0, 0.0, 0.0), (0.3, 0.2, 0.1, pi, pi / 2, pi)
BLOCKS = 3


class Calvin(Task):
    """Open a drawer, switch a bulb on, slide a door to the left and press a button, with a Franka Panda.

    The SkiMo paper's section 4.1 on the official simulator, which must be installed by hand (it is not on PyPI); see
    `CalvinEnv` for the environment. The paper's data, 1,239 trajectories of teleoperated play, come only from CALVIN's
    own download (``smbrl data import FOLDER`` reads it); generated are as many of scripted play.

    Args:
        subtasks: what pays 1 each, in this order: ``open drawer``, ``close drawer``, ``bulb on``, ``bulb off``,
            ``slider left``, ``slider right``, ``LED on``, ``LED off``.
        blocks: whether the observation tells where the blocks are (39 elements) or not (21, as the paper's).
        scene: ``calvin_scene_A`` to ``calvin_scene_D``; the scripted play knows D's desk.
        time_limit: env steps (30 Hz).
        trajectories: of the offline data.
        length: skills in an offline trajectory.
        longest: env steps after which an offline trajectory is cut.
        data: id of a stored data set to pre-train on instead of generating one (see ``smbrl data import``).
        pixels: height of pictures.
    """

    def __init__(
        self,
        subtasks: tuple[str, ...] = ORDER,
        blocks: bool = False,
        scene: str = "calvin_scene_D",
        time_limit: int = 360,
        trajectories: int = 1239,
        length: int = 5,
        longest: int = 500,
        data: str | None = None,
        pixels: int = 360,
    ) -> None:
        self._names = check_calvin(subtasks, scene, time_limit)
        self._settings: dict[str, Any] = {
            "subtasks": self._names,
            "blocks": blocks,
            "scene": scene,
            "time_limit": time_limit,
            "pixels": pixels,
        }
        self.play = Play(scene, blocks, trajectories, length, longest)
        self._data = data
        middle = MIDDLE + (BLOCK_MIDDLE * BLOCKS if blocks else ())
        half = HALF + (BLOCK_HALF * BLOCKS if blocks else ())
        self._spec = TaskSpec(
            observation=STATE_WITH_BLOCKS if blocks else STATE,
            action=ACTION,
            shift=tuple(-m / h for m, h in zip(middle, half, strict=True)),
            scale=tuple(1.0 / h for h in half),
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

    def make(self, render_mode: str | None = None) -> CalvinEnv:
        """One environment.

        Raises:
            SmbrlError: the simulator is not installed.
        """
        return CalvinEnv(**self._settings, render_mode=render_mode)

    def dataset(self) -> DatasetRequest:
        """Play: depends neither on the sub-tasks nor on the time limit."""
        play = self.play
        return DatasetRequest(
            name="smbrl/calvin-v1",
            parameters={
                "generator": GENERATOR,
                "scene": play.scene,
                "blocks": play.blocks,
                "trajectories": play.trajectories,
                "length": play.length,
                "longest": play.longest,
            },
            stored=self._data,
        )

    def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
        """Play (see `smbrl_plugins.tasks.calvin_play`); an interrupted generation goes on where it was.

        Raises:
            SmbrlError: the simulator is not installed.
        """
        parts = path.with_name("parts")
        episodes = play_episodes(self.play, seed=seed, workers=workers, progress=progress, parts=parts)
        spaces = [
            gymnasium.spaces.Box(-bound, bound, (size,), np.float32)
            for bound, size in ((BOUND, self.spec.observation), (1.0, ACTION))
        ]
        write_episodes(path, episodes, *spaces)
