"""The kitchen as a Gymnasium environment, ``smbrl/Kitchen-v0`` and ``smbrl/KitchenMisaligned-v0``."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks.in_order import InOrder, check_subtasks
from smbrl_plugins.tasks.kitchen_physics import (
    GOALS,
    HIGHEST,
    JOINTS,
    LOWEST,
    NOISE,
    SECONDS,
    SIZE,
    SPEED,
    START,
    SUBSTEPS,
    goal_vector,
    holds,
    model,
)
from smbrl_plugins.tasks.offscreen import Offscreen

from smbrl.errors import SmbrlError

Floats = NDArray[np.float32]

KITCHEN = ("microwave", "kettle", "bottom burner", "light switch")
MISALIGNED = ("microwave", "light switch", "slide cabinet", "hinge cabinet")
"""The paper's two tasks."""
BOUND = 20.0
"""Of the observation space."""


def check_kitchen(subtasks: tuple[str, ...], noise: float, time_limit: int) -> tuple[str, ...]:
    """Refuse what no episode can have; the sub-tasks as a tuple.

    Raises:
        SmbrlError: an unknown sub-task, noise that is no finite number of at least 0, a time limit below one step.
    """
    if not 0.0 <= noise < math.inf:
        raise SmbrlError(f"kitchen noise is {noise}: give a finite number, 0 or more (0.1 in D4RL)")
    if time_limit < 1:
        raise SmbrlError(f"kitchen time_limit is {time_limit}: give at least 1 step")
    return check_subtasks("Kitchen", subtasks, tuple(GOALS))


class KitchenEnv(gymnasium.Env[Floats, Floats]):
    """A Franka arm does sub-tasks in a kitchen, in the order of a list; each pays 1.

    Observation: joint positions of arm (7) and fingers (2), then of burners, light, cabinets, microwave, kettle (21),
    float32, as the noisy sensors give them; with ``goal`` D4RL's goal vector (30) behind. Action: joint velocities in
    [-1, 1] (clipped), times 2 rad/s; the position controllers' target is the last *observed* position + velocity x
    0.08 s. A step is 80 ms. Reward 1 for each sub-task completed when its turn comes (see `in_order`); terminated after
    the last, truncated after ``time_limit`` steps. Deterministic given the reset seed and the actions.

    ``info["subtasks"]``: the completed ones; ``info["success"]``: whether all are.
    ``reset(options={"qpos": (30 numbers)})`` starts there instead.

    Args:
        subtasks: in their order, of microwave, kettle, bottom burner, top burner, light switch, slide cabinet, hinge
            cabinet.
        goal: observe the goal too.
        noise: of the sensors, as a share of their amplitudes (0.1 rad for the arm); 0.1 in D4RL.
        time_limit: steps.
        render_mode: None or ``"rgb_array"``.
        pixels: height of a picture.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 12}  # noqa: RUF012 - as declared by gymnasium

    def __init__(
        self,
        subtasks: tuple[str, ...] = KITCHEN,
        goal: bool = False,
        noise: float = 0.1,
        time_limit: int = 280,
        render_mode: str | None = None,
        pixels: int = 320,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise SmbrlError(f"kitchen render_mode is {render_mode!r}: give 'rgb_array' or None")
        self.progress = InOrder(check_kitchen(subtasks, noise, time_limit))
        self.noise = float(noise)
        self.time_limit = time_limit
        self.render_mode = render_mode
        self.pixels = pixels
        size = 2 * SIZE if goal else SIZE
        self.observation_space = gymnasium.spaces.Box(-BOUND, BOUND, (size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (JOINTS,), np.float32)
        self.model = model()
        self.data = mujoco.MjData(self.model)
        self._amplitude = self.noise * NOISE
        self._goal = goal_vector(self.progress.names).astype(np.float32) if goal else None
        self._qpos, self._ctrl = self.data.qpos, self.data.ctrl  # views into MuJoCo's memory
        self._seen = np.zeros(SIZE)
        self._time = 0
        self._ready = False
        self._view: Offscreen | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start an episode at rest in the one starting state (only the sensors' noise differs), or at ``qpos``."""
        super().reset(seed=seed)
        unknown = sorted(set(options or {}) - {"qpos"})
        if unknown:
            raise SmbrlError(f"kitchen reset option {unknown[0]!r} is unknown: qpos is known")
        start = np.asarray((options or {}).get("qpos", START), np.float64)
        if start.shape != (SIZE,) or not np.isfinite(start).all():
            raise SmbrlError(f"kitchen reset option qpos has shape {start.shape}: give {SIZE} finite numbers")
        mujoco.mj_resetData(self.model, self.data)
        self._qpos[:] = start
        mujoco.mj_forward(self.model, self.data)
        self.progress.reset()
        self._time = 0
        self._ready = True
        return self._observe(), self._info()

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """80 ms."""
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before step")
        velocity = np.asarray(action, np.float64)
        if velocity.shape != (JOINTS,) or not np.isfinite(velocity).all():
            raise ValueError(f"a kitchen action is an array of {JOINTS} finite numbers, got {action!r}")
        target = self._seen[:JOINTS] + np.minimum(np.maximum(velocity, -1.0), 1.0) * (SPEED * SECONDS)
        self._ctrl[:] = np.minimum(np.maximum(target, LOWEST), HIGHEST)
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        self._time += 1
        observation = self._observe()
        qpos = self._qpos
        reward = self.progress.update(lambda name: holds(qpos, name), self._time)
        over = self.progress.complete
        return observation, float(reward), over, self._time >= self.time_limit and not over, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """The kitchen as ``(pixels, 4/3 pixels, 3)`` uint8; None without a render mode.

        Raises:
            SmbrlError: no OpenGL context can be had.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render() without render_mode: make the environment with render_mode='rgb_array'")
            return None
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before render")
        if self._view is None:
            size = (max(round(self.pixels * 4 / 3), 16), self.pixels)
            self._view = Offscreen(
                copy(self.model),  # it is written to
                size,
                lookat=(-0.2, 0.5, 2.0),
                azimuth=70.0,
                elevation=-35.0,
                distance=2.2,
                sky=225,  # the scene's own is a night with stars
            )
        return self._view.frame(self._qpos)

    def close(self) -> None:
        """Free the renderer."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _observe(self) -> Floats:
        np.multiply(self.np_random.uniform(-1.0, 1.0, SIZE), self._amplitude, out=self._seen)
        self._seen += self._qpos
        seen: Floats = self._seen.astype(np.float32)
        return seen if self._goal is None else np.concatenate([seen, self._goal])

    def _info(self) -> dict[str, Any]:
        return {"success": self.progress.complete, "subtasks": self.progress.done}


class KitchenMisalignedEnv(KitchenEnv):
    """`KitchenEnv` with the sub-tasks of the paper's Mis-aligned Kitchen.

    Args:
        subtasks, goal, noise, time_limit, render_mode, pixels: see `KitchenEnv`.
    """

    def __init__(
        self,
        subtasks: tuple[str, ...] = MISALIGNED,
        goal: bool = False,
        noise: float = 0.1,
        time_limit: int = 280,
        render_mode: str | None = None,
        pixels: int = 320,
    ) -> None:
        super().__init__(subtasks, goal, noise, time_limit, render_mode, pixels)
