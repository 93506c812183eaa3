"""The desk as a Gymnasium environment, ``smbrl/Tabletop-v0``."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, isfinite, pi, sin
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.in_order import InOrder, check_subtasks
from smbrl_plugins.tasks.offscreen import Offscreen
from smbrl_plugins.tasks.tabletop_arm import Arm, euler
from smbrl_plugins.tasks.tabletop_scene import (
    BLOCKS,
    BULB_AT,
    HOME,
    MOVABLES,
    OPEN,
    PRESSED,
    RANGES,
    RATE,
    RELEASED,
    TOP,
    Places,
    Vector,
    checked,
    drawn_model,
    light,
    physics_model,
    scatter_blocks,
)

from smbrl.errors import SmbrlError

OPENED, SLID = 0.12, 0.15
"""Travel of the drawer and of the door that counts, metres (CALVIN's)."""
CONDITIONS = (
    "open drawer",
    "close drawer",
    "bulb on",
    "bulb off",
    "slider left",
    "slider right",
    "LED on",
    "LED off",
)
"""Sub-tasks there are."""
ORDER = ("open drawer", "bulb on", "slider left", "LED on")
"""The SkiMo paper's list for CALVIN."""
OPTIONS = ("slider", "drawer", "switch", "led", "blocks", "joints")
HALF_BLOCK = 0.024
STATE = 21
"""Elements of an observation without the blocks."""


class TabletopEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Open a drawer, switch on a lamp, slide a door and press a button, in order, with a Franka Panda.

    Stands in for CALVIN's desk and has its layout. Observation, float32: gripper position (0-2, metres), its roll,
    pitch, yaw (3-5, about fixed axes, radians; roll in [0, 2 pi), pi points down), opening between the fingers (6,
    metres), the seven joint angles (7-13), last gripper command (14, 1 open, -1 closed), slider, drawer, button, lever
    (15-18, metres of travel), bulb and LED (19, 20: 1 glows); with ``blocks``, position and angles of each of three
    blocks (21-38; roll about 0 while one lies).

    Action, float32 in [-1, 1] (clipped): change of the pose asked of the gripper, x, y, z times 2 cm, roll, pitch, yaw
    times 0.05 rad, and the gripper, which opens at 0 and above and closes below. 30 Hz.

    Each sub-task of ``subtasks`` pays 1 when its turn comes and it holds (see `in_order`); the episode terminates after
    the last and is truncated after ``time_limit`` steps. An episode begins with everything closed and off, the arm at
    rest within ``noise`` of its home, the blocks at random on the desk. Deterministic given the reset seed and the
    actions. ``reset(options=...)`` sets ``slider``, ``drawer``, ``switch`` (metres of travel), ``led`` (bool),
    ``blocks`` (x, y, turn of each, ``(3, 3)``) or ``joints`` (seven angles) instead.

    Args:
        subtasks: which of ``CONDITIONS`` pay, in this order.
        blocks: whether the observation tells where the blocks are (39 elements) or not (21).
        time_limit: steps.
        noise: half-width of the uniform noise on the first joint angles, radians.
        render_mode: None or ``"rgb_array"``.
        pixels: height of a picture, which is 4/3 as wide.
        camera: azimuth, elevation (degrees) and distance (metres) of the view.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": RATE}  # noqa: RUF012 - as declared by gymnasium

    def __init__(
        self,
        subtasks: Sequence[str] = ORDER,
        blocks: bool = False,
        time_limit: int = 360,
        noise: float = 0.02,
        render_mode: str | None = None,
        pixels: int = 480,
        camera: tuple[float, float, float] = (142.0, -32.0, 1.75),
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise SmbrlError(f"tabletop render_mode is {render_mode!r}: give 'rgb_array' or None")
        check_outcome(time_limit, noise)
        self.progress = InOrder(check_subtasks("Tabletop", subtasks, CONDITIONS))
        self.render_mode = render_mode
        self.time_limit = time_limit
        self.noise = noise
        self.pixels, self.camera = pixels, camera
        self.blocks = blocks
        self.size = observation_size(blocks)
        low, high = bounds(blocks)
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (7,), np.float32)

        self.model = physics_model()
        self.data = mujoco.MjData(self.model)
        self.places = Places.of(self.model)
        self.arm = Arm()
        self._substeps = round(1.0 / RATE / self.model.opt.timestep)
        # views into MuJoCo's memory: no attribute look-up through the bindings in a step
        self._qpos, self._ctrl = self.data.qpos, self.data.ctrl
        self._tcp = self.data.site_xpos[self.places.tcp]
        self._facing = self.data.site_xmat[self.places.tcp]
        self._movables = np.array(self.places.movables)
        self._gripper = 1.0
        self.led = False
        self._armed = True
        self._travel: dict[str, float] = dict.fromkeys(MOVABLES, 0.0)
        self._time = 0
        self._ready = False
        self._view: Offscreen | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; see the class for ``options``."""
        super().reset(seed=seed)
        options = dict(options or {})
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise SmbrlError(f"tabletop reset option {unknown[0]!r} is unknown: {', '.join(OPTIONS)} are known")
        rng = self.np_random
        joints = np.array(HOME) + rng.uniform(-self.noise, self.noise, 7)
        blocks = scatter_blocks(rng)
        if "joints" in options:
            joints = _numbers("joints", options["joints"], (7,))
        if "blocks" in options:
            blocks = _numbers("blocks", options["blocks"], (len(BLOCKS), 3))
        mujoco.mj_resetData(self.model, self.data)
        qpos, places = self._qpos, self.places
        qpos[places.arm] = joints
        qpos[list(places.fingers)] = OPEN
        for name, place in zip(MOVABLES, places.movables, strict=True):
            if name in options:
                qpos[place] = checked(name, options[name])
        for place, (x, y, turn) in zip(places.blocks, blocks.tolist(), strict=True):
            qpos[place : place + 7] = x, y, TOP + HALF_BLOCK, cos(turn / 2), 0.0, 0.0, sin(turn / 2)
        self._ctrl[:7] = joints
        self._ctrl[7] = OPEN
        self._gripper = 1.0
        self.led = bool(options.get("led", False))
        self._armed = True
        mujoco.mj_forward(self.model, self.data)
        self.arm.reset(joints)
        self.progress.reset()
        self._time = 0
        self._ready = True
        return self._observe(), self._info()

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """A thirtieth of a second."""
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before step")
        try:
            *change, grip = action.tolist()
            if len(change) != 6 or not isfinite(sum(change) + grip):
                raise ValueError("not seven finite numbers")
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"a tabletop action is an array of seven finite numbers, got {action!r}") from error
        change = [min(max(value, -1.0), 1.0) for value in change]
        self._gripper = 1.0 if grip >= 0.0 else -1.0
        self._ctrl[:7] = self.arm.move(change, self._tcp.tolist())
        self._ctrl[7] = OPEN if grip >= 0.0 else 0.0
        mujoco.mj_step(self.model, self.data, self._substeps)
        self._time += 1
        obs = self._observe()
        depth = self._travel["button"]
        if self._armed and depth > PRESSED:
            self._armed, self.led = False, not self.led
            obs[20] = self.led
        elif not self._armed and depth < RELEASED:
            self._armed = True
        reward = float(self.progress.update(self.holds, self._time))
        complete = self.progress.complete
        return obs, reward, complete, self._time >= self.time_limit and not complete, self._info()

    def holds(self, subtask: str) -> bool:
        """Whether a sub-task's condition is true now."""
        travel = self._travel
        match subtask:
            case "open drawer":
                return travel["drawer"] >= OPENED
            case "close drawer":
                return travel["drawer"] <= RANGES["drawer"] - OPENED
            case "bulb on":
                return travel["switch"] > BULB_AT
            case "bulb off":
                return travel["switch"] <= BULB_AT
            case "slider left":
                return travel["slider"] >= SLID
            case "slider right":
                return travel["slider"] <= RANGES["slider"] - SLID
            case "LED on":
                return self.led
            case "LED off":
                return not self.led
        raise SmbrlError(f"no tabletop sub-task {subtask!r}: {', '.join(CONDITIONS)} are known")

    def render(self) -> NDArray[np.uint8] | None:
        """The desk as ``(pixels, 4/3 pixels, 3)`` uint8; None without a render mode.

        Raises:
            SmbrlError: no OpenGL context can be had, or gymnasium-robotics is not installed.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render() without render_mode: make the environment with render_mode='rgb_array'")
            return None
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before render")
        if self._view is None:
            azimuth, elevation, distance = self.camera
            self._view = Offscreen(
                drawn_model(),
                (round(self.pixels * 4 / 3), self.pixels),
                lookat=(0.02, -0.08, 0.47),
                azimuth=azimuth,
                elevation=elevation,
                distance=distance,
                shadows=True,
            )
        light(self._view.model, self._travel["switch"] > BULB_AT, self.led)
        return self._view.frame(self.data.qpos)

    def close(self) -> None:
        """Free the renderer."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _observe(self) -> NDArray[np.float32]:
        # site and joints belong to the same instant only after a forward pass, which the next step begins with; the
        # sites are those of the last physics step but one, 7 ms ago, so they are computed anew
        mujoco.mj_kinematics(self.model, self.data)
        qpos = self._qpos.tolist()
        places = self.places
        travel = self._travel
        for name, place in zip(MOVABLES, places.movables, strict=True):
            travel[name] = qpos[place]
        left, right = places.fingers
        values = [
            *self._tcp.tolist(),
            *euler(self._facing.tolist()),
            qpos[left] + qpos[right],
            *qpos[places.arm],
            self._gripper,
            *travel.values(),
            float(travel["switch"] > BULB_AT),
            float(self.led),
        ]
        if self.blocks:
            for name in BLOCKS:
                body = self.data.body(name)
                values += body.xpos.tolist()
                roll, pitch, yaw = euler(body.xmat.tolist())
                values += (roll if roll < pi else roll - 2.0 * pi, pitch, yaw)  # about 0 while it lies
        return np.array(values, np.float32)

    def _info(self) -> dict[str, Any]:
        return {"success": self.progress.complete, "subtasks": self.progress.done}


def observation_size(blocks: bool) -> int:
    """Number of elements of an observation."""
    return STATE + (6 * len(BLOCKS) if blocks else 0)


def bounds(blocks: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What an observation can be at most: lowest and highest."""
    limits = physics_model().jnt_range
    joints = [physics_model().joint(f"joint{number}").id for number in range(1, 8)]
    low = [-2.0, -2.0, -1.0, 0.0, -2.0, -4.0, -0.02, *(limits[joints, 0] - 0.1), -1.0]
    high = [2.0, 2.0, 2.0, 6.5, 2.0, 4.0, 0.1, *(limits[joints, 1] + 0.1), 1.0]
    low += [*(-0.05 for _ in MOVABLES), 0.0, 0.0]
    high += [*(RANGES[name] + 0.05 for name in MOVABLES), 1.0, 1.0]
    if blocks:
        low += [-50.0, -50.0, -50.0, -4.0, -2.0, -4.0] * len(BLOCKS)
        high += [50.0, 50.0, 50.0, 4.0, 2.0, 4.0] * len(BLOCKS)
    return np.array(low, np.float32), np.array(high, np.float32)


def check_outcome(time_limit: int, noise: float) -> None:
    """Refuse what no episode can have.

    Raises:
        SmbrlError: a time limit below one step, or a noise that is none.
    """
    if time_limit < 1:
        raise SmbrlError(f"tabletop time_limit is {time_limit}: give at least 1 step")
    if not 0.0 <= noise <= 0.2:
        raise SmbrlError(f"tabletop noise is {noise}: give 0 to 0.2 radians")


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> Vector:
    numbers = np.asarray(value, np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise SmbrlError(
            f"tabletop reset option {name} has shape {numbers.shape}: give finite numbers of shape {shape}"
        )
    return numbers
