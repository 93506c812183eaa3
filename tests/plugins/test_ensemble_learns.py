"""SkiMo learns with the example plugin's ensemble and pessimistic planner in place of its own parts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from goal_world import REWARD, SPEC, N, Plan, Skills, episodes, joined, sample, scripted, success
from smbrl_plugins.agents.latent_mpc import LatentMPC

from smbrl.testing import assert_conforms

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "ensemble_dynamics"


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> LatentMPC:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from smbrl_ensemble import EnsembleDynamics, Pessimistic

    class Ensemble(EnsembleDynamics):
        """Small."""

        def __init__(self, latent: int, decision: int) -> None:
            super().__init__(latent, decision, members=3, hidden=32, layers=2)

    class Wary(Pessimistic):
        """On the small planner."""

        def __init__(self) -> None:
            super().__init__(planner=Plan, weight=1.0)

    torch.manual_seed(0)
    yield LatentMPC(
        SPEC,
        skills=Skills,
        dynamics=Ensemble,
        planner=Wary,
        latent=32,
        hidden=32,
        layers=2,
        window=N,
        discount=0.9,
        lower_bound=True,
        highest_return=REWARD,
        target_kl=6.0,
    )
    for name in [name for name in sys.modules if name.startswith("smbrl_ensemble")]:
        del sys.modules[name]


def test_it_reaches_a_goal_that_the_prior_rarely_finds(agent: LatentMPC) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        agent.pretrain(scripted(64, generator), generator)
    agent.start_online()
    by_prior = success(agent, "prior", generator)
    replay = episodes(agent, "prior", 100, generator)
    for _ in range(4):
        for _ in range(25):
            metrics = agent.update(sample(replay, 64, generator), generator)
        replay = joined(replay, episodes(agent, "explore", 30, generator))
    learned = success(agent, "evaluate", generator)
    assert by_prior < 0.5
    assert learned > 0.9, f"from {by_prior} to {learned}: {metrics}"


def test_the_members_disagree_outside_what_they_learned(agent: LatentMPC) -> None:
    """After pre-training they are surer of skills played inside the room, where the data are, than far outside."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        agent.pretrain(scripted(64, generator), generator)
    windows = scripted(200, generator)
    skill = agent.infer(windows.obs[:, :5], windows.actions[:, :5])
    doubt = []
    for place in (windows.obs[:, 0], windows.obs[:, 0] + 4.0):
        doubt.append(float(agent.model.uncertainty(agent.imagine(agent.encode(place), skill)).mean()))
    assert doubt[1] > 2.0 * doubt[0], doubt


def test_an_agent_with_it_keeps_the_contract(agent: LatentMPC) -> None:
    assert_conforms(LatentMPC, lambda spec: LatentMPC(spec, **{k: v for k, v in agent.settings.items() if k != "spec"}))
