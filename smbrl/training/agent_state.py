"""An agent's part of a checkpoint."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent


def agent_state(agent: Agent) -> dict[str, Any]:
    """Everything the agent's next update depends on."""
    return {"agent": agent.state_dict(), "training": agent.training_state()}


def load_agent_state(agent: Agent, state: dict[str, Any], *, learning: bool = True) -> None:
    """Inverse of ``agent_state``.

    Args:
        agent: prepared, and for a state from online learning after ``start_online``.
        state: see above; other entries are left alone.
        learning: False restores the networks only (to evaluate).

    Raises:
        SmbrlError: it is the state of an agent with other networks.
    """
    saved: dict[str, Tensor] = state["agent"]
    own = agent.state_dict()
    for name in [*own, *saved]:
        if name not in saved or name not in own or saved[name].shape != own[name].shape:
            found = tuple(saved[name].shape) if name in saved else "not in it"
            expected = tuple(own[name].shape) if name in own else "unknown"
            raise SmbrlError(
                f"the checkpoint does not fit the agent: {name} is {found} there and {expected} here; the run's "
                "config.gin or the agent's code was changed after the run began"
            )
    agent.load_state_dict(saved)
    if learning:
        agent.load_training_state(state["training"])
