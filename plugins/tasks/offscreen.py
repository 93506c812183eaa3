"""Pictures of a MuJoCo scene without a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from smbrl.errors import SmbrlError


class Offscreen:
    """Draws a model from one point of view.

    MuJoCo chooses its OpenGL when it is imported, by MUJOCO_GL, and takes one that needs a screen when nothing is
    chosen. Without a screen EGL is asked for directly, so that nobody needs to know.

    Args:
        model: what is drawn; it may have more geometries than the model that is simulated, with the same positions.
        size: width and height, pixels; not beyond the model's off-screen buffer.
        lookat: point in the middle of the picture, metres.
        azimuth, elevation: of the view, degrees.
        distance: from that point, metres.
        shadows: whether to draw them; several times slower without a graphics card.
        groups: of the geometries that are drawn.
        sky: shade of what lies behind everything, 0 to 255; None: the model's own. It is written into the model.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        size: tuple[int, int],
        *,
        lookat: Sequence[float],
        azimuth: float,
        elevation: float,
        distance: float,
        shadows: bool = False,
        groups: Sequence[int] = (0, 1, 2),
        sky: int | None = None,
    ) -> None:
        self.model = model
        if sky is not None:
            _paint_sky(model, sky)
        self._data = mujoco.MjData(model)
        self._rect = mujoco.MjrRect(0, 0, *size)
        model.vis.global_.offwidth = max(size[0], model.vis.global_.offwidth)
        model.vis.global_.offheight = max(size[1], model.vis.global_.offheight)
        self.camera = mujoco.MjvCamera()
        self.camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self.camera.lookat[:] = lookat
        self.camera.azimuth, self.camera.elevation, self.camera.distance = azimuth, elevation, distance
        self._option = mujoco.MjvOption()
        for group in range(len(self._option.geomgroup)):
            self._option.geomgroup[group] = group in groups
        self._shadows = shadows
        self._gl: Any = None
        self._context: Any = None
        self._scene: Any = None

    def _start(self) -> None:
        try:
            if sys.platform == "linux" and not os.environ.get("MUJOCO_GL") and not os.environ.get("DISPLAY"):
                from mujoco.egl import GLContext
            else:
                from mujoco.gl_context import GLContext
            self._gl = GLContext(self._rect.width, self._rect.height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
            self._scene = mujoco.MjvScene(self.model, maxgeom=2000)
            self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW.value] = self._shadows
            self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION.value] = 0
        except Exception as error:  # the OpenGL bindings raise whatever they like, plain Exceptions included
            raise SmbrlError(
                f"MuJoCo cannot render here ({type(error).__name__}: {str(error)[:120]}): "
                "install EGL (libegl1) and set MUJOCO_GL=egl, or draw no pictures"
            ) from error

    def frame(self, qpos: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The picture with these positions, ``(height, width, 3)``.

        Raises:
            SmbrlError: no OpenGL context can be had.
        """
        if self._scene is None:
            self._start()
        self._gl.make_current()
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self._data)
        mujoco.mj_camlight(self.model, self._data)
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self.model, self._data, self._option, None, self.camera, everything, self._scene)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        image = np.empty((self._rect.height, self._rect.width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, self._rect, self._context)
        return np.ascontiguousarray(image[::-1])

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


def _paint_sky(model: mujoco.MjModel, shade: int) -> None:
    for texture in np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX.value):
        first = model.tex_adr[texture]
        size = model.tex_width[texture] * model.tex_height[texture] * model.tex_nchannel[texture]
        model.tex_data[first : first + size] = shade
