"""Moving the kitchen's hand along straight lines: inverse kinematics, and the record of what was done.

The hand's frame: z is the direction in which the fingers point, x points up; ``facing()`` looks at the kitchen (+y).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.kitchen_env import KitchenEnv
from smbrl_plugins.tasks.kitchen_physics import SECONDS, SPEED, START

Floats = NDArray[np.float64]

STRIDE = SPEED * SECONDS
"""Largest movement of a joint per step, rad."""
DAMPING = 1e-3
"""Of the least squares: how far from singular the arm stays."""
TURNING = 0.5
"""Weight of an error of 1 rad against one of 1 m."""
REST = 0.05
"""Pull of the unused degree of freedom towards the favourite posture."""
HELD = 12
"""Steps in a row that a command waits for the hand before the movement is given up."""
FREE_SPEED = 0.55
"""Where nothing is touched, m/s."""
OPEN, CLOSED = 0.3, -0.3
"""Actions of the fingers: enough to open, close and hold."""
GRIPPING = 0.2
"""Largest change of that action per step."""
FOLLOWED = np.array([0.51, 0.35, 0.50, 0.51, 0.61, 0.63, 0.62])
"""Share of the way to its target that a joint goes in a step (measured; the controllers lag by design)."""
CORRECTED = 0.4
"""Share of a joint's distance from its command that a step makes up for."""
HURRY = 0.85
"""Largest action that commands ask of any joint, times the style's speed; what is left is for corrections."""
SWELL = 0.4
"""Largest change of that action per step."""


class OverError(Exception):
    """The trajectory has become too long."""


@dataclass(frozen=True)
class Style:
    """How a trajectory is driven; drawn anew for each.

    Attributes:
        speed: factor on all speeds.
        wander: standard deviation of way-points that need not be exact, m.
        tremor: standard deviation of noise on the actions of the arm.
        sway: standard deviation of the start posture, rad.
        overshoot: factor on how far mechanisms are moved beyond what counts as complete.
    """

    speed: float = 1.0
    wander: float = 0.0
    tremor: float = 0.0
    sway: float = 0.0
    overshoot: float = 1.0


def facing(yaw: float = 0.0, roll: float = 0.0) -> Floats:
    """Orientation of a hand before the kitchen: ``yaw`` turns about the vertical, ``roll`` about its own axis."""
    ahead = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    c, s = math.cos(yaw), math.sin(yaw)
    about_up = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    c, s = math.cos(roll), math.sin(roll)
    about_ahead = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    turned: Floats = about_up @ about_ahead @ ahead
    return turned


def beside(point: Floats, dx: float, dy: float, dz: float) -> Floats:
    """``point`` moved."""
    moved: Floats = point + np.array([dx, dy, dz])
    return moved


def around(point: Sequence[float] | Floats, hinge: Sequence[float], angle: float) -> Floats:
    """``point`` (x, y) turned about ``hinge`` by ``angle``."""
    c, s = math.cos(angle), math.sin(angle)
    dx, dy = point[0] - hinge[0], point[1] - hinge[1]
    return np.array([hinge[0] + c * dx - s * dy, hinge[1] + s * dx + c * dy])


def _axis(rotation: Floats) -> Floats:
    """Axis of a rotation matrix times twice the sine of its angle."""
    return np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])


def _towards(now: Floats, wanted: Floats, largest: float) -> tuple[Floats, float]:
    """Turn ``now`` towards ``wanted`` by at most ``largest`` rad; the angle that was missing."""
    missing = wanted @ now.T
    angle = math.acos(min(max((np.trace(missing) - 1.0) / 2.0, -1.0), 1.0))
    if angle <= largest:
        return wanted, angle
    axis = _axis(missing)
    x, y, z = axis / (np.linalg.norm(axis) + 1e-12)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turn = np.eye(3) + math.sin(largest) * cross + (1.0 - math.cos(largest)) * cross @ cross
    turned: Floats = turn @ now
    return turned, angle


class Arm:
    """Drives the arm of an environment and keeps what was observed and done.

    The commanded pose moves in a straight line at a given speed; damped least squares turn it into joint positions,
    which change no faster than the controllers can follow and without jerks: a policy that sees only noisy joints has
    to learn these actions. The action is what makes the joints follow, with a share of what they are behind, from the
    *true* joints: sensor noise does not reach the actions, it moves the arm a little, as when people steered it.

    Args:
        env: after ``reset``.
        observation: what it returned.
        rng: of the tremor and the wandering.
        style: see there.
        longest: steps after which ``OverError`` is raised.
    """

    def __init__(
        self,
        env: KitchenEnv,
        observation: NDArray[np.float32],
        rng: np.random.Generator,
        style: Style,
        longest: int,
    ) -> None:
        self.env, self.rng, self.style, self.longest = env, rng, style, longest
        self.model, self.data = env.model, env.data
        self.observations, self.actions = [observation], list[NDArray[np.float32]]()
        self._own = mujoco.MjData(self.model)  # of the inverse kinematics
        self._site = self._id("end_effector")
        self._low, self._high = self.model.jnt_range[:7, 0] + 0.02, self.model.jnt_range[:7, 1] - 0.02
        self._low[5] = 0.02  # below it the action space ends
        self.posture = START[:7].copy()
        self.joints: Floats = self.data.qpos[:7].copy()  # commanded
        self._asked = np.zeros(7)  # by the last change of the commanded joints, as an action
        self._gripped = OPEN
        self.position, self.orientation = self._pose(self.joints)  # commanded
        self.grip = OPEN

    def _id(self, site: str) -> int:
        return int(mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_SITE, site))

    def site(self, name: str) -> Floats:
        """Where a marked point of the scene is, (x, y, z) in m."""
        where: Floats = self.data.site_xpos[self._id(name)].copy()
        return where

    def joint(self, element: int) -> float:
        """An element of the true state."""
        return float(self.data.qpos[element])

    @property
    def hand(self) -> Floats:
        """Where the hand really is."""
        where: Floats = self.data.site_xpos[self._site]
        return where

    @property
    def steps(self) -> int:
        """Taken so far."""
        return len(self.actions)

    def _pose(self, joints: Floats) -> tuple[Floats, Floats]:
        self._own.qpos[:7] = joints
        mujoco.mj_kinematics(self.model, self._own)
        mujoco.mj_comPos(self.model, self._own)
        return self._own.site_xpos[self._site].copy(), self._own.site_xmat[self._site].reshape(3, 3).copy()

    def _solve(self, iterations: int = 5) -> Floats:
        """Joint positions near the present ones whose hand has the commanded pose."""
        joints, jacobian = self.joints.copy(), np.zeros((6, self.model.nv))
        for _ in range(iterations):
            position, orientation = self._pose(joints)
            missing = 0.5 * _axis(self.orientation @ orientation.T)
            error = np.concatenate([self.position - position, TURNING * missing])
            mujoco.mj_jacSite(self.model, self._own, jacobian[:3], jacobian[3:], self._site)
            j = jacobian[:, :7].copy()
            j[3:] *= TURNING
            step = self._least_squares(j, error, joints)
            stuck = ((joints <= self._low) & (step < 0.0)) | ((joints >= self._high) & (step > 0.0))
            if stuck.any():  # the other joints do without those at their limit
                j[:, stuck] = 0.0
                step = self._least_squares(j, error, joints)
                step[stuck] = 0.0
            joints = np.minimum(np.maximum(joints + np.minimum(np.maximum(step, -0.15), 0.15), self._low), self._high)
            if np.abs(step).max() < 1e-3:
                break
        return joints

    def _least_squares(self, jacobian: Floats, error: Floats, joints: Floats) -> Floats:
        """Damped least squares; what the hand does not feel goes to the favourite posture."""
        inverse = np.linalg.solve(jacobian @ jacobian.T + DAMPING * np.eye(6), jacobian).T
        rest = REST * (self.posture - joints)
        step: Floats = inverse @ (error - jacobian @ rest) + rest
        return step

    def _within(self, joints: Floats) -> Floats:
        """``joints``, or so far on the way there as the arm can follow smoothly; all joints slow down alike."""
        asked = (joints - self.joints) / (FOLLOWED * STRIDE)
        largest = min(HURRY * self.style.speed, 0.95)
        asked *= min(1.0, largest / (np.abs(asked).max() + 1e-9))
        change = asked - self._asked
        asked = self._asked + change * min(1.0, SWELL / (np.abs(change).max() + 1e-9))
        self._asked = asked
        within: Floats = self.joints + asked * FOLLOWED * STRIDE
        return within

    def _act(self) -> None:
        """One step towards the commanded joints and grip."""
        if self.steps >= self.longest:
            raise OverError
        lag = self.joints - self._asked * FOLLOWED * STRIDE - self.data.qpos[:7]
        weight = self.data.qfrc_bias[:7] / self.model.actuator_gainprm[:7, 0]  # what gravity pulls it off its target
        action = np.empty(9)
        action[:7] = self._asked + CORRECTED * lag / (FOLLOWED * STRIDE) + weight / STRIDE
        if self.style.tremor:
            action[:7] += self.style.tremor * self.rng.standard_normal(7)
        self._gripped += min(max(self.grip - self._gripped, -GRIPPING), GRIPPING)
        action[7:] = self._gripped
        applied = np.minimum(np.maximum(action, -1.0), 1.0).astype(np.float32)
        self.observations.append(self.env.step(applied)[0])
        self.actions.append(applied)

    def move(
        self,
        position: Sequence[float] | Floats,
        orientation: Floats | None = None,
        *,
        grip: float | None = None,
        speed: float = FREE_SPEED,
        near: float = 0.02,
        wait: int = 5,
        until: Callable[[], bool] | None = None,
        exact: bool = True,
        leash: float = math.inf,
    ) -> bool:
        """Move the hand in a straight line.

        Args:
            position, orientation: where to; None: turned as it is.
            grip: of the fingers; None: as they are.
            speed: m/s, times the style's; slow movements, which touch something, are not made faster.
            near: the way is over when the hand is closer than this, m ...
            wait: ... or so many steps after the command has arrived.
            until: end the movement as soon as this is true.
            exact: no wandering.
            leash: the command waits while the hand is farther behind it than this, m; given up after a second.

        Returns:
            Whether ``until`` came true.
        """
        wanted = np.array(position, np.float64)
        if not exact:
            wanted = wanted + self.style.wander * self.rng.standard_normal(3)
        self.grip = self.grip if grip is None else grip
        pace = self.style.speed if speed >= FREE_SPEED else min(self.style.speed, 1.0)
        stride = speed * pace * SECONDS
        waited = held = 0
        while True:
            left = wanted - self.position
            length = float(np.linalg.norm(left))
            before, turned, turn = self.position, self.orientation, 0.0
            if float(np.linalg.norm(self.hand - self.position)) < leash:
                self.position = wanted if length <= stride else self.position + left * (stride / length)
                held = 0
            else:
                held += 1
                if held > HELD:
                    return False
            angle = 0.0
            if orientation is not None:
                turn = 2.0 * pace * SECONDS
                self.orientation, angle = _towards(self.orientation, orientation, turn)
            joints = self._solve()
            within = self._within(joints)
            part = np.abs(within - self.joints).max() / (np.abs(joints - self.joints).max() + 1e-9)
            if part < 1.0:  # the command waits for the arm
                self.position = before + max(float(part), 0.2) * (self.position - before)
                self.orientation = _towards(turned, self.orientation, max(float(part), 0.2) * turn)[0]
            self.joints = within
            self._act()
            if until is not None and until():
                return True
            if float(np.linalg.norm(self.hand - wanted)) < near and angle < 0.1:
                return False
            if length <= stride and angle < 0.1:
                waited += 1
                if waited > wait:
                    return False

    def clench(self, grip: float, steps: int) -> None:
        """Close or open the fingers where the hand is."""
        self.grip = grip
        for _ in range(steps):
            self.joints = self._within(self.joints)
            self._act()

    def home(self, near: float = 0.5, steps: int = 15) -> None:
        """Back towards the start posture, joint by joint."""
        self.grip = OPEN
        goal = START[:7]
        for _ in range(steps):
            self.joints = self._within(goal)
            self._act()
            if np.abs(goal - self.data.qpos[:7]).max() < near:
                break
        self.position, self.orientation = self._pose(self.joints)
