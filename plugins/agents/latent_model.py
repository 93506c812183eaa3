"""The networks of a latent model-based agent, and the view of them that planners search through."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smbrl.interfaces import Dynamics, Encoder, TanhNormal
from smbrl.nn.heads import ScalarEnsemble, TanhNormalHead


class World(nn.Module):
    """E(s), D(h, z) and pi(z | h): what SkiMo pre-trains above the skills; the policy is the prior then."""

    def __init__(self, encoder: Encoder, dynamics: Dynamics, policy: TanhNormalHead) -> None:
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

    def imagine(self, state: Tensor, decisions: Tensor) -> Tensor:
        """Roll out ``(B, N, Z)`` from ``(B, S)``: states before each decision and after the last, ``(B, N + 1, S)``."""
        states = [state]
        for decision in decisions.unbind(1):
            states.append(self.dynamics.step(states[-1], decision))
        return torch.stack(states, 1)


class LatentModel(World):
    """A world with R(h, z) and Q_j(h, z). Offers what a ``PlanningModel`` offers.

    Attributes:
        decision: size Z of a decision.
        heads: reward (number 0) and critics (the others), one computation.
    """

    def __init__(
        self, encoder: Encoder, dynamics: Dynamics, policy: TanhNormalHead, heads: ScalarEnsemble, decision: int
    ) -> None:
        super().__init__(encoder, dynamics, policy)
        self.heads = heads
        self.decision = decision

    def q(self, latent: Tensor, decision: Tensor) -> Tensor:
        """All critics, ``(C, ...)``."""
        return self.heads(latent, decision, heads=slice(1, None))  # type: ignore[no-any-return]

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        """One decision ahead: next state, reward."""
        reward = self.heads(self.dynamics.latent(state), decision, heads=slice(0, 1))[0]
        return self.dynamics.step(state, decision), reward

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """A policy sample."""
        return self.policy(state).rsample(generator)

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """min_j Q_j(h, a), a a policy sample."""
        return self.q(self.dynamics.latent(state), self.propose(state, generator)).amin(0)


class Target(nn.Module):
    """E^- and Q^-: slowly moving copies."""

    def __init__(self, encoder: Encoder, heads: ScalarEnsemble) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads

    def q(self, latent: Tensor, decision: Tensor) -> Tensor:
        """All critics, ``(C, ...)``."""
        return self.heads(latent, decision, heads=slice(1, None))  # type: ignore[no-any-return]


class Prior(nn.Module):
    """p(z | s): a policy head on an encoder of its own."""

    def __init__(self, encoder: Encoder, policy: TanhNormalHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.policy_head = policy

    def forward(self, obs: Tensor) -> TanhNormal:
        """Raw observations ``(..., O)`` -> distribution over ``(..., Z)``."""
        prior: TanhNormal = self.policy_head(self.encoder(obs))
        return prior
