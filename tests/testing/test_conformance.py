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
    """Two layers, the first of some width."""

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


class Silent(GoodEncoder):
    """Says nothing about its parameter."""

    def __init__(self, spec: TaskSpec, latent: int, *, breadth: int = 8) -> None:
        super().__init__(spec, latent, width=breadth)


class WrongDefault(GoodEncoder):
    """The default of width is not of its type."""

    def __init__(self, spec: TaskSpec, latent: int, *, width: int = "wide") -> None:  # type: ignore[assignment]
        super().__init__(spec, latent)


class Unresolved(GoodEncoder):
    """The type of width is nowhere to be found."""

    def __init__(self, spec: TaskSpec, latent: int, *, width: Nowhere = 8) -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(spec, latent)


class RandomOfNumpy(GoodEncoder):
    """Draws with numpy's global generator, without effect."""

    def forward(self, obs: Tensor) -> Tensor:
        np.random.random()  # noqa: NPY002
        return super().forward(obs)


class FreshWeights(GoodEncoder):
    """Its weights do not follow from the seed."""

    def __init__(self, spec: TaskSpec, latent: int) -> None:
        super().__init__(spec, latent)
        with torch.no_grad():
            self.net[0].weight.copy_(torch.randn(8, spec.observation, generator=fresh()))


def fresh() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


class SharedState(GoodEncoder):
    """Remembers the last input in its class."""

    last = torch.zeros(())

    def forward(self, obs: Tensor) -> Tensor:
        latent = super().forward(obs) + SharedState.last
        SharedState.last = obs.detach().cpu().mean() if obs.device.type == "cpu" else torch.zeros(())
        return latent


class Homebody(GoodEncoder):
    """Makes a tensor on the CPU, wherever it is."""

    def forward(self, obs: Tensor) -> Tensor:
        return super().forward(obs) + torch.ones(1, device="cpu").expand(self.latent)


class Doubles(GoodEncoder):
    """Changes torch's default type for everybody."""

    def forward(self, obs: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return super().forward(obs)


class Remembering(Planner):
    """Keeps its plan in itself."""

    def __init__(self) -> None:
        self.plans = 0

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
        self.plans += 1
        return model.policy(state).mode, memory


class NegativeDoubt(Dynamics):
    """An uncertainty below zero."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__()
        self.state = self.latent_size = latent
        self.net = nn.Linear(latent + decision, latent)

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.net(torch.cat([state, decision], -1))

    def uncertainty(self, state: Tensor) -> Tensor:
        return -state.square().mean(-1)


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
        (Silent, "nothing about breadth"),
        (WrongDefault, "a default of width that is an int"),
        (Unresolved, "a type annotation on width that can be resolved"),
        (RandomOfNumpy, "numpy's global generator was used"),
        (FreshWeights, "the same weights in the encoder for the same seed"),
        (SharedState, "keep state in the object, not in its class"),
        (Homebody, "on another device than the CPU to work"),
        (Doubles, "torch's default dtype as before the checks; found torch.float64"),
        (Remembering, "a planner to be as before it planned"),
        (NegativeDoubt, "uncertainties of 0 or more"),
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


def test_a_finding_says_where_something_was_raised() -> None:
    assert any("boom (test_conformance.py:" in str(finding) for finding in check(Explodes))


def test_what_a_part_changed_for_everybody_is_put_back() -> None:
    check(Doubles)
    assert torch.get_default_dtype() is torch.float32
