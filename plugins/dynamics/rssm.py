"""The recurrent state-space model: a state that is partly computed and partly believed."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from smbrl_plugins.dynamics.rssm_beliefs import Belief, CategoricalBelief, GaussianBelief
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Dynamics
from smbrl.nn.layers import linear_elu
from smbrl.nn.mlp import MLP
from smbrl.nn.precision import network_weight
from smbrl.nn.rnn import GRU


class Followed(NamedTuple):
    """A sequence of observations as the model saw it.

    Attributes:
        states: after each observation ``(B, T, S)``.
        prior: raw numbers of the belief before it was seen ``(B, T, raw)``.
        posterior: and after ``(B, T, raw)``.
    """

    states: Tensor
    prior: Tensor
    posterior: Tensor


class RSSM(Dynamics):
    """h_t = f(h_{t-1}, s_{t-1}, a_{t-1}), s_t ~ p(s | h_t), or with the observation s_t ~ q(s | h_t, e_t).

    The model of PlaNet and Dreamer (Hafner et al. 2019, 2020). The state is [h, s] in one tensor, and the heads
    read all of it. An episode (or a window that begins anywhere in one) starts from the blank state: zeros, and a
    zero decision.

    Args:
        latent: size of an encoded observation e.
        decision: size of an action, or of a skill: nothing here is about either.
        deterministic: size of h.
        stochastic: size of s; with ``classes``, the number of categorical distributions.
        classes: None: s is a diagonal normal distribution (Dreamer). A number: s is one-hot vectors of so many
            classes (DreamerV3).
        hidden: width of the one hidden layer of p and q, and of the layer before the recurrence.
        floor: smallest deviation of a normal belief.
        unimix: share of the uniform distribution in a categorical belief.
    """

    def __init__(
        self,
        latent: int,
        decision: int,
        *,
        deterministic: int = 200,
        stochastic: int = 30,
        classes: int | None = None,
        hidden: int = 200,
        floor: float = 0.1,
        unimix: float = 0.01,
    ) -> None:
        super().__init__()
        if classes is not None and classes < 2:
            raise SmbrlError(f"RSSM.classes is {classes}; expected at least 2, or None for a normal distribution")
        self.decision = decision
        self.belief: Belief = GaussianBelief(stochastic, floor)
        if classes is not None:
            self.belief = CategoricalBelief(stochastic, classes, unimix)
        self.sizes = [deterministic, self.belief.size]
        self.state = self.latent_size = sum(self.sizes)
        self.enter = nn.Linear(self.belief.size + decision, hidden)
        nn.init.orthogonal_(self.enter.weight)
        nn.init.zeros_(self.enter.bias)
        self.gru = GRU(hidden, deterministic)
        self.prior = MLP(deterministic, [hidden], self.belief.raw)
        self.posterior = MLP((deterministic, latent), [hidden], self.belief.raw)

    def blank(self, *lead: int) -> Tensor:
        """The state before anything was seen ``(*lead, S)``."""
        return self.enter.weight.new_zeros(*lead, self.state)

    def initial(self, latent: Tensor) -> Tensor:
        """The most likely state after one observation, the first ``(..., latent) -> (..., S)``."""
        lead = latent.shape[:-1]
        return self.observe(self.blank(*lead), latent.new_zeros(*lead, self.decision), latent)

    def step(self, state: Tensor, decision: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See the contract: s from p."""
        h = self._recur(state, decision)
        return self._with_belief(h, self.prior(h), generator)

    def observe(
        self, state: Tensor, decision: Tensor, latent: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The state after ``decision (..., Z)`` when ``latent (..., latent)`` was seen there: s from q."""
        h = self._recur(state, decision)
        return self._with_belief(h, self.posterior(h, latent), generator)

    def follow(self, latent: Tensor, decision: Tensor, generator: torch.Generator) -> Followed:
        """See T observations ``(B, T, latent)`` with the decisions between them ``(B, T - 1, Z)``, from the blank
        state on. Only the recurrence is a loop: everything that does not depend on it is done for all T at once."""
        batch, steps = latent.shape[:2]
        noise = self.belief.noise(steps, batch, generator=generator, device=latent.device)
        decided = F.pad(decision.transpose(0, 1), (0, 0, 0, 0, 1, 0))
        weight = network_weight(self.enter.weight)
        believed, acted = torch.split(weight, [self.belief.size, self.decision], 1)
        drive = F.linear(decided.to(weight.dtype), acted, self.enter.bias.to(weight.dtype))
        seen = latent.transpose(0, 1).contiguous()
        h, s = torch.split(self.blank(batch), self.sizes, -1)
        computed, drawn, posterior = [], [], []
        for t in range(steps):
            h = self.gru(F.elu(F.linear(s.to(weight.dtype), believed) + drive[t]), h)
            raw = self.posterior(h, seen[t])
            s = self.belief.draw(raw, noise[t])
            computed.append(h)
            drawn.append(s)
            posterior.append(raw)
        h = torch.stack(computed, 1)
        return Followed(torch.cat([h, torch.stack(drawn, 1)], -1), self.prior(h), torch.stack(posterior, 1))

    def _recur(self, state: Tensor, decision: Tensor) -> Tensor:
        h, s = torch.split(state, self.sizes, -1)
        weight = network_weight(self.enter.weight)
        rows = torch.cat([s, decision], -1).to(weight.dtype)
        x = linear_elu(rows.reshape(-1, rows.shape[-1]), weight, self.enter.bias.unsqueeze(0))
        return self.gru(x.view(*rows.shape[:-1], -1), h)  # type: ignore[no-any-return]

    def _with_belief(self, h: Tensor, raw: Tensor, generator: torch.Generator | None) -> Tensor:
        noise = None
        if generator is not None:
            noise = self.belief.noise(*raw.shape[:-1], generator=generator, device=raw.device)
        return torch.cat([h, self.belief.draw(raw, noise)], -1)
