"""Pictures of the maze from above: drawn by numpy, or by MuJoCo where OpenGL works."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.maze_layout import WALL_OFFSET, Layout
from smbrl_plugins.tasks.maze_physics import BODY

from smbrl.errors import SmbrlError

Position = tuple[float, float]
Image = NDArray[np.uint8]

FLOOR, WALL, START, GOAL = (250, 250, 247), (74, 84, 99), (196, 219, 242), (150, 206, 150)
FLAG, TRAIL, BALL = (60, 150, 70), (226, 120, 30), (200, 30, 30)
"""Middle of the goal, the episode's trail, the agent."""


class TopDown:
    """Draws on a prepared background; only what the trail gained since the last frame is drawn anew.

    x runs to the right, y upwards, one cell is a whole number of pixels. Edges are smoothed by
    drawing discs by their distance.
    """

    def __init__(
        self, layout: Layout, start: Position, noise: float, goal: Position, radius: float, pixels: int
    ) -> None:
        self.cell = max(pixels // layout.columns, 2)
        self.shape = (layout.columns * self.cell, layout.rows * self.cell)
        cells = np.where(layout.walls.T[::-1, :, None], np.array(WALL), np.array(FLOOR))
        background = cells.repeat(self.cell, 0).repeat(self.cell, 1).astype(np.uint8)
        free = ~layout.walls.T[::-1].repeat(self.cell, 0).repeat(self.cell, 1)
        left, bottom = self._pixel(start[0] - noise, start[1] - noise)
        right, top = self._pixel(start[0] + noise, start[1] + noise)
        area = np.zeros(self.shape, bool)
        area[max(round(top), 0) : round(bottom) + 1, max(round(left), 0) : round(right) + 1] = True
        background[area & free] = START
        self._disc(background, goal, radius * self.cell, GOAL, only=free)
        self._disc(background, goal, 0.35 * self.cell + 1, FLAG)
        self._background = background
        self._canvas = background.copy()
        self._drawn = 0
        self._first: Position | None = None

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        """Position -> (column, row) on the canvas."""
        column = (x - WALL_OFFSET + 0.5) * self.cell - 0.5
        return column, self.shape[0] - (y - WALL_OFFSET + 0.5) * self.cell - 0.5

    def _disc(
        self, image: Image, at: Position, radius: float, colour: Sequence[int], only: NDArray[np.bool_] | None = None
    ) -> None:
        """Blend a smooth disc of ``radius`` pixels into the image."""
        column, row = self._pixel(*at)
        reach = int(radius) + 2
        top, left = max(int(row) - reach, 0), max(int(column) - reach, 0)
        part = image[top : int(row) + reach + 1, left : int(column) + reach + 1]
        if not part.size:
            return
        rows = np.arange(top, top + part.shape[0])[:, None] - row
        columns = np.arange(left, left + part.shape[1])[None, :] - column
        cover = np.clip(radius + 0.5 - np.sqrt(rows * rows + columns * columns), 0.0, 1.0)[..., None]
        if only is not None:
            cover = cover * only[top : top + part.shape[0], left : left + part.shape[1], None]
        part[:] = (part * (1.0 - cover) + np.asarray(colour) * cover + 0.5).astype(np.uint8)

    def frame(self, trail: Sequence[Position], model: mujoco.MjModel, data: mujoco.MjData) -> Image:
        """The picture after the last point of ``trail``."""
        if self._first != trail[0] or len(trail) < self._drawn:  # a new episode
            self._canvas = self._background.copy()
            self._drawn, self._first = 0, trail[0]
        if len(trail) > self._drawn:
            points = np.array(trail[max(self._drawn - 1, 0) :])
            self._drawn = len(trail)
            self._line(points)
        image = self._canvas.copy()
        self._disc(image, trail[-1], max(0.42 * self.cell, 3.0) + 1.5, (255, 255, 255))
        self._disc(image, trail[-1], max(0.42 * self.cell, 3.0), BALL)
        return image

    def _line(self, points: NDArray[np.float64]) -> None:
        """Mark the pixels along a poly-line, two pixels wide; at most 5 cm lie between two points."""
        middle = np.concatenate([points, (points[1:] + points[:-1]) / 2])
        column = ((middle[:, 0] - WALL_OFFSET + 0.5) * self.cell - 0.5).round().astype(int)
        row = (self.shape[0] - (middle[:, 1] - WALL_OFFSET + 0.5) * self.cell - 0.5).round().astype(int)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            pixels = np.clip(row + down, 0, self.shape[0] - 1), np.clip(column + right, 0, self.shape[1] - 1)
            self._canvas[pixels] = TRAIL

    def close(self) -> None:
        """Nothing to free."""


class MuJoCoView:
    """MuJoCo's own renderer, camera straight above; discs mark goal, trail and agent.

    Raises:
        SmbrlError: no OpenGL context (at the first frame).
    """

    def __init__(
        self, layout: Layout, start: Position, noise: float, goal: Position, radius: float, pixels: int
    ) -> None:
        self._goal, self._radius = goal, radius
        self._rect = mujoco.MjrRect(0, 0, max(round(pixels * layout.rows / layout.columns), 16), pixels)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._camera.lookat[:] = ((layout.rows + 1) / 2, (layout.columns + 1) / 2, 0.0)
        self._camera.azimuth, self._camera.elevation = 90.0, -90.0
        self._camera.distance = 1.22 * layout.columns
        self._agent = max(0.1, 0.01 * layout.columns)
        self._gl: Any = None
        self._context: Any = None
        self._scene: Any = None

    def _start(self, model: mujoco.MjModel) -> None:
        """Make the OpenGL context.

        MuJoCo chooses its OpenGL when it is imported, by MUJOCO_GL, and takes one that needs a screen when nothing is
        chosen. Without a screen EGL is asked for directly, so that nobody needs to know.
        """
        try:
            if sys.platform == "linux" and not os.environ.get("MUJOCO_GL") and not os.environ.get("DISPLAY"):
                from mujoco.egl import GLContext
            else:
                from mujoco.gl_context import GLContext
            self._gl = GLContext(self._rect.width, self._rect.height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
            self._scene = mujoco.MjvScene(model, maxgeom=2000)
            for costly in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self._scene.flags[costly.value] = 0
        except Exception as error:  # the OpenGL bindings raise whatever they like, plain Exceptions included
            raise SmbrlError(
                f"MuJoCo cannot render here ({type(error).__name__}: {str(error)[:120]}): use renderer 'topdown', "
                "which needs no OpenGL, or install EGL (libegl1) and set MUJOCO_GL=egl"
            ) from error

    def frame(self, trail: Sequence[Position], model: mujoco.MjModel, data: mujoco.MjData) -> Image:
        """The picture of MuJoCo's present state."""
        if self._scene is None:
            self._start(model)
        self._gl.make_current()
        mujoco.mj_kinematics(model, data)  # where the ball is drawn; the simulation's own state is not touched
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, self._camera, everything, self._scene)
        self._marker(self._goal, self._radius, GOAL, 0.6)
        for point in trail[:: max(len(trail) // 250, 5)]:
            self._marker(point, 0.6 * self._agent, TRAIL, 1.0)
        self._marker(trail[-1], self._agent, BALL, 1.0, height=0.3)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        image = np.empty((self._rect.height, self._rect.width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, self._rect, self._context)
        return np.ascontiguousarray(image[::-1])

    def _marker(self, at: Position, radius: float, colour: Sequence[int], opacity: float, height: float = 0.01) -> None:
        if self._scene.ngeom >= self._scene.maxgeom:
            return
        mujoco.mjv_initGeom(
            self._scene.geoms[self._scene.ngeom],
            mujoco.mjtGeom.mjGEOM_CYLINDER,
            np.array([radius, radius, height], np.float64),
            np.array([at[0] + BODY, at[1] + BODY, height - 0.09]),
            np.eye(3).ravel(),
            np.array([*(c / 255 for c in colour), opacity], np.float32),
        )
        self._scene.ngeom += 1

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None
        if self._gl is not None:
            self._gl.free()
            self._gl = None
        self._scene = None
