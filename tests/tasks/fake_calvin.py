"""A stand-in for CALVIN's official simulator and the packages it needs, with the same interface.

The gripper goes where it is asked to at once; what moves on the desk follows it while it is at the right place. That is
enough for the task, and for the scripted play to work on it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

JOINTS = np.array([-1.2, 1.0, 2.1, -2.3, -0.9, 1.6, 0.6])
HOME = np.array([0.026, -0.231, 0.571, 3.09, -0.03, 1.5])


class Robot:
    """Of upstream, only what is used."""

    def __init__(self) -> None:
        self.base_position, self.cid, self.gripper_action = [-0.34, -0.46, 0.24], 0, 1
        self.reset()
        self.add_base_cylinder()

    def add_base_cylinder(self) -> None:
        raise AssertionError("upstream draws into the wrong simulator")

    def reset(self, robot_obs: Any = None) -> None:
        pose = HOME if robot_obs is None else robot_obs[:6]
        self.target_pos, self.target_orn = np.array(pose[:3]), np.array(pose[3:])


class Bullet:
    """Remembers what was asked of it."""

    ER_TINY_RENDERER = GEOM_CYLINDER = 1

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *values, **named: self.asked.append((name, named)) or 7

    def getCameraImage(self, width: int, height: int, *_: Any, **__: Any) -> tuple[Any, ...]:
        return width, height, list(np.full(width * height * 4, 50))


class Simulator:
    """As ``PlayTableSimEnv``."""

    def __init__(self) -> None:
        print("noise that nobody wants")
        self.p, self.robot = Bullet(), Robot()
        table, left = [[0.0, -0.15, 0.46], [0.35, -0.03, 0.46]], [[-0.32, 0.05, 0.46], [-0.16, 0.12, 0.46]]
        self.scene = SimpleNamespace(
            surfaces={"table": table, "slider_left": left},
            movable_objects=[object()] * 3,
            buttons=[SimpleNamespace(prev_is_pressed=True)],
        )
        self.state, self.closed = np.zeros(24), 0

    def reset(self, robot_obs: Any = None, scene_obs: Any = None) -> None:
        self.state = np.zeros(24) if scene_obs is None else np.array(scene_obs, float)
        self.robot.reset(robot_obs)
        self.where = np.array(self.robot.target_pos)

    def step(self, action: Any) -> tuple[Any, int, bool, dict[str, Any]]:
        assert action.shape == (7,)
        assert action[6] in (-1, 1)
        assert np.abs(action[:6]).max() <= 1
        before = np.array(self.where)
        self.robot.target_pos += 0.02 * action[:3]
        self.robot.target_orn += 0.05 * action[3:6]
        self.robot.gripper_action = int(action[6])
        self.where = np.array(self.robot.target_pos)
        self._push(before, self.where)
        return None, 0, False, {}

    def _push(self, before: Any, now: Any) -> None:
        x, y, z = now
        state, button = self.state, self.scene.buttons[0]
        if z < 0.39 and abs(x - 0.18) < 0.06:
            handle = -0.235 - state[1]
            if y < before[1] and handle - 0.03 < before[1] < handle + 0.03:
                state[1] = np.clip(-0.235 - y, state[1], 0.22)
            elif y > before[1] and -0.1 < before[1] - handle + 0.06 < 0.05:
                state[1] = np.clip(state[1] - (y - before[1]), 0.0, 0.22)
        if y > -0.04 and abs(z - 0.53) < 0.03:
            state[0] = np.clip(state[0] - (x - before[0]), 0.0, 0.28)
        if abs(x - 0.29) < 0.07 and y > -0.03:
            state[3] = np.clip(state[3] + (z - before[2]), 0.0, 0.088)
        state[4] = float(state[3] > 0.044)
        pressed = np.hypot(x + 0.12, y + 0.12) < 0.03 and z < 0.47
        if pressed and not button.prev_is_pressed:
            state[5] = 1.0 - state[5]
        button.prev_is_pressed = pressed

    def get_state_obs(self) -> dict[str, Any]:
        robot = np.concatenate([self.where, self.robot.target_orn, [0.08], JOINTS, [self.robot.gripper_action]])
        return {"robot_obs": robot, "scene_obs": self.state}

    def close(self) -> None:
        print("more noise")
        self.closed += 1


def install(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Put the stand-ins where imports find them; what configurations were composed from."""
    composed: list[list[str]] = []
    for folder in ("conf", "data"):
        (checkout / folder).mkdir(parents=True)

    @contextmanager
    def initialize_config_dir(folder: str, version_base: str) -> Iterator[None]:
        assert folder == str(checkout / "conf")
        yield

    def compose(name: str, overrides: list[str]) -> Any:
        assert name == "config_data_collection"
        composed.append(overrides)
        return SimpleNamespace(env="environment")

    def instantiate(config: str, **settings: Any) -> Simulator:
        assert settings == {"show_gui": False, "use_vr": False, "use_scene_info": False, "use_egl": False}
        return Simulator()

    modules = {
        "calvin_env": {"__file__": str(checkout / "calvin_env" / "__init__.py"), "__path__": []},
        "calvin_env.envs": {"__path__": []},
        "calvin_env.envs.play_table_env": {},
        "calvin_env.robot": {"__path__": []},
        "calvin_env.robot.robot": {"Robot": Robot},
        "hydra": {
            "initialize_config_dir": initialize_config_dir,
            "compose": compose,
            "utils": SimpleNamespace(instantiate=instantiate),
        },
        "pybullet": {name: getattr(Bullet(), name) for name in ("createVisualShape", "createMultiBody")}
        | {"GEOM_CYLINDER": 1},
    }
    monkeypatch.setattr(Robot, "add_base_cylinder", Robot.add_base_cylinder)  # put back afterwards
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return composed
