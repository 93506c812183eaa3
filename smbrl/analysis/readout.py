"""Reading observations out of model states when the agent's own decoder no longer can.

The decoder is trained in pre-training only. Online learning goes on changing the encoder, so afterwards what it says
about a state is no longer true. The observation whose own state is nearest is.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from smbrl.analysis.imagines import Imagines, Judges

MOST = 20_000
"""Observations kept; of more, an even selection."""
CHUNK = 2048


class ReadOut:
    """An agent seen from outside, with ``decode`` looking up the nearest encoded observation.

    Args:
        agent: see ``smbrl.analysis.imagines``; its own ``decode`` is not used.
        observations: that the agent has seen ``(n, O)``, on its device.
    """

    def __init__(self, agent: object, observations: Tensor) -> None:
        self._model = cast(Imagines, agent)
        self.horizon, self.decision = self._model.horizon, self._model.decision
        every = max(1, -(-len(observations) // MOST))
        self._observations = observations[::every]
        self._states = self._model.encode(self._observations).float()

    def encode(self, obs: Tensor) -> Tensor:
        """The agent's."""
        return self._model.encode(obs)

    def imagine(self, state: Tensor, decision: Tensor) -> Tensor:
        """The agent's."""
        return self._model.imagine(state, decision)

    def decode(self, state: Tensor) -> Tensor:
        """The seen observation whose state is nearest: ``(..., S) -> (..., O)``."""
        rows = state.float().reshape(-1, state.shape[-1])
        nearest = torch.cat([torch.cdist(part, self._states).argmin(1) for part in rows.split(CHUNK)])  # type: ignore[no-untyped-call]
        return self._observations[nearest].view(*state.shape[:-1], -1)

    def state_value(self, obs: Tensor) -> Tensor:
        """The agent's."""
        return cast(Judges, self._model).state_value(obs)

    def policy_mode(self, obs: Tensor) -> Tensor:
        """The agent's."""
        return cast(Judges, self._model).policy_mode(obs)
