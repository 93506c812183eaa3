"""Skill dynamics that know where they have not learned."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Dynamics


class EnsembleDynamics(Dynamics):
    """K networks that predict the next latent from different initial weights, each following its own predictions.

    Where there were data they agree; elsewhere each says something else. A state is the K latents one behind the
    other ``(..., K * latent)``, so that disagreement adds up along an imagined plan as errors do. Heads read the mean
    latent. (Deep ensembles, Lakshminarayanan et al. 2017; a member that stays itself along the plan is TS-infinity of
    PETS, Chua et al. 2018.)

    Each member learns from its own squared error (``error``): the error of their mean would train them as one network.

    Args:
        latent: size of the latent.
        decision: size of a skill.
        members: K.
        hidden: width of the hidden layers.
        layers: number of hidden layers.
    """

    def __init__(self, latent: int, decision: int, *, members: int = 5, hidden: int = 128, layers: int = 4) -> None:
        super().__init__()
        if members < 2:
            raise SmbrlError(f"EnsembleDynamics.members is {members}; one cannot disagree; bind 2 or more")
        self.members = members
        self.latent_size = latent
        self.state = members * latent
        sizes = list(itertools.pairwise([latent + decision, *[hidden] * layers, latent]))
        self.weights = nn.ParameterList(nn.Parameter(_orthogonal(members, rows, columns)) for rows, columns in sizes)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(members, 1, columns)) for _, columns in sizes)

    def initial(self, latent: Tensor) -> Tensor:
        """Every member starts from the encoded observation."""
        return latent.repeat(*[1] * (latent.dim() - 1), self.members)

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Each member from its own latent; nothing is drawn."""
        lead = torch.broadcast_shapes(state.shape[:-1], decision.shape[:-1])
        own = self.each(state).expand(*lead, self.members, self.latent_size)
        same = decision.unsqueeze(-2).expand(*lead, self.members, decision.shape[-1])
        x = torch.cat([own, same.to(own.dtype)], -1).flatten(0, -3) if lead else torch.cat([own, same], -1)[None]
        x = x.transpose(0, 1)  # (K, rows, latent + decision): one batched product a layer
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias.to(x.dtype), x, weight)
            x = x if number == last else F.elu(x)
        return x.float().transpose(0, 1).reshape(*lead, self.state)

    def latent(self, state: Tensor) -> Tensor:
        """The members' mean."""
        return self.each(state).mean(-2)

    def error(self, state: Tensor, latent: Tensor) -> Tensor:
        """The mean of the members' own squared errors."""
        return (self.each(state).float() - latent.float().unsqueeze(-2)).square().mean((-1, -2))

    def uncertainty(self, state: Tensor) -> Tensor:
        """Root mean square, over the latent's dimensions, of the members' standard deviation."""
        return self.each(state).float().var(-2, correction=0).mean(-1).clamp(min=0.0).sqrt()

    def each(self, state: Tensor) -> Tensor:
        """The members' latents ``(..., K, latent)``."""
        return state.unflatten(-1, (self.members, self.latent_size))


def _orthogonal(members: int, rows: int, columns: int) -> Tensor:
    weights = [nn.init.orthogonal_(torch.empty(columns, rows)).t() for _ in range(members)]
    return torch.stack(weights).contiguous()
