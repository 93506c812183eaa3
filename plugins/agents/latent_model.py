"""The networks of a latent model-based agent, and the view of them that planners search through."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smbrl.interfaces import Dynamics, Encoder, Heads, Scalars, TanhNormal


class World(nn.Module):
    """E(s), D(h, z) and pi(z | h): what SkiMo pre-trains above the skills; the policy is the prior then."""

    def __init__(self, encoder: Encoder, dynamics: Dynamics, policy: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.dynamics = dynamics
        self.policy_head = policy

    def state(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> model states ``(..., S)``."""
        return self.dynamics.initial(self.encoder(obs))

    def policy(self, state: Tensor) -> TanhNormal:
        """pi(. | h)."""
        policy: TanhNormal = self.policy_head(self.dynamics.latent(state))
        return policy

    def trace(self, state: Tensor, decisions: Tensor) -> Tensor:
        """Roll out ``(B, N, Z)`` from ``(B, S)``: the first state and every prediction, ``(B, N * steps + 1, S)``."""
        states = [state]
        for decision in decisions.unbind(1):
            for _ in range(self.dynamics.steps):
                states.append(self.dynamics.advance(states[-1], decision))
        return torch.stack(states, 1)

    def imagine(self, state: Tensor, decisions: Tensor) -> Tensor:
        """Roll out ``(B, N, Z)`` from ``(B, S)``: states before each decision and after the last, ``(B, N + 1, S)``."""
        states = self.trace(state, decisions)
        return states if self.dynamics.steps == 1 else states[:, :: self.dynamics.steps]


class LatentModel(World):
    """A world with R(h, z) and Q_j(h, z). Offers what a ``PlanningModel`` offers.

    Attributes:
        decision: size Z of a decision.
        heads: reward (number 0) and critics (the others), one computation.
        recipe: how several critics become one value.
        termination: logit of the MDP having ended; None: nobody asks.
    """

    def __init__(
        self, encoder: Encoder, dynamics: Dynamics, policy: nn.Module, heads: Scalars, recipe: Heads, decision: int
    ) -> None:
        super().__init__(encoder, dynamics, policy)
        self.heads = heads
        self.termination = recipe.termination()
        self.recipe = recipe
        self.decision = decision

    def q(self, latent: Tensor, decision: Tensor) -> Tensor:
        """All critics, ``(C, ...)``."""
        return self.heads(latent, decision, heads=slice(1, None))  # type: ignore[no-any-return]

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        """One decision ahead: next state, reward (the sum of the predictions' where it takes several)."""
        rewards: list[Tensor] = []
        for _ in range(self.dynamics.steps):
            rewards.append(self.heads(self.dynamics.latent(state), decision, heads=slice(0, 1))[0])
            state = self.dynamics.advance(state, decision)
        return state, sum(rewards[1:], rewards[0])

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """A policy sample."""
        return self.policy(state).rsample(generator)

    def uncertainty(self, state: Tensor) -> Tensor:
        """What the dynamics say."""
        return self.dynamics.uncertainty(state)

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """Q(h, a), a a policy sample."""
        q = self.q(self.dynamics.latent(state), self.propose(state, generator))
        return self.recipe.expected(q, generator)

    def errors(
        self, state: Tensor, decision: Tensor, reward: Tensor, value: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """How wrong reward and critics (summed) are about ``reward (...)`` and ``value (...)``."""
        latent = self.dynamics.latent(state)
        if self.dynamics.steps == 1:
            raw = self.heads.raw(latent, decision, generator=generator)
            return self.heads.error(raw[0], reward), self.heads.error(raw[1:], value).sum(0)
        # a sum of predictions has no raw output of its own
        raw = self.heads.raw(latent, decision, heads=slice(1, None), generator=generator)
        return (self.predict(state, decision)[1] - reward).square(), self.heads.error(raw, value).sum(0)


class Target(nn.Module):
    """E^- and Q^-: slowly moving copies."""

    def __init__(self, encoder: Encoder, heads: Scalars) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads

    def q(self, latent: Tensor, decision: Tensor) -> Tensor:
        """All critics, ``(C, ...)``."""
        return self.heads(latent, decision, heads=slice(1, None))  # type: ignore[no-any-return]


class Prior(nn.Module):
    """p(z | s): a policy head on an encoder of its own."""

    def __init__(self, encoder: Encoder, policy: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.policy_head = policy

    def forward(self, obs: Tensor) -> TanhNormal:
        """Raw observations ``(..., O)`` -> distribution over ``(..., Z)``."""
        prior: TanhNormal = self.policy_head(self.encoder(obs))
        return prior
