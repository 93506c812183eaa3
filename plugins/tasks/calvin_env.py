"""CALVIN's desk as a Gymnasium environment, ``smbrl/Calvin-v0``, on the official simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.calvin_simulator import SCENES, Simulator
from smbrl_plugins.tasks.in_order import InOrder, check_subtasks

from smbrl.errors import SmbrlError, suggestion

Floats = NDArray[np.float32]

SLIDER, DRAWER, BULB, LED = 15, 16, 19, 20
"""Elements of the observation."""
OPENED, SLID = 0.12, 0.15
"""Travel of the drawer and of the sliding door that counts, metres."""
CONDITIONS = {
    "open drawer": (DRAWER, OPENED, 1),
    "close drawer": (DRAWER, 0.01, -1),
    "bulb on": (BULB, 0.5, 1),
    "bulb off": (BULB, 0.5, -1),
    "slider left": (SLIDER, SLID, 1),
    "slider right": (SLIDER, 0.01, -1),
    "LED on": (LED, 0.5, 1),
    "LED off": (LED, 0.5, -1),
}
"""Element, threshold, and whether it must be above (1) or below (-1) it."""
ORDER = ("open drawer", "bulb on", "slider left", "LED on")
"""The SkiMo paper's list."""
STATE, STATE_WITH_BLOCKS, ACTION = 21, 39, 7
RATE = 30
"""Steps per second."""
OPTIONS = ("robot", "scene")
BOUND = 10.0
"""Of the observation space."""


def holds(observation: Floats, name: str) -> bool:
    """Whether a sub-task's condition is true."""
    element, threshold, sign = CONDITIONS[name]
    return bool(sign * (observation[element] - threshold) > 0)


def check_calvin(subtasks: Sequence[str], scene: str, time_limit: int) -> tuple[str, ...]:
    """Refuse what no episode can have; the sub-tasks as a tuple.

    Raises:
        SmbrlError: an unknown sub-task or scene, a time limit below one step.
    """
    if scene not in SCENES:
        raise SmbrlError(f"Calvin.scene is {scene!r}: {suggestion(scene, SCENES)}")
    if time_limit < 1:
        raise SmbrlError(f"Calvin.time_limit is {time_limit}: give at least 1 step")
    return check_subtasks("Calvin", subtasks, tuple(CONDITIONS))


class CalvinEnv(gymnasium.Env[Floats, Floats]):
    """Open a drawer, switch on a bulb, slide a door and press a button, in order, with a Franka Panda.

    Observation, float32: gripper position (0-2, metres), its Euler angles (3-5, radians, as the simulator gives them:
    the first jumps between -pi and pi), opening of the fingers (6, metres), joint angles (7-13), last gripper command
    (14), slider, drawer, button, switch (15-18, travel), bulb and LED (19, 20: 1 glows); with ``blocks``, position and
    angles of each of three blocks (21-38).

    Action, float32 in [-1, 1] (clipped): change of the pose asked of the gripper, position times 2 cm, Euler angles
    times 0.05 rad, and the gripper, which opens at 0 and above and closes below. 30 Hz.

    Each sub-task pays 1 when its turn comes and it holds (see `in_order`); terminated after the last, truncated after
    ``time_limit`` steps. Blocks lie at random. Deterministic given the reset seed and the actions.
    ``reset(options=...)`` takes ``robot`` ``(15,)`` and ``scene`` ``(24,)``, the observation's two parts.

    Args:
        subtasks: which of ``CONDITIONS`` pay, in this order.
        blocks: observe the blocks too (39 elements instead of 21).
        scene: which of CALVIN's desks.
        time_limit: steps.
        render_mode: None or ``"rgb_array"``.
        pixels: height of a picture, which is 4/3 as wide.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": RATE}  # noqa: RUF012 - as declared by gymnasium

    def __init__(
        self,
        subtasks: Sequence[str] = ORDER,
        blocks: bool = False,
        scene: str = "calvin_scene_D",
        time_limit: int = 360,
        render_mode: str | None = None,
        pixels: int = 360,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise SmbrlError(f"calvin render_mode is {render_mode!r}: give 'rgb_array' or None")
        self.progress = InOrder(check_calvin(subtasks, scene, time_limit))
        self.size = STATE_WITH_BLOCKS if blocks else STATE
        self.time_limit = time_limit
        self.render_mode = render_mode
        self.pixels = pixels
        self.observation_space = gymnasium.spaces.Box(-BOUND, BOUND, (self.size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION,), np.float32)
        self.simulator = Simulator(scene)
        self._time = 0
        self._ready = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Everything closed and off and the arm at home, or as the options say."""
        super().reset(seed=seed)
        unknown = sorted(set(options or {}) - set(OPTIONS))
        if unknown:
            raise SmbrlError(f"calvin reset option {unknown[0]!r} is unknown: {suggestion(unknown[0], OPTIONS)}")
        parts = [_numbers(options or {}, name, size) for name, size in zip(OPTIONS, (15, 24), strict=True)]
        self.simulator.reset(self.np_random, *parts)
        self.progress.reset()
        self._time = 0
        self._ready = True
        return self.simulator.observe()[: self.size], self._info()

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """1/30 s."""
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before step")
        asked = np.asarray(action, np.float64)
        if asked.shape != (ACTION,) or not np.isfinite(asked).all():
            raise ValueError(f"a calvin action is an array of {ACTION} finite numbers, got {action!r}")
        self.simulator.step(np.append(asked[:6].clip(-1.0, 1.0), 1.0 if asked[6] >= 0.0 else -1.0))
        self._time += 1
        observation = self.simulator.observe()[: self.size]
        reward = self.progress.update(lambda name: holds(observation, name), self._time)
        over = self.progress.complete
        return observation, float(reward), over, self._time >= self.time_limit and not over, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """The desk from the front."""
        if self.render_mode is None:
            return None
        return self.simulator.picture(self.pixels * 4 // 3, self.pixels)

    def close(self) -> None:
        """Give the simulator's memory back."""
        self.simulator.close()

    def _info(self) -> dict[str, Any]:
        return {"success": self.progress.complete, "subtasks": self.progress.done}


def _numbers(options: dict[str, Any], name: str, size: int) -> NDArray[np.float64] | None:
    if options.get(name) is None:
        return None
    values = np.asarray(options[name], np.float64)
    if values.shape != (size,) or not np.isfinite(values).all():
        raise SmbrlError(f"calvin reset option {name} has shape {values.shape}: give {size} finite numbers")
    return values
