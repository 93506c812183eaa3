"""The official CALVIN simulator, ``calvin_env`` (PyBullet), where it is installed; it is not on PyPI.

What is done to it here, and why: its commit hash is not asked for (it dies outside a git checkout); the pedestal is
drawn in the simulator it belongs to (upstream draws it in the first of the process); what it and its libraries print
is swallowed; a reset restores a saved state first and places the blocks itself, so that an episode depends on its seed
and actions alone.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smbrl.errors import SmbrlError

INSTALL = (
    "git clone --recursive https://github.com/mees/calvin_env && pip install -e ./calvin_env (not on PyPI; "
    "smbrl/Tabletop-v0 is the same task without it)"
)
SCENES = ("calvin_scene_A", "calvin_scene_B", "calvin_scene_C", "calvin_scene_D")
APART = 0.1
"""Least distance between the middles of two blocks at the start, metres."""
_TRIES = 1000


class Simulator:
    """One simulated desk.

    Args:
        scene: one of ``SCENES``.

    Raises:
        SmbrlError: ``calvin_env`` is not installed, or not as a checkout with its ``conf`` and ``data``.
    """

    def __init__(self, scene: str) -> None:
        with _silence():
            self._simulator: Any = _make(scene)
            self._simulator.close = _quietly_once(self._simulator.close)  # called once more when it is collected
            self._simulator.reset()
        self._bullet = self._simulator.p
        # upstream asks for it too, but before a reset of the physics that forgets it; without it, what touched what in
        # earlier episodes decides the order in which contacts are solved
        self._bullet.setPhysicsEngineParameter(deterministicOverlappingPairs=1)
        self._saved = self._bullet.saveState()

    def reset(self, rng: np.random.Generator, robot: NDArray[Any] | None, scene: NDArray[Any] | None) -> None:
        """Begin an episode.

        Args:
            rng: places the blocks.
            robot: ``robot_obs (15,)`` to begin with; None: the home position.
            scene: ``scene_obs (24,)`` to begin with; None: everything closed and off.
        """
        simulator = self._simulator
        self._bullet.restoreState(stateId=self._saved)
        if scene is None:
            scene = np.concatenate([np.zeros(6), self._blocks(rng)])
        simulator.robot.gripper_action = 1
        simulator.reset(robot_obs=robot, scene_obs=scene)
        for button in simulator.scene.buttons:
            button.prev_is_pressed = False

    def _blocks(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Poses (position, Euler angles) of the blocks on the scene's surfaces, apart from each other."""
        surfaces = [np.asarray(corners, np.float64) for corners in self._simulator.scene.surfaces.values()]
        count = len(self._simulator.scene.movable_objects)
        for _ in range(_TRIES):
            places = [rng.uniform(*surfaces[rng.integers(len(surfaces))]) for _ in range(count)]
            between = [np.linalg.norm(a - b) for i, a in enumerate(places) for b in places[:i]]
            if all(distance > APART for distance in between):
                break
        turned = [np.array([0.0, 0.0, rng.uniform(-np.pi, np.pi)]) for _ in places]
        return np.concatenate([part for pose in zip(places, turned, strict=True) for part in pose])

    def step(self, action: NDArray[np.float64]) -> None:
        """1/30 s.

        Args:
            action: relative pose ``(6,)`` in [-1, 1], and the gripper, exactly 1 (open) or -1.
        """
        self._simulator.step(action)

    def observe(self) -> NDArray[np.float32]:
        """``robot_obs`` and ``scene_obs``, ``(39,)``."""
        state = self._simulator.get_state_obs()
        return np.concatenate([state["robot_obs"], state["scene_obs"]]).astype(np.float32)

    @property
    def target(self) -> NDArray[np.float64]:
        """The pose that actions have asked for: position and Euler angles ``(6,)``."""
        robot = self._simulator.robot
        return np.concatenate([robot.target_pos, robot.target_orn])

    def picture(self, width: int, height: int) -> NDArray[np.uint8]:
        """The desk from the front, ``(height, width, 3)``, drawn without a GPU."""
        bullet = self._bullet
        view = bullet.computeViewMatrix((0.1, -1.0, 1.15), (0.03, 0.0, 0.45), (0.0, 0.0, 1.0))
        lens = bullet.computeProjectionMatrixFOV(48.0, width / height, 0.05, 5.0)
        seen = bullet.getCameraImage(width, height, view, lens, renderer=bullet.ER_TINY_RENDERER)
        return np.asarray(seen[2], np.uint8).reshape(height, width, 4)[..., :3]

    def close(self) -> None:
        """Give the simulator's memory back."""
        self._simulator.close()


def _quietly_once(close: Callable[[], object]) -> Callable[[], None]:
    """Upstream's ``close`` without what it prints, and without its complaint about a second time."""
    left = [close]

    def closing() -> None:
        if left:
            with contextlib.redirect_stdout(io.StringIO()):
                left.pop()()

    return closing


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Swallow what the simulator's libraries print and warn about."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def installed() -> Path:
    """The checkout that ``calvin_env`` is imported from.

    Raises:
        SmbrlError: there is none.
    """
    try:
        with _silence():
            package = importlib.import_module("calvin_env")
            importlib.import_module("calvin_env.envs.play_table_env")
    except ImportError as error:
        what = "calvin_env is not installed" if error.name == "calvin_env" else f"calvin_env needs {error.name}"
        raise SmbrlError(f"{what}: {INSTALL}") from error
    checkout = Path(str(package.__file__)).resolve().parents[1]
    for folder in ("conf", "data"):
        if not (checkout / folder).is_dir():
            raise SmbrlError(f"calvin_env is installed without its folder {folder} (looked in {checkout}): {INSTALL}")
    return checkout


def _make(scene: str) -> Any:
    checkout = installed()
    hydra = importlib.import_module("hydra")
    environments = importlib.import_module("calvin_env.envs.play_table_env")
    robots = importlib.import_module("calvin_env.robot.robot")
    setattr(environments, "get_git_commit_hash", lambda path: "unknown")  # noqa: B010 - mypy knows no such name
    robots.Robot.add_base_cylinder = _pedestal
    with hydra.initialize_config_dir(str(checkout / "conf"), version_base="1.1"):
        config = hydra.compose("config_data_collection", overrides=["cameras=no_cameras", f"scene={scene}"])
    return hydra.utils.instantiate(config.env, show_gui=False, use_vr=False, use_scene_info=False, use_egl=False)


def _pedestal(robot: Any) -> None:
    """What the arm stands on: seen, not touched."""
    bullet = importlib.import_module("pybullet")
    height, here = float(robot.base_position[2]), {"physicsClientId": robot.cid}
    shape = bullet.createVisualShape(bullet.GEOM_CYLINDER, radius=0.13, length=height, rgbaColor=(1, 1, 1, 1), **here)
    x, y = (float(value) for value in robot.base_position[:2])
    bullet.createMultiBody(baseVisualShapeIndex=shape, basePosition=(x - 0.05, y, height / 2), **here)
