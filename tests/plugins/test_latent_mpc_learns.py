"""The latent-MPC learner learns with skills: from scripted data, then a goal that its prior rarely finds."""

import pytest
import torch
from goal_world import REWARD, SPEC, H, N, Plan, Primed, Skills, learn
from smbrl_plugins.agents.latent_mpc import LatentMPC
from smbrl_plugins.dynamics.single_step import SingleStepDynamics
from smbrl_plugins.heads.plain import PlainHeads


class ByStep(SingleStepDynamics):
    """As many env steps as a skill has."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__(latent, decision, steps=H, hidden=32, layers=2)


SKIMO = {"skills": Skills, "target_kl": 6.0}
METHODS = {
    "skimo": (SKIMO | {"planner": Plan}, 4),
    "skimo_no_cem": (SKIMO | {"planner": None}, 8),
    "skimo_single_step": (SKIMO | {"planner": Plan, "dynamics": ByStep}, 4),
    "spirl_tdmpc": (
        {"skills": Primed, "heads": PlainHeads, "planner": Plan, "target_kl": None, "alpha": 1.0}
        | {"actor_states": "mixed", "kl_rho": 1.0},
        8,
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_reaches_a_goal_that_the_prior_rarely_finds(method):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    parts, rounds = METHODS[method]
    agent = LatentMPC(
        SPEC,
        **parts,
        latent=32,
        hidden=32,
        layers=2,
        window=N,
        discount=0.9,
        lower_bound=True,
        highest_return=REWARD,
    )
    by_prior, learned, metrics = learn(agent, rounds, 25, 64, generator)
    assert by_prior < 0.5
    assert learned > 0.9, f"from {by_prior} to {learned}: {metrics}"
