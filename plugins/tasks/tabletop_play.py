"""Scripted play at the desk: what a hand that likes to try things would do, one thing after the other.

A `Player` knows the skills of ``SKILLS``: drawer, door and lever to and fro, the button, pushing and lifting blocks,
and just moving about. Each is a few way-points (see `tabletop_moves`). Its `Style`, drawn anew for each skill, sets
speed, noise, heights, tilt and how far things are moved, so that no two performances are alike.
"""

from __future__ import annotations

from math import atan2, hypot, pi

import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.tabletop_env import TabletopEnv
from smbrl_plugins.tasks.tabletop_moves import Done, Mover, Style
from smbrl_plugins.tasks.tabletop_scene import RANGES, TOP

from smbrl.errors import SmbrlError

SKILLS = (
    "open drawer",
    "close drawer",
    "slider left",
    "slider right",
    "bulb on",
    "bulb off",
    "press button",
    "push block",
    "lift block",
    "wander",
)
HANDLE_Y, HANDLE_X, HANDLE_Z = -0.239, 0.16, 0.375
"""The closed drawer's handle."""
GAP = 0.036
"""From the middle of the handle to the middle of the gap behind it."""
DOOR_X, DOOR_Y, DOOR_Z = 0.03, 0.014, 0.53
"""The closed door's handle, as touched."""
LEVER_X, LEVER_Y, LEVER_Z = 0.29, -0.075, 0.505
BUTTON_X, BUTTON_Y = -0.16, -0.07
FREE = (-0.3, 0.22, -0.3, 0.0, 0.54, 0.7)
"""Box in which the gripper may wander: x, y, z from and to."""
SURFACE = (-0.24, 0.17, -0.105, -0.02)
"""Where blocks are brought: x from and to, y from and to."""


class Player(Mover):
    """Performs skills, one after the other."""

    def play(self, skill: str) -> bool:
        """Perform a skill in a new style; whether what it is for came about.

        Raises:
            Over: the trajectory has its length.
            SmbrlError: no such skill.
        """
        known = {
            "open drawer": self._open_drawer,
            "close drawer": self._close_drawer,
            "slider left": self._slider_left,
            "slider right": self._slider_right,
            "bulb on": self._bulb_on,
            "bulb off": self._bulb_off,
            "press button": self._press,
            "push block": self._push_block,
            "lift block": self._lift_block,
            "wander": self._wander,
        }
        if skill not in known:
            raise SmbrlError(f"no tabletop skill {skill!r}: {', '.join(SKILLS)} are known")
        self.style = Style.draw(self.rng)
        return known[skill]()

    def sensible(self) -> list[str]:
        """Skills that would change something now."""
        names = ["press button", "wander"]
        names.append("close drawer" if self.drawer > 0.1 else "open drawer")
        names.append("slider right" if self.slider > 0.12 else "slider left")
        names.append("bulb off" if self.lever > 0.045 else "bulb on")
        if self._blocks():
            names.append("push block")
        if self.graspable():
            names.append("lift block")
        return names

    def _blocks(self) -> list[int]:
        """Blocks that lie upright on the desk, within reach, with room for the fingers."""
        places = [self._block(number) for number in range(3)]
        found = []
        for number, (x, y, z, _) in enumerate(places):
            upright = abs(((self.obs[24 + 6 * number] + pi / 2) % pi) - pi / 2) < 0.2
            near = any(hypot(x - ox, y - oy) < 0.1 for other, (ox, oy, _, _) in enumerate(places) if other != number)
            on_desk = abs(z - TOP - 0.024) < 0.008 and -0.27 < x < 0.18 and -0.16 < y < 0.0
            behind = y > -0.04 and abs(x - DOOR_X + self.slider) < 0.13  # the hand would meet the door's handle
            if upright and on_desk and not near and not behind:
                found.append(number)
        return found

    def _grasp(self, number: int) -> float:
        """Yaw of a gripper that takes a block by two of its sides."""
        around = pi if number == 1 else pi / 2  # the blue block is too long to be grasped the other way
        return pi / 2 + (self._block(number)[3] + around / 2) % around - around / 2

    def graspable(self) -> list[int]:
        """Blocks that can be grasped without the hand, which is 20 cm wide, meeting the cabinet."""
        return [
            number
            for number in self._blocks()
            if self._block(number)[1] + 0.1 * abs(np.cos(self._grasp(number))) < -0.01
        ]

    # -- skills

    def _open_drawer(self) -> bool:
        self._fingers()
        style = self.style
        x = HANDLE_X + (0.02 if style.open else 0.045) * style.offset
        y = HANDLE_Y - self.drawer + GAP
        yaw = pi / 2 + 0.4 * style.turn
        self._travel(x, y, yaw)
        self._go((x, y, 0.47), within=0.012, yaw=yaw, straight=True)
        self._go((x, y, HANDLE_Z - 0.003), within=0.01, yaw=yaw, straight=True, speed=0.8, most=30)
        goal = 0.135 + 0.05 * style.extent
        self._go(
            (x, HANDLE_Y - goal - 0.05, HANDLE_Z - 0.003), until=lambda: self.drawer > goal, yaw=yaw, straight=True
        )
        opened = self.drawer > 0.12
        self._go((x, float(self.obs[1]) + 0.012, 0.46), within=0.03, yaw=yaw, straight=True, most=25)
        return opened

    def _close_drawer(self) -> bool:
        self._fingers()
        style = self.style
        x = HANDLE_X + 0.04 * style.offset
        y = HANDLE_Y - self.drawer - 0.055
        self._travel(x, y)
        self._go((x, y, HANDLE_Z), within=0.02, straight=True, most=40)
        goal = 0.005 + 0.04 * (1.0 - style.extent)
        self._go((x, HANDLE_Y + 0.06, HANDLE_Z), until=lambda: self.drawer < goal, straight=True)
        closed = self.drawer < 0.06
        x, y, _ = self.obs[:3].tolist()
        self._go((x, y - 0.06, 0.45), within=0.035, most=25)
        return closed

    def _slide(self, side: float, until: Done, end: float) -> None:
        """Push the door's handle towards ``-side`` (1: from the right, -1: from the left)."""
        self._fingers(may_open=False)
        z = DOOR_Z + 0.006 * self.style.offset
        x = DOOR_X - self.slider + side * 0.055
        yaw = pi / 2 + 0.3 * self.style.turn
        self._travel(x, -0.06, yaw)
        self._go((x, -0.06, z), within=0.02, yaw=yaw, straight=True, most=30)
        self._go((x, DOOR_Y, z), within=0.012, yaw=yaw, straight=True, most=30)
        self._go((DOOR_X - end, DOOR_Y, z), until=until, yaw=yaw, straight=True, most=70)

    def _slider_left(self) -> bool:
        goal = 0.165 + 0.06 * self.style.extent
        self._slide(1.0, lambda: self.slider > goal, goal + 0.06)
        moved = self.slider > 0.15
        self._rise(0.06)
        return moved

    def _slider_right(self) -> bool:
        goal = 0.075 - 0.06 * self.style.extent
        self._slide(-1.0, lambda: self.slider < goal, goal - 0.06)
        moved = self.slider < 0.09
        self._rise(0.06)
        return moved

    def _flip(self, side: float, until: Done) -> None:
        """Push the lever away from ``side`` (-1: from the front, 1: from the back)."""
        self._fingers(may_open=False)
        y = LEVER_Y + self.lever + side * 0.05
        x, z = LEVER_X + 0.006 * self.style.offset, LEVER_Z + 0.006
        self._travel(x, y)
        self._go((x, y, z), within=0.015, straight=True, most=40)
        self._go((x, LEVER_Y + 0.045 - side * 0.09, z), until=until, straight=True, speed=0.8, most=40)

    def _bulb_on(self) -> bool:
        goal = 0.055 + 0.03 * self.style.extent
        self._flip(-1.0, lambda: self.lever > goal)
        lit = self.lever > 0.045
        self._rise(0.02)
        return lit

    def _bulb_off(self) -> bool:
        goal = 0.035 - 0.03 * self.style.extent
        self._flip(1.0, lambda: self.lever < goal)
        dark = self.lever <= 0.045
        self._rise(0.0)
        return dark

    def _press(self) -> bool:
        self._fingers(may_open=False)
        x, y = BUTTON_X + 0.008 * self.style.offset, BUTTON_Y + 0.008 * self.style.tilt[0] / 0.15
        before = bool(self.obs[20] > 0.5)
        self._travel(x, y)
        self._go((x, y, 0.535), within=0.015, most=25)
        self._go((x, y, 0.475), until=lambda: bool(self.obs[20] > 0.5) != before, speed=0.7, most=30)
        pressed = bool(self.obs[20] > 0.5) != before
        self._rise(0.0)
        return pressed

    def _push_block(self) -> bool:
        choice = self._blocks()
        if not choice:
            return False
        self._fingers(may_open=False)
        number = choice[int(self.rng.integers(len(choice)))]
        x, y, z, _ = self._block(number)
        goal_x, goal_y = self._spot(away=(x, y))
        angle = atan2(goal_y - y, goal_x - x)
        length = min(hypot(goal_x - x, goal_y - y), 0.12)
        dx, dy = np.cos(angle), np.sin(angle)
        start = (x - 0.065 * dx, min(y - 0.065 * dy, 0.0), z + 0.005)
        self._travel(start[0], start[1])
        self._go(start, within=0.015, most=40)
        self._go((x + length * dx, y + length * dy, z + 0.005), within=0.02, speed=0.8, most=50)
        ax, ay, *_ = self._block(number)
        self._rise(0.0)
        return hypot(ax - x, ay - y) > 0.02

    def _lift_block(self) -> bool:
        choice = self.graspable()
        if not choice:
            return False
        number = choice[int(self.rng.integers(len(choice)))]
        x, y, z, _ = self._block(number)
        yaw = self._grasp(number)
        self.grip = 1.0
        self._travel(x, y, yaw)
        self._go((x, y, 0.54), within=0.012, yaw=yaw, straight=True, most=35)
        self._go((x, y, z + 0.002), within=0.01, yaw=yaw, straight=True, speed=0.7, most=35)
        self._squeeze(True, 7)
        high = 0.54 + 0.1 * self.style.extent
        self._go((x, y, high), within=0.02, yaw=yaw, straight=True, speed=0.8, most=30)
        lifted = self._block(number)[2] > TOP + 0.045
        to_x, to_y = self._spot(away=(x, y))
        self._go((to_x, to_y, high), within=0.02, yaw=yaw, straight=True, speed=0.8, most=50)
        self._go((to_x, to_y, z + 0.006), within=0.01, yaw=yaw, straight=True, speed=0.6, most=40)
        self._squeeze(False, 6)
        self._go((to_x, to_y, 0.57), within=0.03, yaw=yaw, most=25)
        return lifted

    def _spot(self, away: tuple[float, float]) -> tuple[float, float]:
        """A free place on the desk, not far from ``away`` and not where it already is."""
        others = [self._block(number)[:2] for number in range(3)]
        for _ in range(40):
            x, y = float(self.rng.uniform(*SURFACE[:2])), float(self.rng.uniform(*SURFACE[2:]))
            clear = all(hypot(x - ox, y - oy) > 0.1 for ox, oy in others if (ox, oy) != away)
            if clear and hypot(x - BUTTON_X, y - BUTTON_Y) > 0.1 and 0.05 < hypot(x - away[0], y - away[1]) < 0.22:
                return x, y
        return away[0], away[1]

    def _wander(self) -> bool:
        self.grip = 1.0 if self.rng.random() < 0.5 else -1.0
        for _ in range(int(self.rng.integers(1, 4))):
            x, y, z = (float(self.rng.uniform(FREE[2 * axis], FREE[2 * axis + 1])) for axis in range(3))
            yaw = pi / 2 + float(self.rng.uniform(-0.9, 0.9))
            if self.obs[2] < 0.5:
                self._go((float(self.obs[0]), float(self.obs[1]), 0.56), within=0.04)
            self._go((x, y, z), within=0.03, yaw=yaw)
            if self.rng.random() < 0.3:
                self.grip = -self.grip
        return True


def start(env: TabletopEnv, rng: np.random.Generator) -> NDArray[np.float32]:
    """Reset with the desk in a random state: half of what moves is where an episode begins, the rest anywhere."""
    options: dict[str, object] = {}
    for name in ("slider", "drawer", "switch"):
        draw, share = rng.random(2).tolist()
        if draw < 0.25:
            options[name] = RANGES[name] * (0.8 + 0.15 * share)
        elif draw < 0.5:
            options[name] = RANGES[name] * 0.2 * share
    options["led"] = bool(rng.random() < 0.4)
    obs, _ = env.reset(seed=int(rng.integers(2**31)), options=options)
    return obs
