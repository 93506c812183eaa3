"""Any Gymnasium environment with vectors of numbers as observations and actions."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from gymnasium.wrappers import FlattenObservation
from numpy.typing import NDArray

from smbrl.errors import SmbrlError, suggestion
from smbrl.interfaces import Task, TaskSpec

Floats = NDArray[np.float32]


class Gymnasium(Task):
    """An environment by its Gymnasium id; there is no offline data.

    Observations must be a Box, or a Dict of some as dm_control's are (flattened, a Dict in its own order); actions a
    bounded Box (the agent's [-1, 1] is mapped to its bounds). Terminated and truncated stay apart; the time limit is
    the registered one. An episode counts as
    successful where the environment says so (``success`` or ``is_success`` in its info), or by its return.

    Args:
        id: as for ``gymnasium.make``; ``module:Name-v0`` imports the module first.
        arguments: further arguments of the environment's constructor.
        time_limit: env steps; None: the registered number. Steps are the environment's own here, whatever
            ``action_repeat`` is.
        action_repeat: of the environment's own steps that an action is held; they are one env step to everything
            else here, and their rewards are added up.
        shift, scale: the networks see ``obs * scale + shift``; one number for all elements, or one for each.
        position: elements of the observation that are coordinates in space.
        success_return: an episode that ends with at least this undiscounted return is a success; None: none is.

    Raises:
        SmbrlError: no such environment, or one with other spaces, or without a time limit.
    """

    def __init__(
        self,
        id: str = "Pendulum-v1",
        arguments: dict[str, Any] | None = None,
        time_limit: int | None = None,
        action_repeat: int = 1,
        shift: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
        position: tuple[int, ...] = (),
        success_return: float | None = None,
    ) -> None:
        self.id = id
        self.arguments = dict(arguments or {})
        self.time_limit = time_limit
        self.action_repeat = action_repeat
        if action_repeat < 1:
            raise SmbrlError(f"Gymnasium.action_repeat is {action_repeat}; expected at least 1")
        self.success_return = success_return
        env = self._registered(None)
        limit = time_limit or (env.spec.max_episode_steps if env.spec else None)
        observation, action = env.observation_space, env.action_space
        env.close()
        if not isinstance(observation, Box):
            raise SmbrlError(
                f"{id} has observations of the kind {observation}; expected a Box, or a Dict of some: wrap it in "
                "FlattenObservation"
            )
        if not isinstance(action, Box):
            raise SmbrlError(f"{id} has actions of the kind {action}; the agents here act in a Box: use another task")
        if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
            raise SmbrlError(f"{id} has unbounded actions, {action}; expected bounds: wrap it in RescaleAction")
        if limit is None:
            raise SmbrlError(f"{id} has no time limit, and episodes must end: bind Gymnasium.time_limit")
        size = int(np.prod(observation.shape))
        wrong = [index for index in position if not 0 <= index < size]
        if wrong:
            raise SmbrlError(
                f"Gymnasium.position names element {wrong[0]}; {id} has observations of {size}: 0 to {size - 1}"
            )
        self._spec = TaskSpec(
            observation=size,
            action=int(np.prod(action.shape)),
            shift=self._each("shift", shift, size),
            scale=self._each("scale", scale, size),
            position=position,
            time_limit=-(-limit // action_repeat),
        )

    def _each(self, name: str, value: float | tuple[float, ...], size: int) -> tuple[float, ...]:
        values = value if isinstance(value, tuple) else (value,) * size
        if len(values) != size:
            raise SmbrlError(
                f"Gymnasium.{name} has {len(values)} numbers, {self.id} has observations of {size}: give one or {size}"
            )
        return tuple(map(float, values))

    def _registered(self, render_mode: str | None) -> gymnasium.Env[Any, Any]:
        try:
            env = gymnasium.make(
                self.id,
                max_episode_steps=self.time_limit,
                render_mode=render_mode,
                disable_env_checker=True,
                **self.arguments,
            )
        except gymnasium.error.UnregisteredEnv as error:
            raise SmbrlError(
                f"no Gymnasium environment {self.id!r}: {suggestion(self.id, gymnasium.registry)}"
            ) from error
        except Exception as error:  # what an environment raises is its own affair
            what = " ".join(str(error).split())
            raise SmbrlError(f"Gymnasium cannot make {self.id!r}: {what}; mend Gymnasium.id or .arguments") from error
        space = env.observation_space
        if isinstance(space, Dict) and all(isinstance(part, Box) for part in space.values()):
            return FlattenObservation(env)
        return env

    @property
    def title(self) -> str:
        """The environment's id."""
        return self.id

    @property
    def spec(self) -> TaskSpec:
        """Of the flattened observation."""
        return self._spec

    def make(self, render_mode: str | None = None) -> gymnasium.Env[Floats, Floats]:
        """One environment."""
        return Flat(self._registered(render_mode), self.success_return, self.action_repeat)


class Flat(gymnasium.Wrapper[Floats, Floats, Any, Any]):
    """Flat float32 observations, actions in [-1, 1], and whether the episode was a success.

    Args:
        env: with Box spaces, actions bounded.
        success_return, action_repeat: see ``Gymnasium``.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], success_return: float | None = None, action_repeat: int = 1
    ) -> None:
        super().__init__(env)
        outer, inner = env.observation_space, env.action_space
        assert isinstance(outer, Box)
        assert isinstance(inner, Box)
        self._low, self._high, self._box = inner.low, inner.high, inner
        self.observation_space = Box(
            outer.low.ravel().astype(np.float32), outer.high.ravel().astype(np.float32), dtype=np.float32
        )
        self.action_space = Box(-1.0, 1.0, (int(np.prod(inner.shape)),), np.float32)
        self.success_return = success_return
        self.action_repeat = action_repeat
        self.total = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """See Gymnasium."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.total = 0.0
        return self._flat(obs), info

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """See Gymnasium."""
        share = 0.5 * (np.clip(action, -1.0, 1.0).reshape(self._box.shape) + 1.0)
        inner = (self._low + share * (self._high - self._low)).astype(self._box.dtype)
        paid, solved = 0.0, False
        for _ in range(self.action_repeat):
            obs, reward, terminated, truncated, info = self.env.step(inner)
            paid += float(reward)
            solved = solved or bool(info.get("success", info.get("is_success", False)))
            if terminated or truncated:
                break
        self.total += paid
        if self.success_return is not None and (terminated or truncated):
            solved = solved or self.total >= self.success_return
        return self._flat(obs), paid, bool(terminated), bool(truncated), {**info, "success": solved}

    @staticmethod
    def _flat(obs: Any) -> Floats:
        return np.asarray(obs, np.float32).ravel()
