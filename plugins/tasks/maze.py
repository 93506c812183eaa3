"""The paper's Maze task: find a goal 34 cells away, with reward only there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from smbrl_plugins.tasks.maze_data import GENERATOR, Demonstrations, generate_episodes
from smbrl_plugins.tasks.maze_env import MazeEnv, Position, check_outcome, pose
from smbrl_plugins.tasks.maze_layout import WALL_OFFSET, Layout
from smbrl_plugins.tasks.maze_physics import MAX_SPEED

from smbrl.data.files import write_episodes
from smbrl.interfaces import DatasetRequest, Progress, Task, TaskSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Maze(Task):
    """Point-mass navigation in a maze (the paper's section 4.1), sparse reward; see `MazeEnv` for the environment.

    Observation (x, y, vx, vy), action (ax, ay). The defaults are the paper's task and data: 40 x 40 cells drawn from
    seed 0, start (10, 24) + U(-2, 2), goal (18, 8), success within 2.0 m, reward 100, 2,000 steps; 3,046 trajectories
    between random cells.

    Args:
        layout: ``"random"``, ``"umaze"``, ``"medium"``, ``"large"``, or a drawing: lines of ``#`` (wall), ``O`` (free),
            ``S`` (start), ``G`` (goal), separated by newlines or backslashes.
        layout_seed, size: of a random layout (cells a side, without the border).
        start, goal: positions in metres; None: the paper's, the drawing's S and G, or the cells farthest apart.
        noise: the start varies by U(-noise, noise) per axis, metres; None: 2 in the paper's maze, else 0.2.
        clear: never start inside a wall; None: as in the paper in the paper's maze (starts overlap walls), else True.
        radius: distance to the goal that counts as success, metres; None: 2 in random layouts, else 0.5.
        reward: at the goal.
        time_limit: environment steps (10 ms each).
        trajectories: of the offline data.
        longest: steps after which a trajectory of the offline data is cut.
        shortest: trajectories of fewer steps are drawn again.
        data: id of a stored data set to pre-train on instead of generating one (see ``smbrl data import``).
        renderer: of videos: ``"topdown"`` or ``"mujoco"``.
    """

    def __init__(
        self,
        layout: str = "random",
        layout_seed: int = 0,
        size: int = 40,
        start: tuple[float, float] | None = None,
        goal: tuple[float, float] | None = None,
        noise: float | None = None,
        clear: bool | None = None,
        radius: float | None = None,
        reward: float = 100.0,
        time_limit: int = 2000,
        trajectories: int = 3046,
        longest: int = 1600,
        shortest: int = 51,
        data: str | None = None,
        renderer: str = "topdown",
    ) -> None:
        self._settings: dict[str, Any] = {
            "layout": layout,
            "seed": layout_seed,
            "size": size,
            "start": start,
            "goal": goal,
            "noise": noise,
            "clear": clear,
            "radius": radius,
        }
        self._outcome: dict[str, Any] = {"reward": reward, "time_limit": time_limit, "renderer": renderer}
        check_outcome(time_limit, renderer)
        self._data = data
        self.problem = pose(**self._settings)
        self.demonstrations = Demonstrations(self.layout.text(), trajectories, longest, shortest)
        cells = max(self.layout.rows, self.layout.columns) - 2
        # the paper's normalisation, x / 40 - 0.5 and v / 10, for any size
        self._spec = TaskSpec(
            observation=4,
            action=2,
            shift=(-0.5, -0.5, 0.0, 0.0),
            scale=(1.0 / cells, 1.0 / cells, 0.5 / MAX_SPEED, 0.5 / MAX_SPEED),
            position=(0, 1),
            time_limit=time_limit,
        )

    @property
    def layout(self) -> Layout:
        """The walls."""
        return self.problem.layout

    @property
    def start(self) -> Position:
        """Middle of the start area, metres."""
        return self.problem.start

    @property
    def goal(self) -> Position:
        """Middle of the goal disc, metres."""
        return self.problem.goal

    @property
    def spec(self) -> TaskSpec:
        """Shapes and the paper's normalisation."""
        return self._spec

    def make(self, render_mode: str | None = None) -> MazeEnv:
        """One environment."""
        return MazeEnv(**self._settings, **self._outcome, render_mode=render_mode)

    def dataset(self) -> DatasetRequest:
        """Task-agnostic navigation: depends on the walls, not on start and goal."""
        demonstrations = self.demonstrations
        return DatasetRequest(
            name="smbrl/maze-v1",
            parameters={
                "generator": GENERATOR,
                "layout": demonstrations.layout.splitlines(),
                "trajectories": demonstrations.trajectories,
                "longest": demonstrations.longest,
                "shortest": demonstrations.shortest,
            },
            stored=self._data,
        )

    def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
        """Drive between random cells (see `smbrl_plugins.tasks.maze_data`)."""
        parts = path.with_name("parts")
        episodes = generate_episodes(self.demonstrations, seed=seed, workers=workers, progress=progress, parts=parts)
        env = self.make()
        write_episodes(path, episodes, env.observation_space, env.action_space)

    def draw(self, axes: Axes) -> None:
        """Walls, start area and goal disc, x to the right and y upwards."""
        from matplotlib.patches import Circle, Rectangle

        for block in self.layout.rectangles():
            corner = (block.top + WALL_OFFSET - 0.5, block.left + WALL_OFFSET - 0.5)
            extent = (block.bottom - block.top + 1, block.right - block.left + 1)
            axes.add_patch(
                Rectangle(corner, *extent, facecolor="#4a5463", edgecolor="#4a5463", linewidth=0.4, zorder=2)
            )
        noise = self.problem.noise
        x, y = self.start
        axes.add_patch(
            Rectangle((x - noise, y - noise), 2 * noise, 2 * noise, facecolor="#5b9bd5", alpha=0.35, zorder=3)
        )
        axes.add_patch(Circle(self.goal, self.problem.radius, facecolor="#5fb760", alpha=0.45, zorder=3))
        axes.set_xlim(WALL_OFFSET - 0.5, self.layout.rows + WALL_OFFSET - 0.5)
        axes.set_ylim(WALL_OFFSET - 0.5, self.layout.columns + WALL_OFFSET - 0.5)
        axes.set_aspect("equal")
        axes.set_xlabel("x (m)")
        axes.set_ylabel("y (m)")
