"""Task: a problem to solve, its environments, its offline data, and what success is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from smbrl.interfaces.part import Part

if TYPE_CHECKING:  # who only loads a policy needs neither
    import gymnasium
    from matplotlib.axes import Axes

Progress = Callable[[int, int], None]
"""Called with (finished, total) while something long goes on."""


@dataclass(frozen=True)
class TaskSpec:
    """Shapes and conventions that the parts of an agent are built from.

    Attributes:
        observation: size O of the flat observation vector.
        action: size A of the action vector; actions live in [-1, 1].
        shift, scale: the normalised observation is ``obs * scale + shift``, element-wise; length O.
        position: the observation's elements that are coordinates in space (may be empty); encoders with
            spatial features and the pictures of where the agent has been use them.
        time_limit: env steps after which an episode is truncated.
    """

    observation: int
    action: int
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    position: tuple[int, ...] = ()
    time_limit: int = 1000

    @classmethod
    def plain(cls, observation: int, action: int, **kwargs: Any) -> TaskSpec:
        """A spec whose normalisation changes nothing."""
        return cls(observation, action, (0.0,) * observation, (1.0,) * observation, **kwargs)


@dataclass(frozen=True)
class DatasetRequest:
    """The offline data a task wants, precise enough to find it again.

    Attributes:
        name: the data set's name in the local store (a Minari id such as ``smbrl/maze-v1``).
        parameters: everything the generator's output depends on, JSON-able; hashed into the stored
            provenance, so that other parameters never silently reuse the data.
        stored: id of a data set in the local store (an imported one, say) to use instead: nothing is
            generated, name and parameters do not matter.
    """

    name: str
    parameters: dict[str, Any]
    stored: str | None = None


class Task(Part, ABC):
    """A problem: environments, offline data, success, and how to draw it.

    Constructor: nothing positional; every parameter is gin-bindable.

    Environments follow Gymnasium 1.x: ``step`` returns terminated (the MDP ended: no bootstrapping) and
    truncated (the time ran out: bootstrap) apart. They are **deterministic given the reset seed and the
    actions**: that is how a run is resumed (the core resets with the stored seed and replays the actions of
    the unfinished episode). ``info["success"]`` (bool) is set on the step that solves the task.
    A task of several sub-tasks names them in ``subtasks``; its environments set ``info["subtasks"]`` on every step to
    the names of those completed in this episode so far, in the order of their completion. Their rates are logged.
    Observations are float32 vectors of length ``spec.observation``; actions float32 in [-1, 1].
    """

    kind: ClassVar[str] = "task"

    @property
    @abstractmethod
    def spec(self) -> TaskSpec:
        """Shapes and normalisation; cheap, no environment is made."""

    @property
    def title(self) -> str:
        """What the task is called in lists of runs, and its MLflow experiment; the class's name unless it says more."""
        return type(self).__name__

    @property
    def subtasks(self) -> tuple[str, ...]:
        """Names of the parts that the task consists of, in their order; empty where it is one piece."""
        return ()

    def completions(self, observations: NDArray[np.float32]) -> list[tuple[str, int]]:
        """When sub-tasks of any kind that the task knows were first complete in an episode; for looking at data.

        Args:
            observations: ``(T + 1, O)``; elements behind the task's own are ignored.

        Returns:
            (name, env steps since the start), in the order of time.
        """
        return []

    @abstractmethod
    def make(self, render_mode: str | None = None) -> gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]:
        """One environment, not yet reset."""

    def dataset(self) -> DatasetRequest | None:
        """The offline data this task pre-trains on, or None where it has none."""
        return None

    def generate(self, path: Path, *, seed: int, workers: int, progress: Progress | None = None) -> None:
        """Write the offline data as a new Minari data folder ``path`` (`smbrl.data.files.write_episodes` does it).

        The bytes that matter (observations, actions, order of episodes) depend on ``seed`` and the task's
        parameters only, never on ``workers``.

        Raises:
            NotImplementedError: the task has no generator.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot generate offline data")

    def draw(self, axes: Axes) -> None:
        """Draw the scene seen from above (walls, start, goal) in the coordinates of ``spec.position``."""
