"""Skills and model of a policy, to be used on their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, SkillModel, TanhNormal
from smbrl.nn.precision import autocast


def can(agent: object, *methods: str) -> bool:
    """Whether an agent has all of ``methods``."""
    return all(callable(getattr(agent, name, None)) for name in methods)


class _View:
    def __init__(self, agent: Agent) -> None:
        self._agent: Any = agent  # methods beyond the contract are asked for by name

    def _tensor(self, value: ArrayLike | Tensor) -> Tensor:
        found = value if isinstance(value, Tensor) else torch.from_numpy(np.asarray(value, np.float32))
        return found.to(self._agent.compute.device, torch.float32)


class Skills(_View):
    """What the policy's decisions are: z in (-1, 1)^Z, each for ``horizon`` env steps.

    Arrays or tensors in, tensors without gradient out; leading dims are any.

    Attributes:
        size: Z.
        horizon: H.
        model: the skill model itself.
    """

    def __init__(self, agent: Agent, model: SkillModel) -> None:
        super().__init__(agent)
        self.model = model
        self.size, self.horizon = model.skill, model.horizon

    @classmethod
    def of(cls, agent: Agent) -> Skills | None:
        """Those of an agent; None where it has none that were learned from data."""
        model = getattr(agent, "skills", None)
        return cls(agent, model) if isinstance(model, SkillModel) else None

    @torch.no_grad()
    def posterior(self, obs: ArrayLike | Tensor, actions: ArrayLike | Tensor) -> TanhNormal:
        """q(z | s, a): which skill ``obs (..., H, O), actions (..., H, A)`` show, over ``(..., Z)``."""
        with autocast(self._agent.compute):
            return self.model.posterior(self._tensor(obs), self._tensor(actions))

    @torch.no_grad()
    def prior(self, obs: ArrayLike | Tensor) -> TanhNormal:
        """p(z | s): what the data do at observations ``(..., O)``, over ``(..., Z)``.

        Raises:
            SmbrlError: the method has no prior.
        """
        if can(self._agent, "skill_prior"):
            found: TanhNormal | None = self._agent.skill_prior(self._tensor(obs))
        else:
            with autocast(self._agent.compute):
                found = self.model.prior(self._tensor(obs))
        if found is None:
            raise SmbrlError(f"{type(self._agent).__name__} has no skill prior")
        return found

    def act(self, obs: ArrayLike | Tensor, skill: ArrayLike | Tensor) -> NDArray[np.float32]:
        """The low-level policy: ``obs (..., O), skill (..., Z) -> env actions (..., A)``, as the agent itself acts."""
        see, do = (self._tensor(value).cpu() for value in (obs, skill))
        lead = torch.broadcast_shapes(see.shape[:-1], do.shape[:-1])  # type: ignore[no-untyped-call]
        rows = [part.expand(*lead, part.shape[-1]).reshape(-1, part.shape[-1]).numpy() for part in (see, do)]
        played: NDArray[np.float32] = self._agent.low_level(*rows)
        return played.reshape(*lead, -1)


class Imagination(_View):
    """The policy's model of the world, one decision (``horizon`` env steps) at a time.

    Arrays or tensors in, tensors without gradient out; leading dims are any.

    Attributes:
        horizon: env steps that a decision lasts.
        decision: size Z of a decision.
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self.horizon, self.decision = agent.horizon, agent.decision

    @classmethod
    def of(cls, agent: Agent) -> Imagination | None:
        """That of an agent; None where it has no model."""
        return cls(agent) if can(agent, "encode", "imagine", "decode") else None

    @torch.no_grad()
    def encode(self, obs: ArrayLike | Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> states of the model ``(..., S)``."""
        state: Tensor = self._agent.encode(self._tensor(obs))
        return state

    @torch.no_grad()
    def imagine(self, state: ArrayLike | Tensor, decisions: ArrayLike | Tensor) -> Tensor:
        """States ``(..., S)`` and N decisions ``(..., N, Z)`` -> the states after each of them ``(..., N, S)``."""
        now, states = self._tensor(state), []
        for decision in self._tensor(decisions).unbind(-2):
            now = self._agent.imagine(now, decision)
            states.append(now)
        return torch.stack(states, -2)

    @torch.no_grad()
    def decode(self, state: ArrayLike | Tensor) -> Tensor:
        """States ``(..., S)`` -> the observations they stand for ``(..., O)``, in the environment's units.

        Raises:
            SmbrlError: the model has no decoder that fits it.
        """
        try:
            seen: Tensor = self._agent.decode(self._tensor(state))
        except NotImplementedError as error:
            raise SmbrlError(f"{type(self._agent).__name__} cannot decode states: {error}") from error
        if bool(seen.isnan().all()):
            raise SmbrlError(
                f"{type(self._agent).__name__} cannot decode states: its decoder was learned in pre-training and no "
                "longer fits the model, so it was not exported; compare states with encode() of observations instead"
            )
        return seen
