"""Contracts are kept; disagreement means what it should; pessimism changes plans."""

from __future__ import annotations

import pytest
import torch
from smbrl_ensemble import EnsembleDynamics, Pessimistic
from smbrl_plugins.planners.cem import CEM
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import TanhNormal
from smbrl.testing import assert_conforms


@pytest.mark.parametrize("part", [EnsembleDynamics, Pessimistic])
def test_a_part_keeps_its_contract(part: type) -> None:
    assert_conforms(part)


def trained(members: int = 5) -> EnsembleDynamics:
    """On states in [-1, 0]^2 only, of which decisions are added."""
    torch.manual_seed(0)
    dynamics = EnsembleDynamics(2, 2, members=members, hidden=32, layers=2)
    adam = torch.optim.Adam(dynamics.parameters(), 3e-3)
    for _ in range(300):
        latent, decision = -torch.rand(128, 2), 0.2 * torch.rand(128, 2) - 0.1
        loss = dynamics.error(dynamics.step(dynamics.initial(latent), decision), latent + decision).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return dynamics


def test_members_disagree_where_there_were_no_data() -> None:
    dynamics = trained()
    decision = torch.zeros(200, 2)
    known, unknown = -torch.rand(200, 2), 1.5 + torch.rand(200, 2)
    with torch.no_grad():
        doubt = [
            dynamics.uncertainty(dynamics.step(dynamics.initial(x), decision)).mean().item() for x in (known, unknown)
        ]
    assert doubt[1] > 5 * doubt[0], doubt


def test_all_start_together_and_disagreement_adds_up_on_the_way_out() -> None:
    dynamics = trained().requires_grad_(False)
    latent = -torch.rand(16, 2)
    state = dynamics.initial(latent)
    assert float(dynamics.uncertainty(state).max()) < 1e-6
    assert torch.allclose(dynamics.latent(state), latent, atol=1e-6)
    doubts = []
    for _ in range(5):
        state = dynamics.step(state, torch.full((16, 2), 0.5))
        doubts.append(float(dynamics.uncertainty(state).mean()))
    assert doubts == sorted(doubts)
    assert doubts[-1] > 3 * doubts[0]


def test_each_member_learns_from_its_own_error() -> None:
    """Errors that cancel in the mean do not cancel in the loss."""
    dynamics = EnsembleDynamics(1, 1, members=2)
    state = torch.tensor([[1.0, -1.0]])  # their mean is right
    assert float(dynamics.latent(state)) == 0.0
    assert float(dynamics.error(state, torch.zeros(1, 1))) == 1.0
    assert float(dynamics.uncertainty(state)) == 1.0


def test_one_member_is_refused() -> None:
    with pytest.raises(SmbrlError, match="members is 1"):
        EnsembleDynamics(8, 2, members=1)


class Cliff:
    """The first decision is rewarded for its size; beyond 0.3 nobody knows what it does."""

    decision = 1

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        return decision, decision.squeeze(-1)

    def uncertainty(self, state: Tensor) -> Tensor:
        return (state.squeeze(-1) - 0.3).clamp(min=0.0)

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        return torch.zeros(state.shape[:-1])

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        return torch.zeros(*state.shape[:-1], 1)

    def policy(self, state: Tensor) -> TanhNormal:
        return TanhNormal(torch.zeros(*state.shape[:-1], 1), torch.ones(*state.shape[:-1], 1))


class Search(CEM):
    """One decision ahead."""

    def __init__(self) -> None:
        super().__init__(horizon=1, first_horizon=1, samples=256, temperature=20.0, floor=0.01, floor_steps=0)


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 1.0), (5.0, 0.3)])
def test_pessimism_keeps_plans_where_the_model_knows(weight: float, expected: float) -> None:
    planner = Pessimistic(planner=Search, weight=weight)
    memory = planner.initial_memory(4, 1, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    decision, _ = planner.plan(Cliff(), torch.zeros(4, 1), memory, step=0, explore=False, generator=generator)
    assert torch.allclose(decision, torch.full((4, 1), expected), atol=0.06), decision
