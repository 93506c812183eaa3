"""A small world to configure: a root, a setting and six parts, none of which computes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import gin
import pytest
from torch import Tensor

from smbrl import config
from smbrl.hookspecs import hookimpl
from smbrl.interfaces import Agent, Encoder, Part, Planner, Task, TaskSpec
from smbrl.registry import Registry, Source


class Dot(Encoder):
    """An encoder."""

    def __init__(self, spec: TaskSpec, latent: int, *, width: int = 8, scale: float = 1.0) -> None:
        super().__init__(spec, latent)
        self.width = width

    def forward(self, obs: Tensor) -> Tensor:
        return obs


class Ring(Dot):
    """Another encoder, with the constructor of the first."""


class Search(Planner):
    """A planner."""

    def __init__(self, *, samples: int = 16, start: Literal["wide", "narrow"] = "wide") -> None:
        self.samples = samples
        if samples < 1:
            raise ValueError(f"samples is {samples}, it must be at least 1")

    def initial_memory(self, envs: int, decision: int, device: Any) -> Any: ...
    def plan(self, model: Any, state: Any, memory: Any, **_: Any) -> Any: ...


class Guess(Search):
    """A planner with a parameter of its own."""

    def __init__(self, *, luck: float = 0.5) -> None:
        super().__init__()


class Learner(Agent):
    """An agent with an encoder, perhaps two, and perhaps a planner."""

    def __init__(
        self,
        spec: TaskSpec,
        *,
        encoder: type[Encoder] = Dot,
        second: Callable[..., Encoder] | None = None,
        planner: type[Planner] | None = None,
        latent: int = 4,
    ) -> None:
        super().__init__()
        self.encoder = encoder(spec, latent)
        self.second = None if second is None else second(spec, latent)
        self.planner = None if planner is None else planner()

    def initial_memory(self, envs: int) -> Any: ...
    def act(self, obs: Any, memory: Any, **_: Any) -> Any: ...
    def low_level(self, obs: Any, decision: Any) -> Any: ...
    def update(self, windows: Any, generator: Any) -> Any: ...


class Line(Task):
    """A task."""

    def __init__(self, size: int = 3) -> None:
        self.size = size

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec.plain(2, 1)

    def make(self, render_mode: str | None = None) -> Any: ...


@gin.configurable(module="smbrl_test")
class Pace:
    """A setting that the root reads by itself."""

    def __init__(
        self,
        steps: int = 10,
        rate: float = 0.5,
        sizes: tuple[int, ...] = (8, 8),
        box: tuple[float, float] = (0.0, 1.0),
        tags: Sequence[str] = (),
        limit: float | None = None,
        weights: Mapping[str, float] | None = None,
        quiet: bool = False,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        anything: Any = None,
        label: str = "",
    ) -> None:
        self.steps = steps
        self.sizes = sizes


@gin.configurable(module="smbrl_test")
class Trial:
    """The root."""

    def __init__(self, task: type[Task], agent: type[Agent], seed: int = 0) -> None:
        self.pace = Pace()
        self.task = task()
        self.agent = agent(self.task.spec)
        self.seed = seed


BASE = """\
# A complete file.
Trial.task = @Line
Trial.agent = @Learner
Learner.planner = @Search
Search.samples = 32
"""


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The parts above and a folder of packaged gin files, as the plugin 'small' of smbrl."""
    folder = tmp_path_factory.mktemp("packaged")
    (folder / "tasks").mkdir()
    (folder / "line_trial.gin").write_text("include 'tasks/line.gin'\n" + BASE.replace("Trial.task = @Line\n", ""))
    (folder / "tasks" / "line.gin").write_text("Trial.task = @Line\nLine.size = 5\n")
    (folder / "no_planner.gin").write_text("# overlay on: line_trial\nLearner.planner = None\n")
    registry = Registry()

    class Plugin:
        @hookimpl
        def smbrl_parts(self) -> list[type[Part]]:
            return [Dot, Guess, Learner, Line, Ring, Search]

        @hookimpl
        def smbrl_gin(self) -> list[Path]:
            return [folder]

    registry.add(Plugin(), Source("small", "smbrl", "0"))
    assert not registry.problems
    return registry


@pytest.fixture
def load(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., config.Config]:
    """``load({"a.gin": text, ...}, *overrides, files=[...])``: write the files, load them (all, or those named)."""
    monkeypatch.chdir(tmp_path)

    def load(
        texts: str | Mapping[str, str | bytes], *overrides: str, files: Sequence[str] | None = None
    ) -> config.Config:
        written = {"run.gin": texts} if isinstance(texts, str) else texts
        for name, text in written.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return config.load(files or list(written), overrides, registry=registry, root=Trial)

    return load
