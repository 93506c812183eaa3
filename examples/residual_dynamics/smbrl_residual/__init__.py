"""A third-party plugin of smbrl with one part: residual skill dynamics."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

import torch
from torch import Tensor, nn

from smbrl.hookspecs import hookimpl
from smbrl.interfaces import Dynamics, Part


class ResidualDynamics(Dynamics):
    """h' = h + scale * f(h, z): one skill ahead, as a change of the latent state.

    Most skills move the agent a little compared with the size of its world, so that predicting the change
    leaves less to learn than predicting the next latent from nothing.

    Args:
        latent: size of the latent.
        decision: size of a skill.
        width, layers: of f's hidden layers, and how many there are.
        scale: of the change.
    """

    def __init__(self, latent: int, decision: int, *, width: int = 128, layers: int = 4, scale: float = 0.1) -> None:
        super().__init__()
        self.state = self.latent_size = latent
        self.scale = scale
        sizes = [latent + decision] + [width] * layers
        hidden = [m for i, o in itertools.pairwise(sizes) for m in (nn.Linear(i, o), nn.ELU())]
        self.net = nn.Sequential(*hidden, nn.Linear(sizes[-1], latent))

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See the contract."""
        change = self.net(torch.cat([state, decision.to(state.dtype)], -1))
        return state + self.scale * change.to(state.dtype)


@hookimpl
def smbrl_parts() -> Sequence[type[Part]]:
    """The parts of this plugin."""
    return [ResidualDynamics]


@hookimpl
def smbrl_gin() -> Sequence[Traversable]:
    """Its gin files: ``--gin residual`` finds ``residual.gin`` here."""
    return [files(__name__) / "gin"]
