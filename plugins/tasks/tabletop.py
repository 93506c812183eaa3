"""The tabletop task: four things to do at a desk, in order, learned from play."""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.in_order import check_subtasks
from smbrl_plugins.tasks.subtask_task import SubtaskTask
from smbrl_plugins.tasks.tabletop_data import GENERATOR, Play, prepare
from smbrl_plugins.tasks.tabletop_env import (
    CONDITIONS,
    OPENED,
    ORDER,
    SLID,
    TabletopEnv,
    check_outcome,
)
from smbrl_plugins.tasks.tabletop_scene import BLOCKS, HOME, MOVABLES, RANGES

MIDDLE = (0.0, -0.2, 0.56, pi, 0.0, pi / 2, 0.04, *HOME, 0.0, *(RANGES[name] / 2 for name in MOVABLES), 0.5, 0.5)
HALF = (0.35, 0.3, 0.24, 0.5, 0.5, 1.2, 0.04, *(1.0,) * 7, 1.0, *(RANGES[name] / 2 for name in MOVABLES), 0.5, 0.5)
"""Middle and half-width of each element of the observation: the networks see ``(obs - middle) / half``."""
BLOCK_MIDDLE, BLOCK_HALF = (0.0, -0.07, 0.5, 0.0, 0.0, 0.0), (0.3, 0.2, 0.1, pi, pi / 2, pi)


class Tabletop(SubtaskTask):
    """Open a drawer, switch a lamp on, slide a door to the left and press a button, with a Franka Panda.

    Our own scene in place of CALVIN's (the paper's section 4.1): its observation layout, actions, sub-tasks, thresholds
    and time limit, from packages of PyPI alone; see `TabletopEnv` for the environment. The offline data are 1,239
    trajectories of scripted play.

    Args:
        subtasks: what pays 1 each, in this order: ``open drawer``, ``close drawer``, ``bulb on``, ``bulb off``,
            ``slider left``, ``slider right``, ``LED on``, ``LED off``.
        blocks: whether the observation tells where the blocks are (39 elements) or not (21, as the paper's).
        time_limit: env steps (30 Hz).
        noise: half-width of the noise on the first joint angles, radians.
        trajectories: of the offline data.
        shortest, longest: env steps of an offline trajectory.
        data: id of a stored data set to pre-train on instead of generating one (see ``smbrl data import``).
        pixels: height of pictures.
    """

    environment = TabletopEnv
    dataset_name = "smbrl/tabletop-v1"
    generator = GENERATOR
    prepare = staticmethod(prepare)

    def __init__(
        self,
        subtasks: tuple[str, ...] = ORDER,
        blocks: bool = False,
        time_limit: int = 360,
        noise: float = 0.02,
        trajectories: int = 1239,
        shortest: int = 300,
        longest: int = 500,
        data: str | None = None,
        pixels: int = 480,
    ) -> None:
        check_outcome(time_limit, noise)
        settings = {
            "subtasks": check_subtasks("Tabletop", subtasks, CONDITIONS),
            "blocks": blocks,
            "time_limit": time_limit,
            "noise": noise,
            "pixels": pixels,
        }
        middle = MIDDLE + (BLOCK_MIDDLE * len(BLOCKS) if blocks else ())
        half = HALF + (BLOCK_HALF * len(BLOCKS) if blocks else ())
        super().__init__(settings, 7, middle, half, Play(trajectories, shortest, longest, blocks), data)

    def completions(self, observations: NDArray[np.float32]) -> list[tuple[str, int]]:
        """Of all eight, each time that one comes about: in play the same thing is done and undone."""
        slider, drawer, bulb, led = observations[:, [15, 16, 19, 20]].T
        conditions = {
            "open drawer": drawer >= OPENED,
            "close drawer": drawer <= RANGES["drawer"] - OPENED,
            "bulb on": bulb > 0.5,
            "bulb off": bulb < 0.5,
            "slider left": slider >= SLID,
            "slider right": slider <= RANGES["slider"] - SLID,
            "LED on": led > 0.5,
            "LED off": led < 0.5,
        }
        found = [
            (name, int(step) + 1)
            for name, holds in conditions.items()
            for step in np.flatnonzero(holds[1:] & ~holds[:-1])
        ]
        return sorted(found, key=lambda event: event[1])
