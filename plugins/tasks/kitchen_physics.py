"""The kitchen in MuJoCo: a Franka arm before a microwave, a kettle, burners, a light and two cabinets.

Scene and meshes are those of gymnasium-robotics (FrankaKitchen-v1); this file has the numbers of the D4RL environment
that the published results were made with (Gupta et al., "Relay policy learning", CoRL 2019; Fu et al., "D4RL", 2020),
as far as the package has others. MuJoCo is driven directly, so every version of it that can load the scene works.

``qpos`` has 30 elements: 0-6 arm, 7-8 fingers, 9-16 burner knobs and plates, 17-18 light, 19 slide cabinet, 20-21 hinge
cabinet (left, right door), 22 microwave, 23-25 kettle position (m), 26-29 its quaternion. Angles in rad, slides in m.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from smbrl.errors import SmbrlError

Floats = NDArray[np.float64]

SIZE, JOINTS = 30, 9
"""Elements of the state; those of them that are the robot's."""
SUBSTEPS = 40
SECONDS = 0.08
"""Per environment step: 40 physics steps of 2 ms."""
SPEED = 2.0
"""Joint velocity that an action of 1 stands for, rad/s (fingers: m/s)."""
LOWEST = np.array([-2.9, -1.8, -2.9, -3.1, -2.9, 0.0, -2.9, 0.0, 0.0])
HIGHEST = np.array([2.9, 1.8, 2.9, 0.0, 2.9, 3.8, 2.9, 0.04, 0.04])
"""Bounds of the position targets."""
NOISE = np.repeat([0.1, 5e-3, 5e-4, 5e-3, 0.1, 5e-3, 0.1, 5e-3], [9, 2, 6, 3, 3, 3, 3, 1])
"""Amplitude of the sensors' noise at a ratio of 1, per element. As in D4RL's data; gymnasium-robotics has its object
part shifted by one element."""
_ROBOT = (0.148388023, -1.76848573, 1.84390296, -2.4768576, 0.260252026, 0.712533105, 1.59515394)
_FINGERS = (0.0479267505, 0.0371350919)
_BURNERS = (-2.6627985e-4, -5.18043486e-5, 3.1287722e-5, -4.51199853e-5, -3.90842156e-6, -4.22629655e-5, 6.28065475e-5)
_OTHERS = (4.04984708e-5, 4.62730939e-4, -2.26906415e-4, -4.65501369e-4, -6.44129196e-3, -1.77048263e-3, 1.08009684e-3)
_KETTLE = (-0.26939744, 0.350383255, 1.61944683, 1.00618764, 4.0639512e-3, -6.62095997e-3, -2.68278933e-4)
START = np.array([*_ROBOT, *_FINGERS, *_BURNERS, *_OTHERS, *_KETTLE])
"""``qpos`` at the start of an episode."""
GOALS: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "microwave": ((22,), (-0.75,)),
    "kettle": ((23, 24, 25, 26, 27, 28, 29), (-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06)),
    "bottom burner": ((11, 12), (-0.88, -0.01)),
    "top burner": ((15, 16), (-0.92, -0.01)),
    "light switch": ((17, 18), (-0.69, -0.05)),
    "slide cabinet": ((19,), (0.37,)),
    "hinge cabinet": ((20, 21), (0.0, 1.45)),
}
"""Sub-tasks: elements of ``qpos`` and their goal."""
THRESHOLD = 0.3
"""A sub-task is complete when its elements are closer to the goal than this (Euclidean)."""


def distance(qpos: Floats, name: str) -> float:
    """How far a sub-task's elements are from their goal; ``qpos (30,)``."""
    elements, goal = GOALS[name]
    return float(sum((float(qpos[i]) - g) ** 2 for i, g in zip(elements, goal, strict=True)) ** 0.5)


def holds(qpos: Floats, name: str) -> bool:
    """Whether a sub-task is complete in this state ``(30,)``."""
    return distance(qpos, name) < THRESHOLD


def goal_vector(names: tuple[str, ...]) -> Floats:
    """D4RL's goal ``(30,)``: the sub-tasks' elements at their goals, zero elsewhere."""
    goal = np.zeros(SIZE)
    for name in names:
        elements, values = GOALS[name]
        goal[list(elements)] = values
    return goal


def scene() -> Path:
    """The scene's MJCF file.

    Raises:
        SmbrlError: gymnasium-robotics is not installed, or without the scene.
    """
    found = find_spec("gymnasium_robotics")  # not imported: that would register a hundred environments
    for folder in (found.submodule_search_locations or []) if found else []:
        file = Path(folder, "envs", "assets", "kitchen_franka", "kitchen_assets", "kitchen_env_model.xml")
        if file.is_file():
            return file
    raise SmbrlError(
        "the kitchen's scene was not found: install gymnasium-robotics 1.3 or later (pip install gymnasium-robotics)"
    )


@lru_cache(maxsize=1)
def model() -> mujoco.MjModel:
    """The compiled scene; all environments of a process share it (it is never written to). Takes seconds."""
    compiled = mujoco.MjModel.from_xml_path(str(scene()))
    if (compiled.nq, compiled.nv, compiled.nu) != (SIZE, SIZE - 1, JOINTS):
        raise SmbrlError(
            f"the kitchen's scene has {compiled.nq} positions and {compiled.nu} actuators, expected {SIZE} and "
            f"{JOINTS}: install gymnasium-robotics 1.3 or 1.4"
        )
    return compiled
