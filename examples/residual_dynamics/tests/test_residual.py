"""The plugin keeps smbrl's contract, and starts near the identity."""

import torch
from smbrl_residual import ResidualDynamics

from smbrl.testing import assert_conforms


def test_residual_dynamics_keep_the_contract() -> None:
    assert_conforms(ResidualDynamics)


def test_without_scale_nothing_moves() -> None:
    dynamics = ResidualDynamics(8, 2, scale=0.0)
    state = torch.randn(3, 8)
    assert torch.equal(dynamics.step(state, torch.rand(3, 2)), state)
