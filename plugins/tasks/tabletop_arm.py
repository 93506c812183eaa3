"""The arm follows a pose of the gripper: relative actions, damped least squares, position actuators.

An action moves the pose that the gripper is to take: 2 cm and 0.05 rad per axis at most, as in CALVIN. The joint
angles that take it there follow by damped least squares (Wampler, 1986; Nakamura and Hanafusa, 1986), starting from the
joint angles of the step before:

    dq = g + J' (J J' + d^2 I)^-1 (e - J g),    g = pull (q_home - q)

with e the error of position and orientation and J the Jacobian at q; g draws the elbow back home where that does not
move the gripper.
"""

from __future__ import annotations

from math import asin, atan2, cos, pi, sin

import mujoco
import numpy as np
from smbrl_plugins.tasks.tabletop_scene import HOME, Vector, arm_model

REACH, TURN = 0.02, 0.05
"""What an action of 1 asks for: metres, radians."""
LEASH = 0.06
"""The pose asked for is never farther from the gripper than this, metres: it does not run away from a held gripper."""
LOW, HIGH = (-0.36, -0.48, 0.32), (0.40, 0.10, 0.80)
"""Box that the gripper is kept in, metres."""
DOWN = pi
"""Roll of a gripper that points straight down."""
TILT = 0.5
"""Largest roll (about ``DOWN``) and pitch, radians."""
YAW = (0.2, 2.9)
"""Smallest and largest turn about the vertical, radians."""
DAMPING = 0.03
PULL = 0.02
"""Share of the way home that a step takes."""
LARGEST = 0.25
"""Change of a joint angle in one step, radians."""


def euler(matrix: list[float]) -> tuple[float, float, float]:
    """Roll, pitch and yaw of a rotation matrix (nine numbers, row by row), about fixed x, y and z.

    Roll is given in [0, 2 pi), so that it does not jump while the gripper points down, where it is pi.
    """
    roll = atan2(matrix[7], matrix[8])
    pitch = asin(min(max(-matrix[6], -1.0), 1.0))
    return roll if roll >= 0.0 else roll + 2.0 * pi, pitch, atan2(matrix[3], matrix[0])


def rotation(roll: float, pitch: float, yaw: float) -> Vector:
    """The rotation matrix of these angles, ``(3, 3)``."""
    cr, sr, cp, sp, cy, sy = cos(roll), sin(roll), cos(pitch), sin(pitch), cos(yaw), sin(yaw)
    return np.array(
        (
            (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
            (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
            (-sp, cp * sr, cp * cr),
        )
    )


class Arm:
    """Turns actions into the joint angles that the actuators are to hold.

    Attributes:
        position: asked of the gripper, metres.
        angles: roll, pitch, yaw asked of it.
        joints: that take it there.
    """

    def __init__(self) -> None:
        self._model = arm_model()
        self._data = mujoco.MjData(self._model)
        self._site = int(self._model.site("tcp").id)
        self._qpos = self._data.qpos
        self._at = self._data.site_xpos[self._site]
        self._facing = self._data.site_xmat[self._site].reshape(3, 3)
        self._jacobian = np.zeros((6, self._model.nv))
        self._linear, self._angular = self._jacobian[:3], self._jacobian[3:]
        self._home = np.array(HOME)
        self._low, self._high = (self._model.jnt_range[:, side].copy() for side in (0, 1))
        self._damping = DAMPING**2 * np.eye(6)
        self._error = np.empty(6)
        self.joints = self._home.copy()
        self.position = (0.0, 0.0, 0.0)
        self.angles = (DOWN, 0.0, 0.5 * pi)

    def reset(self, joints: Vector) -> None:
        """Ask for the pose that these joint angles give."""
        self.joints = np.array(joints, np.float64)
        self._look()
        x, y, z = self._at.tolist()
        self.position, self.angles = (x, y, z), euler(self._facing.ravel().tolist())

    def move(self, change: list[float], tcp: list[float]) -> Vector:
        """Shift the pose asked for; what the joints are to hold.

        Args:
            change: position and angles, six numbers in [-1, 1].
            tcp: where the gripper is, metres.
        """
        x, y, z = (
            min(max(have + REACH * by, at - LEASH, low), at + LEASH, high)
            for have, by, at, low, high in zip(self.position, change, tcp, LOW, HIGH, strict=False)
        )
        roll, pitch, yaw = self.angles
        self.position = (x, y, z)
        self.angles = (
            min(max(roll + TURN * change[3], DOWN - TILT), DOWN + TILT),
            min(max(pitch + TURN * change[4], -TILT), TILT),
            min(max(yaw + TURN * change[5], YAW[0]), YAW[1]),
        )
        self._solve()
        return self.joints

    def _look(self) -> None:
        self._qpos[:] = self.joints
        mujoco.mj_kinematics(self._model, self._data)

    def _solve(self) -> None:
        """One step of damped least squares; what is left of the error is small and is next time's."""
        self._look()
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._linear, self._angular, self._site)
        jacobian, error = self._jacobian, self._error
        error[:3] = self.position
        error[:3] -= self._at
        (_, r01, r02), (r10, _, r12), (r20, r21, _) = (rotation(*self.angles) @ self._facing.T).tolist()
        error[3:] = 0.5 * (r21 - r12), 0.5 * (r02 - r20), 0.5 * (r10 - r01)
        home = PULL * (self._home - self.joints)
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + self._damping, error - jacobian @ home)
        step += home
        largest = float(np.abs(step).max())
        if largest > LARGEST:
            step *= LARGEST / largest
        step += self.joints
        self.joints = np.minimum(np.maximum(step, self._low), self._high)
