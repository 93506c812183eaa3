"""Pictures of the maze from above: drawn by numpy, or by MuJoCo where OpenGL works."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from smbrl.errors import SmbrlError
from smbrl_plugins.tasks.maze_layout import WALL_OFFSET, Layout
from smbrl_plugins.tasks.maze_physics import BODY

Position = tuple[float, float]
Image = NDArray[np.uint8]

FLOOR, WALL, START, GOAL = (250, 250, 247), (74, 84, 99), (196, 219, 242), (150, 206, 150)
OLD, NEW, BALL = (224, 196, 150), (226, 120, 30), (200, 30, 30)
"""Trail from its oldest to its newest point, and the agent."""


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
        cells = np.where(layout.walls.T[::-1, :, None], np.uint8(WALL), np.uint8(FLOOR))
        background = cells.repeat(self.cell, 0).repeat(self.cell, 1).astype(np.uint8)
        free = ~layout.walls.T[::-1].repeat(self.cell, 0).repeat(self.cell, 1)
        left, bottom = self._pixel(start[0] - noise, start[1] - noise)
        right, top = self._pixel(start[0] + noise, start[1] + noise)
        area = np.zeros(self.shape, bool)
        area[max(round(top), 0) : round(bottom) + 1, max(round(left), 0) : round(right) + 1] = True
        background[area & free] = START
        self._disc(background, goal, radius * self.cell, GOAL, only=free)
        self._disc(background, goal, 0.35 * self.cell + 1, (60, 150, 70))
        self._background = background
        self._canvas = background.copy()
        self._drawn = 0
        self._first: Position | None = None
        grid = np.arange(-self.cell - 2, self.cell + 3, dtype=np.float32)
        self._grid = (grid[:, None], grid[None, :])

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
            self._canvas[np.clip(row + down, 0, self.shape[0] - 1), np.clip(column + right, 0, self.shape[1] - 1)] = NEW

    def close(self) -> None:
        """Nothing to free."""


class MuJoCoView:
    """MuJoCo's own renderer, camera straight above; markers for goal and trail.

    Raises:
        SmbrlError: no OpenGL context.
    """

    def __init__(
        self, layout: Layout, start: Position, noise: float, goal: Position, radius: float, pixels: int
    ) -> None:
        self._goal, self._radius = goal, radius
        self._size = (pixels, max(round(pixels * layout.rows / layout.columns), 16))
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._camera.lookat[:] = ((layout.rows + 1) / 2, (layout.columns + 1) / 2, 0.0)
        self._camera.azimuth, self._camera.elevation = 90.0, -90.0
        self._camera.distance = 1.27 * layout.columns
        self._renderer: Any = None

    def _start(self, model: mujoco.MjModel) -> None:
        if not os.environ.get("MUJOCO_GL") and not os.environ.get("DISPLAY") and os.name == "posix":
            os.environ["MUJOCO_GL"] = "egl"  # without a screen EGL is the only hope
        try:
            self._renderer = mujoco.Renderer(model, *self._size)
        except Exception as error:  # the GL bindings raise whatever they like, plain Exceptions included
            raise SmbrlError(
                f"MuJoCo cannot render here ({type(error).__name__}: {error}): use renderer='topdown', which needs no "
                "OpenGL, or install EGL (libegl1) and set MUJOCO_GL=egl"
            ) from error

    def frame(self, trail: Sequence[Position], model: mujoco.MjModel, data: mujoco.MjData) -> Image:
        """The picture of MuJoCo's present state."""
        if self._renderer is None:
            self._start(model)
        mujoco.mj_forward(model, data)
        self._renderer.update_scene(data, camera=self._camera)
        self._marker(mujoco.mjtGeom.mjGEOM_CYLINDER, self._goal, self._radius, 0.01, (0.3, 0.75, 0.3, 0.5))
        for point in trail[::10][-400:]:
            self._marker(mujoco.mjtGeom.mjGEOM_SPHERE, point, 0.12, 0.12, (0.9, 0.5, 0.1, 1.0))
        return np.asarray(self._renderer.render(), np.uint8)

    def _marker(self, kind: Any, at: Position, radius: float, height: float, colour: Sequence[float]) -> None:
        view = self._renderer.scene
        if view.ngeom >= view.maxgeom:
            return
        mujoco.mjv_initGeom(
            view.geoms[view.ngeom],
            kind,
            np.array([radius, radius if height == radius else height, height], np.float64),
            np.array([at[0] + BODY, at[1] + BODY, -0.08]),
            np.eye(3).ravel(),
            np.array(colour, np.float32),
        )
        view.ngeom += 1

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
