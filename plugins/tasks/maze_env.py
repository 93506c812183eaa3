"""The maze as a Gymnasium environment, ``smbrl/Maze-v0``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray
from smbrl_plugins.tasks import maze_layout
from smbrl_plugins.tasks.maze_layout import Layout, cell_of, middle_of
from smbrl_plugins.tasks.maze_physics import MAX_SPEED, TIMESTEP, model
from smbrl_plugins.tasks.maze_render import MuJoCoView, TopDown

from smbrl.errors import SmbrlError, suggestion

Position = tuple[float, float]

PAPER_START, PAPER_GOAL, PAPER_NOISE = (10.0, 24.0), (18.0, 8.0), 2.0
"""Where the paper's task (random layout, seed 0, size 40) starts, ends, and by how much the start varies."""
OTHER_NOISE = 0.2
"""Half-width of the start area in every other layout, metres."""
PAPER_RADIUS, OTHER_RADIUS = 2.0, 0.5
"""Distance to the goal that counts as success in random and in drawn layouts, which are smaller; metres."""
RENDERERS = ("topdown", "mujoco")
SPEED_BOUND = 100.0
"""Bound of the observation space, m/s; contacts may push faster than the clip for one step."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A layout with start and goal, checked.

    Attributes:
        start, goal: positions, metres. The episode starts at ``start`` + U(-noise, noise) per axis.
        clear: draw starts again that lie inside a wall.
        radius: distance to the goal that counts as success, metres.
    """

    layout: Layout
    start: Position
    goal: Position
    noise: float
    clear: bool
    radius: float


def pose(
    layout: str,
    seed: int,
    size: int,
    start: Position | None,
    goal: Position | None,
    noise: float | None,
    clear: bool | None,
    radius: float | None,
) -> Problem:
    """Fill in what is None and check that the problem can be solved (see `MazeEnv` for the parameters).

    Raises:
        SmbrlError: start or goal in a wall or outside, no way between them, or a nonsensical number.
    """
    grid = maze_layout.load(layout, seed, size)
    paper = (layout, seed, size) == ("random", 0, 40)
    if start is None or goal is None:
        ends = (grid.start, grid.goal) if grid.start and grid.goal else grid.farthest()
        start = start or (PAPER_START if paper else middle_of(grid.start or ends[0]))
        goal = goal or (PAPER_GOAL if paper else middle_of(grid.goal or ends[1]))
    for name, place in (("start", start), ("goal", goal)):
        if len(place) != 2 or not all(isinstance(c, (int, float)) and math.isfinite(c) for c in place):
            raise SmbrlError(f"maze {name} is {place!r}: give two finite numbers (x, y) in metres")
        if not grid.is_free(*place):
            raise SmbrlError(
                f"maze {name} {tuple(place)} is cell {cell_of(*place)}, a wall or outside the layout of "
                f"{grid.rows} x {grid.columns} cells: choose a free cell"
            )
    if grid.distances(cell_of(*goal))[cell_of(*start)] < 0:
        raise SmbrlError(
            f"no way leads from maze start {tuple(start)} to goal {tuple(goal)}: change one, or the layout"
        )
    radius = (PAPER_RADIUS if layout == "random" else OTHER_RADIUS) if radius is None else radius
    noise = (PAPER_NOISE if paper else OTHER_NOISE) if noise is None else noise
    for name, value, lowest in (("start noise", noise, 0.0), ("goal radius", radius, 1e-6)):
        if not lowest <= value < math.inf:
            raise SmbrlError(f"maze {name} is {value}: give a finite number of metres, at least {lowest:g}")
    clear = not paper if clear is None else clear
    return Problem(grid, (float(start[0]), float(start[1])), (float(goal[0]), float(goal[1])), noise, clear, radius)


def check_outcome(time_limit: int, renderer: str) -> None:
    """Refuse what no episode can have.

    Raises:
        SmbrlError: an unknown renderer or a time limit below one step.
    """
    if renderer not in RENDERERS:
        raise SmbrlError(f"maze renderer is {renderer!r}: {suggestion(renderer, RENDERERS)}")
    if time_limit < 1:
        raise SmbrlError(f"maze time_limit is {time_limit}: give at least 1 step")


class MazeEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Steer a ball through a maze by forces; reward only at the goal.

    Observation: ``(x, y, vx, vy)`` float32, metres and m/s. Action: force per axis, float32 in [-1, 1] (clipped).
    Reward ``reward`` and termination within ``radius`` of the goal; truncation after ``time_limit`` steps of
    10 ms. Deterministic given the reset seed and the actions. ``info["success"]`` is true on the last step of a solved
    episode. ``reset(options={"position": (x, y), "velocity": (vx, vy)})`` starts exactly there (velocity optional).

    Args:
        layout, seed, size: see `smbrl_plugins.tasks.maze_layout.load`; the default is the paper's maze.
        start, goal: positions; None: the paper's in the paper's maze, the drawing's S and G, else the free cells
            farthest apart.
        noise: the start varies by U(-noise, noise) per axis; None: 2 in the paper's maze (as there), else 0.2.
        clear: draw a start again that lies inside a wall. None: not in the paper's maze, where about a quarter of the
            starts overlap walls as in the paper (the agent can leave them, see `maze_physics`); in all others yes.
        radius: metres around the goal that count as success; None: 2 in random layouts (the paper's), else 0.5.
        reward: at the goal.
        time_limit: steps.
        render_mode: None or ``"rgb_array"``.
        renderer: ``"topdown"`` (drawn by numpy, works everywhere) or ``"mujoco"`` (needs EGL or another GL).
        pixels: height of a picture.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": round(1 / TIMESTEP)}  # noqa: RUF012 - as declared by gymnasium

    def __init__(
        self,
        layout: str = "random",
        seed: int = 0,
        size: int = 40,
        start: Position | None = None,
        goal: Position | None = None,
        noise: float | None = None,
        clear: bool | None = None,
        radius: float | None = None,
        reward: float = 100.0,
        time_limit: int = 2000,
        render_mode: str | None = None,
        renderer: str = "topdown",
        pixels: int = 480,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise SmbrlError(f"maze render_mode is {render_mode!r}: give 'rgb_array' or None")
        check_outcome(time_limit, renderer)
        self.problem = pose(layout, seed, size, start, goal, noise, clear, radius)
        self.render_mode = render_mode
        self.time_limit = time_limit
        self.reward = float(reward)
        self.pixels = pixels
        self._renderer = renderer
        self._view: TopDown | MuJoCoView | None = None
        self._trail: list[Position] | None = [] if render_mode else None

        grid = self.problem.layout
        high = np.array([grid.rows, grid.columns, SPEED_BOUND, SPEED_BOUND], np.float32)
        low = np.array([-1.0, -1.0, -SPEED_BOUND, -SPEED_BOUND], np.float32)
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

        self.model = model(grid)
        self.data = mujoco.MjData(self.model)
        # views into MuJoCo's memory: no attribute look-up through the bindings in a step
        self._qpos, self._qvel, self._ctrl = self.data.qpos, self.data.qvel, self.data.ctrl
        self._vx = self._vy = 0.0
        self._goal = self.problem.goal
        self._radius2 = self.problem.radius**2
        self._time = 0
        self._ready = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode: at rest at a random start followed by one step without force, or as ``options`` say."""
        super().reset(seed=seed)
        unknown = sorted(set(options or {}) - {"position", "velocity"})
        if unknown:
            raise SmbrlError(f"maze reset option {unknown[0]!r} is unknown: position and velocity are known")
        mujoco.mj_resetData(self.model, self.data)
        if options and "position" in options:
            self._qpos[:] = self._pair(options["position"], "position")
            self._qvel[:] = self._pair(options.get("velocity", (0.0, 0.0)), "velocity")
        elif options and "velocity" in options:
            raise SmbrlError("maze reset option velocity needs position beside it")
        else:
            self._qpos[:] = self._sample_start()
            mujoco.mj_step(self.model, self.data)
        self._time = 0
        self._ready = True
        x, y = self._qpos.tolist()
        self._vx, self._vy = self._qvel.tolist()
        if self._trail is not None:
            self._trail = [(x, y)]
        return np.array((x, y, self._vx, self._vy), np.float32), {"success": False}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One physics step of 10 ms."""
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before step")
        try:
            ax, ay = action.tolist()
            if ax - ax != 0.0 or ay - ay != 0.0:
                raise ValueError("not finite")
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"a maze action is an array of two finite numbers, got {action!r}") from error
        ctrl, qvel = self._ctrl, self._qvel
        ctrl[0] = ax  # clipped to [-1, 1] by the actuator
        ctrl[1] = ay
        if not -MAX_SPEED <= self._vx <= MAX_SPEED:
            qvel[0] = MAX_SPEED if self._vx > 0.0 else -MAX_SPEED
        if not -MAX_SPEED <= self._vy <= MAX_SPEED:
            qvel[1] = MAX_SPEED if self._vy > 0.0 else -MAX_SPEED
        mujoco.mj_step(self.model, self.data)
        x, y = self._qpos.tolist()
        self._vx, self._vy = vx, vy = qvel.tolist()
        self._time += 1
        if self._trail is not None:
            self._trail.append((x, y))
        gx, gy = self._goal
        success = (x - gx) * (x - gx) + (y - gy) * (y - gy) <= self._radius2
        return (
            np.array((x, y, vx, vy), np.float32),
            self.reward if success else 0.0,
            success,
            self._time >= self.time_limit and not success,
            {"success": success},
        )

    def render(self) -> NDArray[np.uint8] | None:
        """The scene as ``(pixels, width, 3)`` uint8 with the episode's trail; None without a render mode.

        Raises:
            SmbrlError: ``renderer="mujoco"`` and no OpenGL context can be had.
        """
        if self.render_mode is None or self._trail is None:
            gymnasium.logger.warn("render() without render_mode: make the environment with render_mode='rgb_array'")
            return None
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before render")
        if self._view is None:
            kind = TopDown if self._renderer == "topdown" else MuJoCoView
            self._view = kind(
                self.problem.layout,
                self.problem.start,
                self.problem.noise,
                self._goal,
                self.problem.radius,
                self.pixels,
            )
        return self._view.frame(self._trail, self.model, self.data)

    def close(self) -> None:
        """Free the renderer."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _sample_start(self) -> tuple[float, float]:
        problem = self.problem
        while True:
            dx, dy = self.np_random.uniform(-problem.noise, problem.noise, 2).tolist()
            x, y = problem.start[0] + dx, problem.start[1] + dy
            if not problem.clear or problem.layout.is_free(x, y):  # start itself is free, so this ends
                return x, y

    @staticmethod
    def _pair(value: Any, name: str) -> NDArray[np.float64]:
        pair = np.asarray(value, np.float64)
        if pair.shape != (2,) or not np.isfinite(pair).all():
            raise SmbrlError(f"maze reset option {name} is {value!r}: give two finite numbers")
        return pair
