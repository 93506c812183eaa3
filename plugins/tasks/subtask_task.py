"""What the tasks of sub-tasks share: Kitchen, Tabletop and Calvin say only what is their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from smbrl.data.files import Episode, write_episodes
from smbrl.data.generating import Maker, generate
from smbrl.interfaces import DatasetRequest, Progress, Task, TaskSpec

Floats = NDArray[np.float32]


class Content(Protocol):
    """A dataclass whose fields are all that the generated data depend on, besides their seed."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def trajectories(self) -> int:
        """How many."""


class SubtaskTask(Task):
    """Sub-tasks that pay 1 each in the order of a list, learned from generated data in which others are done.

    Args:
        settings: of the environment, by its constructor's names: ``subtasks`` (checked) and ``time_limit`` among them.
        action: size of the action vector.
        middle, half: of each element of the observation; the networks see ``(obs - middle) / half``.
        content: what to generate; the same data serve every list of sub-tasks and every time limit.
        data: id of a stored data set to use instead.

    Attributes:
        environment: its class; takes ``settings`` and ``render_mode``.
        dataset_name: id of the generated data, without their parameters.
        generator: version of the generator's output.
        chunk: trajectories that are made, and kept when the generation is interrupted, together.
        engine: the package whose version the trajectories depend on.
    """

    environment: ClassVar[Callable[..., gymnasium.Env[Floats, Floats]]]
    dataset_name: ClassVar[str]
    generator: ClassVar[int]
    chunk: ClassVar[int] = 4
    engine: ClassVar[str] = "mujoco"

    def __init__(
        self,
        settings: dict[str, Any],
        action: int,
        middle: tuple[float, ...],
        half: tuple[float, ...],
        content: Content,
        data: str | None,
    ) -> None:
        self._settings = settings
        self.content = content
        self._data = data
        self._spec = TaskSpec(
            observation=len(middle),
            action=action,
            shift=tuple(-m / h for m, h in zip(middle, half, strict=True)),
            scale=tuple(1.0 / h for h in half),
            time_limit=settings["time_limit"],
        )

    @property
    def spec(self) -> TaskSpec:
        """Shapes, and each element brought to about [-1, 1]."""
        return self._spec

    @property
    def subtasks(self) -> tuple[str, ...]:
        """In their order."""
        return tuple(self._settings["subtasks"])

    @staticmethod
    @abstractmethod
    def prepare(content: Any, /) -> Maker:
        """What makes the offline data; a function of a module (see `smbrl.data.generating.generate`)."""

    def make(self, render_mode: str | None = None) -> gymnasium.Env[Floats, Floats]:
        """One environment."""
        return self.environment(**self._settings, render_mode=render_mode)

    def dataset(self) -> DatasetRequest:
        """Depends neither on this task's sub-tasks nor on its time limit."""
        parameters = {"generator": self.generator, **asdict(self.content)}
        return DatasetRequest(self.dataset_name, parameters, stored=self._data)

    def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
        """Make the offline data; an interrupted generation goes on where it was."""
        # what another version of the simulator made is not mixed with what this one makes
        parts = path.with_name("parts") / f"{self.engine}-{_version(self.engine)}"
        episodes = self.episodes(seed=seed, workers=workers, progress=progress, parts=parts)
        write_episodes(path, episodes, *self.spaces())

    def episodes(
        self, *, seed: int, workers: int = 1, progress: Progress | None = None, parts: Path | None = None
    ) -> Iterator[Episode]:
        """The offline data, in order (see `smbrl.data.generating.generate`)."""
        prepare = partial(type(self).prepare, self.content)
        total = self.content.trajectories
        return generate(prepare, total, seed=seed, workers=workers, progress=progress, parts=parts, chunk=self.chunk)

    def spaces(self) -> tuple[gymnasium.Space[Floats], gymnasium.Space[Floats]]:
        """Of observations and actions; an environment is asked."""
        env = self.make()
        env.close()
        return env.observation_space, env.action_space


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
