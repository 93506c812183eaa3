"""Analytic models for planners, with known optima."""

import torch
from torch import Tensor

from smbrl.interfaces import TanhNormal


class Quadratic:
    """A state is a point; a decision is rewarded for being near a goal that depends on state and time.

    The best plan from ``s`` is s, s/2, s/4, ...
    """

    decision = 2

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def predict(self, state, decision):
        reward = -2.0 * ((decision - state) ** 2).sum(-1)
        if self.broken:
            reward = torch.where(decision[..., 0] > 0, torch.nan, reward)
        return (0.5 * state).expand(*decision.shape[:-1], 2), reward

    def policy(self, state):
        return TanhNormal(torch.full_like(state, 0.3), torch.full_like(state, 0.1))

    def propose(self, state, generator):
        return self.policy(state).rsample(generator)

    def uncertainty(self, state):
        return torch.zeros(state.shape[:-1])

    def value(self, state, generator):
        return torch.zeros(state.shape[:-1])


class PointMass(Quadratic):
    """A decision moves the point by at most 0.25 per axis; every move costs the distance that is left."""

    def predict(self, state, decision):
        following = state + 0.25 * decision
        return following, -following.norm(dim=-1)


def run(planner, state: Tensor, memory=None, *, explore=False, seed=0, step=10**9, model=None):
    """One decision for each state."""
    memory = planner.initial_memory(len(state), 2, torch.device("cpu")) if memory is None else memory
    g = torch.Generator().manual_seed(seed)
    return planner.plan(model or Quadratic(), state, memory, step=step, explore=explore, generator=g)
