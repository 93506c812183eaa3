"""SAC as plain SAC, as SPiRL and as SkiMo+SAC: one learner, other parts."""

import copy
from dataclasses import replace

import pytest
import torch
from skimo_samples import SPEC, H, N, Skills, Z, make_agent, make_skill_windows, make_windows
from smbrl_plugins.agents.sac import SAC
from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics
from smbrl_plugins.encoders.fourier import FourierEncoder
from smbrl_plugins.skills.spirl import SPiRLSkills

from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec
from smbrl.testing import assert_conforms

SMALL = {"latent": 16, "hidden": 16, "layers": 2, "critic_hidden": 16}


class Primed(SPiRLSkills):
    """Three steps long."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, skill=Z, horizon=H, latent=16, hidden=16, layers=2)


KINDS = {
    "sac": {},
    "spirl": {"skills": Primed},
    "skimo_sac": {
        "skills": Skills,
        "dynamics": SkillDynamics,
        "pretraining_window": N,
        "target_keep": 0.99,
        "target_every": 2,
    },
}


def make(kind, **settings) -> SAC:
    torch.manual_seed(0)
    return SAC(SPEC, **{**SMALL, **KINDS[kind], **settings})


def online(agent, batch=6, seed=0):
    """Windows of one decision."""
    w = make_windows(batch, seed)
    first = {name: getattr(w, name)[:, :1] for name in ("reward", "terminated", "mask", "lower_bound")}
    return replace(w, obs=w.obs[:, :2], decision=w.decision[:, :1, : agent.decision], **first)


def offline(agent, seed=0):
    """Windows of as many skills as the agent pre-trains on."""
    w, n = make_skill_windows(seed=seed), agent.offline_window
    return type(w)(w.obs[:, : n * H + 1], w.actions[:, : n * H], w.mask[:, :n])


def ready(kind, **settings):
    agent = make(kind, **settings)
    g = torch.Generator().manual_seed(0)
    if agent.pretrains:
        for seed in range(3):
            agent.pretrain(offline(agent, seed), g)
    agent.start_online()
    return agent, g


@pytest.mark.parametrize("kind", KINDS)
def test_keeps_its_contract(kind):
    assert_conforms(SAC, lambda spec: SAC(spec, **SMALL, **KINDS[kind]))


def test_skimo_sac_finds_the_model_that_skimo_stored():
    skimo, sac = make_agent(), make("skimo_sac")
    assert sac.pretrain_key() == skimo.pretrain_key()
    mine, theirs = sac.pretrained_state(), skimo.pretrained_state()
    assert {n: v.shape for n, v in mine.items()} == {n: v.shape for n, v in theirs.items()}
    assert make("skimo_sac", rho=0.9).pretrain_key() != skimo.pretrain_key()


def test_skimo_sac_takes_over_what_skimo_learned():
    skimo, sac = make_agent(), make("skimo_sac")
    g = torch.Generator().manual_seed(0)
    skimo.pretrain(make_skill_windows(), g)
    sac.load_pretrained(skimo.pretrained_state())
    sac.start_online()
    skimo.start_online()
    obs = torch.rand(5, 4) * 40
    torch.testing.assert_close(sac.policy(obs).mean, skimo.prior(obs).mean)
    z = torch.rand(5, Z)
    torch.testing.assert_close(sac.skills.act(obs, z), skimo.skills.act(obs, z))


def test_pre_training_is_skimos_update_for_update():
    """The same weights and batches give the same losses, whoever pre-trains."""
    skimo, sac = make_agent(), make("skimo_sac")
    sac.load_pretrained(skimo.pretrained_state())
    for seed in range(4):  # the target moves after the second
        found = [
            agent.pretrain(make_skill_windows(seed=seed), torch.Generator().manual_seed(seed)) for agent in (skimo, sac)
        ]
        assert {n: float(v) for n, v in found[0].items()} == {n: float(v) for n, v in found[1].items()}


@pytest.mark.parametrize("kind", ["spirl", "skimo_sac"])
def test_policy_starts_as_the_prior(kind):
    agent, g = ready(kind)
    metrics = agent.update(online(agent), g)
    assert float(metrics["divergence"]) == pytest.approx(0.0, abs=1e-6)
    assert float(agent.update(online(agent), g)["divergence"]) > 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_moves_what_learns_and_nothing_else(kind):
    agent, g = ready(kind)
    before = {n: v.clone() for n, v in agent.state_dict().items()}
    for seed in range(2):  # the targets move at the second at the latest
        agent.update(online(agent, seed=seed), g)
    moved = {n.split(".")[0] for n, v in agent.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {"policy", "critics", "target_critics", "log_alpha"}


@pytest.mark.parametrize("kind", ["spirl", "skimo_sac"])
def test_prior_stays_where_pre_training_left_it(kind):
    agent, g = ready(kind)
    obs = torch.rand(5, 4) * 40

    def prior():
        seeded = torch.Generator().manual_seed(1)
        return agent.act(obs, agent.initial_memory(5), mode="prior", step=0, generator=seeded)[0]

    first = prior()
    for _ in range(3):
        agent.update(online(agent), g)
    assert torch.equal(first, prior())


def test_temperature_rises_when_the_policy_is_too_far_from_the_prior():
    agent, g = ready("spirl", target_divergence=0.5)
    with torch.no_grad():
        agent.policy.policy_head.mlp.linears[-1].bias.add_(1.0)
    before = float(agent.log_alpha.detach())
    metrics = agent.update(online(agent), g)
    assert float(metrics["divergence"]) > 0.5
    assert float(agent.log_alpha.detach()) > before


def test_a_fixed_temperature_stays():
    agent, g = ready("sac", target_divergence=None, alpha=0.2)
    agent.update(online(agent), g)
    assert float(agent.log_alpha.detach().exp()) == pytest.approx(0.2)


def test_plain_sac_holds_its_entropy_at_minus_the_size_of_an_action():
    assert make("sac").target == 2.0
    assert make("spirl").target == float(Z)


def test_targets_follow_slowly():
    agent, g = ready("sac", target_keep=0.9, target_every=2)
    first = agent.target_critics.heads.first_weight.clone()
    agent.update(online(agent), g)
    assert torch.equal(first, agent.target_critics.heads.first_weight)
    agent.update(online(agent), g)
    torch.testing.assert_close(
        agent.target_critics.heads.first_weight, 0.9 * first + 0.1 * agent.critics.heads.first_weight.detach()
    )


def test_actions_of_a_flat_agent_are_its_decisions_and_random_at_first():
    agent = make("sac")
    assert (agent.horizon, agent.decision, agent.window, agent.pretrains) == (1, 2, 1, False)
    seeded = torch.Generator().manual_seed(0)
    decision, memory = agent.act(torch.zeros(500, 4), agent.initial_memory(500), mode="prior", step=0, generator=seeded)
    assert memory.shape == (500, 0)
    assert float(decision.abs().max()) <= 1.0
    assert float(decision.std()) == pytest.approx(1 / 3**0.5, abs=0.03)  # uniform


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_updates_are_identical(kind):
    agent, _ = ready(kind, critic_encoder=FourierEncoder)
    other = make(kind, critic_encoder=FourierEncoder)
    other.start_online()
    agent.update(online(agent), torch.Generator().manual_seed(0))
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    other.load_training_state(copy.deepcopy(agent.training_state()))
    for seed in range(3):
        mine, theirs = (a.update(online(a, seed=seed), torch.Generator().manual_seed(seed)) for a in (agent, other))
        assert {k: float(v) for k, v in mine.items()} == {k: float(v) for k, v in theirs.items()}
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in agent.state_dict().items())


def test_pictures_get_policy_and_value():
    agent, _ = ready("spirl")
    obs = torch.rand(3, 7, 4) * 40
    assert agent.policy_mode(obs).shape == (3, 7, Z)
    value = agent.state_value(obs)
    torch.testing.assert_close(value, agent.critics(obs, agent.policy_mode(obs)).amin(0))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha": 0.0}, "above 0"),
        ({"dynamics": SkillDynamics}, "bind SAC.skills too"),
        ({"skills": Skills}, "has no prior of its own"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(settings, words):
    with pytest.raises(SmbrlError, match=words):
        make("sac", **settings)
