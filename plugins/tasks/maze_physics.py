"""The maze as MuJoCo sees it: a ball on two slide joints among boxes.

Ball: radius 0.1 m, density 1000 kg/m^3 (4.19 kg), joint damping 1, motors of gear 100 driven by [-1, 1], no
gravity, one Euler step of 10 ms per environment step. Free of contact, a step changes the velocity by
``0.238 a - 0.0024 v`` (m/s). Velocities are clipped to +-5 m/s *before* each physics step.
"""

from __future__ import annotations

from functools import lru_cache

import mujoco
from smbrl_plugins.tasks.maze_layout import Layout, parse

TIMESTEP = 0.01
"""Seconds per environment step."""
RADIUS = 0.1
"""Of the ball, metres."""
MAX_SPEED = 5.0
"""Per axis, m/s, before a physics step."""
BODY = 1.2
"""World coordinates of the ball at position 0."""
HALF_HEIGHT = 0.2
"""Of the walls. It matters: more than this inside a wall, the contact's shortest way out is up, so nothing pushes the
ball sideways. Starts that overlap a wall (see `MazeEnv`) therefore leave it where they steer to."""

_SCENE = """
<mujoco model="maze">
  <compiler inertiafromgeom="true" angle="radian"/>
  <option timestep="{timestep}" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <visual><global offwidth="1280" offheight="1280"/><map znear="0.001"/><quality shadowsize="0"/></visual>
  <asset>
    <material name="wall" rgba="0.33 0.38 0.45 1"/><material name="floor" rgba="0.96 0.96 0.94 1"/>
  </asset>
  <default>
    <joint damping="1" limited="false"/>
    <geom friction=".5 .1 .1" density="1000" margin="0.002" condim="1" contype="0" conaffinity="1"/>
  </default>
  <worldbody>
    <light directional="true" pos="0 0 50" dir="0.2 0.3 -1" diffuse="0.6 0.6 0.6"/>
    <geom name="floor" type="plane" pos="{middle_x} {middle_y} -0.1" size="{half_x} {half_y} 0.1"
          material="floor" conaffinity="0"/>
    <body name="ball" pos="{body} {body} 0">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <geom name="ball" type="sphere" size="{radius}" contype="1" conaffinity="0" rgba="0.85 0.2 0.15 1"/>
    </body>
{walls}
  </worldbody>
  <actuator>
    <motor joint="x" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
    <motor joint="y" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
  </actuator>
</mujoco>
"""


def scene(layout: Layout) -> str:
    """The MJCF of a layout. Wall cell (i, j) stands at world (i + 1, j + 1); neighbours are merged into boxes."""
    walls = "\n".join(
        f'    <geom type="box" material="wall" pos="{(b.top + b.bottom) / 2 + 1} {(b.left + b.right) / 2 + 1} 0" '
        f'size="{(b.bottom - b.top + 1) / 2} {(b.right - b.left + 1) / 2} {HALF_HEIGHT}"/>'
        for b in layout.rectangles()
    )
    return _SCENE.format(
        timestep=TIMESTEP,
        middle_x=(layout.rows + 1) / 2,
        middle_y=(layout.columns + 1) / 2,
        half_x=layout.rows / 2,
        half_y=layout.columns / 2,
        body=BODY,
        radius=RADIUS,
        walls=walls,
    )


@lru_cache(maxsize=8)
def _compiled(text: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(scene(parse(text)))


def model(layout: Layout) -> mujoco.MjModel:
    """The compiled model; environments with the same walls share it (it is never written to)."""
    return _compiled(Layout(layout.walls).text())
