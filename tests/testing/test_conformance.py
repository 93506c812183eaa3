"""The conformance kit passes good parts and names what is wrong with bad ones."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from smbrl.interfaces import Dynamics, Encoder, Planner, PlanningModel, Task, TaskSpec
from smbrl.testing import assert_conforms, check


class GoodEncoder(Encoder):
    """Two layers."""

    def __init__(self, spec: TaskSpec, latent: int, *, width: int = 8) -> None:
        super().__init__(spec, latent)
        self.net = nn.Sequential(nn.Linear(spec.observation, width), nn.Tanh(), nn.Linear(width, latent))

    def forward(self, obs: Tensor) -> Tensor:
        return self.net(self.normalise(obs))


class FlatteningEncoder(GoodEncoder):
    """Loses leading dimensions."""

    def forward(self, obs: Tensor) -> Tensor:
        return super().forward(obs.reshape(-1, obs.shape[-1]))


class BatchStatistics(GoodEncoder):
    """Centres over the batch."""

    def forward(self, obs: Tensor) -> Tensor:
        latent = super().forward(obs)
        return latent - latent.reshape(-1, latent.shape[-1]).mean(0)


class NoisyEncoder(GoodEncoder):
    """Draws at random."""

    def forward(self, obs: Tensor) -> Tensor:
        latent = super().forward(obs)
        return latent + 0.1 * torch.randn_like(latent)


class ForgottenParameter(GoodEncoder):
    """Has a parameter that it never uses."""

    def __init__(self, spec: TaskSpec, latent: int) -> None:
        super().__init__(spec, latent)
        self.unused = nn.Parameter(torch.zeros(3))


class Undocumented(GoodEncoder):
    def forward(self, obs: Tensor) -> Tensor:
        return super().forward(obs)


class TakesAnything(GoodEncoder):
    """Swallows misspelt bindings."""

    def __init__(self, spec: TaskSpec, latent: int, **kwargs: int) -> None:
        super().__init__(spec, latent, width=kwargs.get("width", 8))


class Unannotated(GoodEncoder):
    """A parameter without a type."""

    def __init__(self, spec: TaskSpec, latent: int, *, width=8) -> None:  # type: ignore[no-untyped-def]
        super().__init__(spec, latent, width=width)


class Unfinished(Dynamics):
    """Lacks step."""


class GloballyRandom(Dynamics):
    """Draws from torch's global generator."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__()
        self.state = self.latent_size = latent
        self.net = nn.Linear(latent + decision, latent)

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mean = self.net(torch.cat([state, decision], -1))
        return mean + 0.1 * torch.randn_like(mean)


class Explodes(GoodEncoder):
    """Raises."""

    def forward(self, obs: Tensor) -> Tensor:
        raise RuntimeError("boom")


class GlobalPlanner(Planner):
    """Uses torch's global generator."""

    def initial_memory(self, envs: int, decision: int, device: torch.device) -> Tensor:
        return torch.zeros(envs, 0)

    def plan(
        self,
        model: PlanningModel,
        state: Tensor,
        memory: Tensor,
        *,
        step: int,
        explore: bool,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        return torch.rand(state.shape[0], model.decision), memory


class DriftingEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Takes its randomness from the process, not from the reset seed."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None):  # type: ignore[no-untyped-def, type-arg]
        super().reset(seed=seed)
        self.state = np.zeros(2, np.float32)
        return self.state, {}

    def step(self, action: np.ndarray):  # type: ignore[no-untyped-def]
        self.state = self.state + np.random.default_rng().normal(size=2).astype(np.float32)
        return self.state, 0.0, False, False, {}


class DriftingTask(Task):
    """Not resumable."""

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec.plain(2, 1)

    def make(self, render_mode: str | None = None) -> gymnasium.Env[np.ndarray, np.ndarray]:
        return DriftingEnv()


def test_a_good_part_conforms() -> None:
    assert_conforms(GoodEncoder)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (FlatteningEncoder, "keep all leading ones"),
        (BatchStatistics, "what its rows give alone"),
        (NoisyEncoder, "the same output twice"),
        (ForgottenParameter, "a gradient in every parameter"),
        (Undocumented, "a docstring"),
        (TakesAnything, "without *args and **kwargs"),
        (Unannotated, "a type annotation on width"),
        (Unfinished, "missing step"),
        (Explodes, "RuntimeError: boom"),
        (GlobalPlanner, "only from the generator"),
        (GloballyRandom, "only from the generator"),
        (GloballyRandom, "the same steps twice"),
        (DriftingTask, "same trajectory"),
    ],
)
def test_a_broken_part_is_told_what_is_wrong(part: type, words: str) -> None:
    findings = [str(finding) for finding in check(part)]
    assert any(words in finding for finding in findings), findings


def test_every_finding_says_what_to_do() -> None:
    for finding in check(BatchStatistics):
        assert finding.part == "BatchStatistics"
        assert finding.expected
        assert finding.found
        assert finding.mend


def test_assert_conforms_lists_every_finding() -> None:
    with pytest.raises(AssertionError, match="a docstring"):
        assert_conforms(Undocumented)
