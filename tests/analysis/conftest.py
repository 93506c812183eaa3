"""A room to walk in, and an agent whose model of it is known exactly."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from smbrl.interfaces import Agent, Task, TaskSpec

STEP = 0.5
"""Metres that a full action moves."""
H = 5


class RoomEnv(gymnasium.Env):
    """Observation (x, y) in a 20 x 20 m room; success right of x = 16."""

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(0.0, 20.0, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.uniform(4.0, 6.0, 2).astype(np.float32)
        self.steps = 0
        return self.at.copy(), {}

    def step(self, action):
        self.at = np.clip(self.at + STEP * np.clip(action, -1, 1), 0, 20).astype(np.float32)
        self.steps += 1
        success = bool(self.at[0] > 16.0)
        return self.at.copy(), 100.0 * success, success, self.steps >= 100, {"success": success}

    def render(self):
        image = np.full((101, 101, 3), 240, np.uint8)
        x, y = (self.at * 5).astype(int)
        image[max(100 - y - 3, 0) : 100 - y + 3, max(x - 3, 0) : x + 3] = (200, 30, 30)
        return image


class Room(Task):
    def __init__(self):
        pass

    @property
    def spec(self):
        return TaskSpec(2, 2, (-0.5, -0.5), (0.05, 0.05), (0, 1), 100)

    def make(self, render_mode=None):
        return RoomEnv(render_mode)

    def draw(self, axes):
        from matplotlib.patches import Rectangle

        axes.add_patch(Rectangle((16, 0), 4, 20, facecolor="#5fb760", alpha=0.4, zorder=3))
        axes.add_patch(Rectangle((9, 5), 2, 15, facecolor="#4a5463", zorder=2))
        axes.set_xlim(0, 20)
        axes.set_ylim(0, 20)
        axes.set_aspect("equal")


class Walker(Agent):
    """Decisions are directions held for H steps; its model is exact but for a drift per decision."""

    drift = 0.1

    def __init__(self, spec):
        torch.nn.Module.__init__(self)
        self.spec = spec
        self.horizon, self.decision, self.window, self.discount = H, 2, 4, 0.99

    def initial_memory(self, envs):
        return torch.zeros(envs, 0)

    def act(self, obs, memory, *, mode, step, generator):
        if mode == "evaluate":
            return self.policy_mode(obs), memory
        return 2 * torch.rand(len(obs), 2, generator=generator) - 1, memory

    def low_level(self, obs, decision):
        return decision

    def update(self, windows, generator):
        return {}

    def encode(self, obs):
        return obs

    def imagine(self, state, decision):
        return state + H * STEP * decision + self.drift * torch.tensor([1.0, 0.0])

    def decode(self, state):
        return state

    def infer(self, obs, actions):
        return actions.mean(-2)

    def state_value(self, obs):
        return 100 * 0.99 ** ((16 - obs[..., 0]).clamp(min=0) / STEP)

    def policy_mode(self, obs):
        return torch.stack([torch.ones_like(obs[..., 0]), 0.3 * torch.sin(obs[..., 0])], -1)


@pytest.fixture
def room():
    return Room()


@pytest.fixture
def walker(room):
    return Walker(room.spec)
