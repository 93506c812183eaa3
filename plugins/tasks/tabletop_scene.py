"""The desk and the arm as a MuJoCo model: what ``assets/tabletop.xml`` holds, by name and number.

The physics need no meshes, so environments load the scene without them. Pictures load it with the Franka Panda's
meshes, which the package gymnasium-robotics brings along.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from smbrl.errors import SmbrlError

Vector = NDArray[np.float64]

RATE = 30
"""Env steps a second."""
ARM = tuple(f"joint{number}" for number in range(1, 8))
MOVABLES = ("slider", "drawer", "button", "switch")
"""Joints of the desk, in the order of the observation; metres from where each episode begins."""
BLOCKS = ("block_red", "block_blue", "block_pink")
RANGES = {"slider": 0.24, "drawer": 0.2, "button": 0.016, "switch": 0.09}
"""Travel of the desk's joints, metres, as in the scene."""
BULB_AT = 0.045
"""The lever's position from which on the bulb glows, metres: half its way."""
PRESSED, RELEASED = 0.009, 0.004
"""The button's depth that counts as a press, and to which it must come back before the next; metres."""
HOME = (0.697, -0.65, 0.04, -2.515, 0.025, 1.865, -0.064)
"""Joint angles an episode begins with: the gripper points down, above the middle of the desk."""
OPEN = 0.04
"""Way of one finger, metres."""
DESK = (-0.27, 0.2, -0.11, 0.0)
"""Where blocks are put: x from, x to, y from, y to; metres."""
TOP = 0.46
"""Height of the desk, metres."""
CLEAR = ((-0.16, -0.07, 0.075),)
"""Discs (x, y, radius) where no block is put: the button."""


@cache
def _source() -> str:
    return (files("smbrl_plugins.tasks") / "assets" / "tabletop.xml").read_text(encoding="utf-8")


@cache
def physics_model() -> mujoco.MjModel:
    """The scene without what is only looked at; shared, never to be changed."""
    root = ElementTree.fromstring(_source())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "mesh" or (child.tag == "geom" and child.get("class") in ("look", "shell")):
                parent.remove(child)
    return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))


@cache
def arm_model() -> mujoco.MjModel:
    """The arm alone, for inverse kinematics."""
    root = ElementTree.fromstring(_source())
    world = root.find("worldbody")
    assert world is not None
    for child in list(world):
        if child.get("name") != "link0":
            world.remove(child)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("mesh", "actuator", "equality") or (child.tag == "geom" and parent.tag == "body"):
                parent.remove(child)
    for parent in list(root.iter("body")):  # the fingers are no part of it
        for child in list(parent):
            if child.tag == "body" and child.get("name") in ("left_finger", "right_finger"):
                parent.remove(child)
    return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))


def drawn_model() -> mujoco.MjModel:
    """The scene with everything that is looked at; a new one, whose lamps may be switched.

    Raises:
        SmbrlError: gymnasium-robotics, which has the meshes of the arm, is not installed.
    """
    found = find_spec("gymnasium_robotics")
    if found is None or not found.submodule_search_locations:
        raise SmbrlError(
            "pictures of the tabletop need the Panda's meshes, found no package gymnasium-robotics: "
            "pip install gymnasium-robotics"
        )
    folder = Path(found.submodule_search_locations[0]) / "envs/assets/kitchen_franka/franka_assets/meshes"
    meshes = {f"visual/{path.name}": path.read_bytes() for path in sorted((folder / "visual").glob("*.stl"))}
    missing = [name for name in ("link0", "link7", "hand", "finger") if f"visual/{name}.stl" not in meshes]
    if missing:
        raise SmbrlError(f"gymnasium-robotics has no mesh {missing[0]}.stl in {folder}: install version 1.3 or 1.4")
    return mujoco.MjModel.from_xml_string(_source(), meshes)


def light(model: mujoco.MjModel, bulb: bool, led: bool) -> None:
    """Switch the lamps of a model that is drawn."""
    for name, on, colours in (
        ("bulb", bulb, ((0.52, 0.5, 0.44), (1.0, 0.8, 0.25))),
        ("led", led, ((0.13, 0.27, 0.16), (0.1, 0.9, 0.2))),
    ):
        material = model.material(name).id
        model.mat_rgba[material, :3] = colours[on]
        model.mat_emission[material] = 0.7 if on else 0.0
    model.light_active[model.light("glow").id] = bulb


@dataclass(frozen=True)
class Places:
    """Where things are in MuJoCo's arrays.

    Attributes:
        arm, arm_speed: of the seven joints, in qpos and qvel.
        fingers: in qpos.
        movables, movable_speeds: of ``MOVABLES``, in qpos and qvel.
        blocks, block_speeds: first of the seven in qpos and of the six in qvel, of ``BLOCKS``.
        tcp: site between the finger tips.
    """

    arm: slice
    arm_speed: slice
    fingers: tuple[int, int]
    movables: tuple[int, ...]
    movable_speeds: tuple[int, ...]
    blocks: tuple[int, ...]
    block_speeds: tuple[int, ...]
    tcp: int

    @classmethod
    def of(cls, model: mujoco.MjModel) -> Places:
        """Look the names up."""

        def position(name: str) -> int:
            return int(model.joint(name).qposadr[0])

        def speed(name: str) -> int:
            return int(model.joint(name).dofadr[0])

        return cls(
            slice(position(ARM[0]), position(ARM[0]) + 7),
            slice(speed(ARM[0]), speed(ARM[0]) + 7),
            (position("left_finger"), position("right_finger")),
            tuple(map(position, MOVABLES)),
            tuple(map(speed, MOVABLES)),
            tuple(map(position, BLOCKS)),
            tuple(map(speed, BLOCKS)),
            int(model.site("tcp").id),
        )


def scatter_blocks(rng: np.random.Generator) -> Vector:
    """Where the three blocks of an episode lie: x, y, turn about z, ``(3, 3)``; they touch nothing."""
    placed: list[tuple[float, float, float]] = []
    while len(placed) < len(BLOCKS):
        x, y = float(rng.uniform(*DESK[:2])), float(rng.uniform(*DESK[2:]))
        turn = float(rng.uniform(-0.8, 0.8))
        near_part = any(np.hypot(x - cx, y - cy) < radius for cx, cy, radius in CLEAR)
        if not near_part and all(np.hypot(x - other[0], y - other[1]) > 0.09 for other in placed):
            placed.append((x, y, turn))
    return np.array(placed)


def checked(name: str, value: Any) -> float:
    """A position of one of the desk's joints.

    Raises:
        SmbrlError: it is no number, or beyond the joint's travel.
    """
    if not isinstance(value, (int, float, np.floating, np.integer)) or not 0.0 <= value <= RANGES[name]:
        raise SmbrlError(f"tabletop reset option {name} is {value!r}: give 0 to {RANGES[name]} metres")
    return float(value)
