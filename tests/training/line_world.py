"""A task and an agent that are over in milliseconds, for tests of the run around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smbrl.data.files import Episode, write_episodes
from smbrl.interfaces import Agent, DatasetRequest, Metrics, Mode, Progress, SkillWindows, Task, TaskSpec, Windows

Floats = NDArray[np.float32]
LIMIT = 30
SPACES = (gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float32), gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32))


class LineEnv(gymnasium.Env[Floats, Floats]):
    """Walk right along a line with wind; success beyond +2."""

    observation_space, action_space = SPACES

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.uniform(-0.5, 0.5)), 0
        return self._obs(), {}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        self.x += 0.3 * float(np.clip(action[0], -1, 1)) + 0.05 * float(self.np_random.normal())
        self.t += 1
        there = self.x > 2.0
        return self._obs(), float(there), there, self.t >= LIMIT and not there, {"success": there}

    def _obs(self) -> Floats:
        return np.array([self.x, self.t / LIMIT], np.float32)


class LineTask(Task):
    """The line."""

    def __init__(self, episodes: int = 12) -> None:
        self.episodes = episodes
        self.generated = 0

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec.plain(2, 1, position=(0,), time_limit=LIMIT)

    def make(self, render_mode: str | None = None) -> gymnasium.Env[Floats, Floats]:
        return LineEnv()

    def dataset(self) -> DatasetRequest:
        return DatasetRequest("smbrl/line-v1", {"episodes": self.episodes})

    def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
        self.generated += 1
        rng = np.random.default_rng(seed)
        episodes = []
        for _ in range(self.episodes):
            actions = rng.uniform(-1, 1, (20, 1)).astype(np.float32)
            obs = np.concatenate([np.zeros((1, 2)), np.cumsum(np.repeat(actions, 2, 1), 0)]).astype(np.float32)
            episodes.append(Episode(obs, actions))
        write_episodes(path, episodes, *SPACES)


def noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal, where the generator is."""
    return torch.randn(shape, generator=generator, device=generator.device)


class LineAgent(Agent):
    """Learns little, but has every kind of state: weights, optimiser, counter, all sources of randomness."""

    horizon, decision, window, discount = 3, 2, 4, 0.9

    def __init__(self, spec: TaskSpec, *, pretrains: bool = True, poison_at: int = -1, width: int = 8) -> None:
        nn.Module.__init__(self)
        self.pretrains = pretrains
        self.poison_at = poison_at
        self.net = nn.Sequential(nn.Linear(spec.observation, width), nn.Tanh(), nn.Linear(width, self.decision))
        self.value = nn.Linear(spec.observation, 1)
        self.count = 0
        self.start_online()

    def start_online(self) -> None:
        self.optimiser = torch.optim.Adam(self.parameters(), 1e-2)

    def initial_memory(self, envs: int) -> Tensor:
        return torch.zeros(envs, 1)

    @torch.no_grad()
    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        mean = torch.tanh(self.net(obs)) + 0.1 * memory
        if mode != "evaluate":
            mean = mean + (1.0 if mode == "prior" else 0.5) * noise(mean.shape, generator)
        return mean.clamp(-1, 1), memory * 0.5 + mean.mean(-1, keepdim=True)

    def low_level(self, obs: Floats, decision: Floats) -> Floats:
        return np.clip(decision[:, :1] + 0.5 + 0.1 * obs[:, :1], -1, 1)

    def _step(self, loss: Tensor) -> Metrics:
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.count += 1
        if self.count == self.poison_at:
            loss = loss * torch.nan
            with torch.no_grad():
                self.value.weight.fill_(torch.nan)
        return {"loss": loss.detach(), "count": torch.tensor(float(self.count))}

    def _pretraining_loss(self, windows: SkillWindows) -> Tensor:
        guess = self.net(windows.obs[:, :-1])[..., :1]
        return ((guess - windows.actions) ** 2).mean()

    def pretrain(self, windows: SkillWindows, generator: torch.Generator) -> Metrics:
        return self._step(self._pretraining_loss(windows) * (1 + 0.1 * noise((), generator)))

    @torch.no_grad()
    def validate(self, windows: SkillWindows, generator: torch.Generator) -> Metrics:
        return {"loss": self._pretraining_loss(windows)}

    def pretrain_key(self) -> dict[str, Any]:
        return {"width": self.settings["width"]}

    def pretrained_state(self) -> dict[str, Tensor]:
        return dict(self.net.state_dict())

    def load_pretrained(self, state: dict[str, Tensor]) -> None:
        self.net.load_state_dict(state)

    def update(self, windows: Windows, generator: torch.Generator) -> Metrics:
        value = self.value(windows.obs[:, :-1]).squeeze(-1)
        shift = noise((), generator) + torch.rand(())  # the global generator too
        loss = (windows.mask * (value - windows.reward - shift) ** 2).mean() - 1e-2 * self.net(windows.obs).mean()
        metrics = self._step(loss)
        if self.count % 3 == 0:
            metrics["third"] = shift
        return metrics

    def training_state(self) -> dict[str, Any]:
        return {"optimiser": self.optimiser.state_dict(), "count": self.count}

    def load_training_state(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state["optimiser"])
        self.count = state["count"]
