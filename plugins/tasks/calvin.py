"""The paper's CALVIN task on the official simulator, learned from play."""

from __future__ import annotations

from math import pi

import gymnasium
import numpy as np
from smbrl_plugins.tasks.calvin_env import (
    ACTION,
    BOUND,
    ORDER,
    CalvinEnv,
    check_calvin,
)
from smbrl_plugins.tasks.calvin_play import GENERATOR, Play, prepare
from smbrl_plugins.tasks.subtask_task import Floats, SubtaskTask

HOME = (-1.2, 1.0, 2.1, -2.3, -0.9, 1.6, 0.6)
MIDDLE = (0.0, -0.2, 0.56, 0.0, 0.0, pi / 2, 0.04, *HOME, 0.0, 0.14, 0.11, 0.01, 0.044, 0.5, 0.5)
HALF = (0.35, 0.3, 0.24, pi, 0.5, 1.2, 0.04, *(1.0,) * 7, 1.0, 0.14, 0.11, 0.01, 0.044, 0.5, 0.5)
"""Middle and half-width of each element of the observation: the networks see ``(obs - middle) / half``."""
BLOCK_MIDDLE, BLOCK_HALF = (0.0, -0.07, 0.5, 0.0, 0.0, 0.0), (0.3, 0.2, 0.1, pi, pi / 2, pi)
BLOCKS = 3


class Calvin(SubtaskTask):
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

    environment = CalvinEnv
    dataset_name = "smbrl/calvin-v1"
    generator = GENERATOR
    prepare = staticmethod(prepare)
    chunk = 8
    engine = "pybullet"

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
        settings = {
            "subtasks": check_calvin(subtasks, scene, time_limit),
            "blocks": blocks,
            "scene": scene,
            "time_limit": time_limit,
            "pixels": pixels,
        }
        middle = MIDDLE + (BLOCK_MIDDLE * BLOCKS if blocks else ())
        half = HALF + (BLOCK_HALF * BLOCKS if blocks else ())
        super().__init__(settings, ACTION, middle, half, Play(scene, blocks, trajectories, length, longest), data)

    def spaces(self) -> tuple[gymnasium.Space[Floats], gymnasium.Space[Floats]]:
        """Of observations and actions; a simulator would take seconds to start."""
        observations = gymnasium.spaces.Box(-BOUND, BOUND, (self.spec.observation,), np.float32)
        return observations, gymnasium.spaces.Box(-1.0, 1.0, (ACTION,), np.float32)
