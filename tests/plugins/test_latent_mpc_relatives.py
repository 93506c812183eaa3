"""What else the latent-MPC learner is: single-step dynamics, SPiRL + TD-MPC; and all of it as gin files make it."""

from collections.abc import Iterator

import gin
import pytest
import torch
from skimo_samples import H, N, Plan, Z, make_agent, make_skill_windows, make_windows
from smbrl_plugins.agents.latent_mpc import LatentMPC
from smbrl_plugins.agents.offline import SkillsAlone
from smbrl_plugins.dynamics.single_step import SingleStepDynamics
from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics
from smbrl_plugins.heads.plain import PlainHeads
from smbrl_plugins.heads.td_mpc2 import TDMPC2Heads
from smbrl_plugins.planners.simple import PolicyOnly
from smbrl_plugins.skills.spirl import SPiRLSkills

from smbrl import config
from smbrl.errors import SmbrlError
from smbrl.testing import assert_conforms
from smbrl.training import pretrained
from smbrl.training.experiment import Experiment


class Single(SingleStepDynamics):
    """As many steps as the skills have."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__(latent, decision, steps=H, hidden=16, layers=2)


class Primed(SPiRLSkills):
    """Three steps long, with a prior of their own."""

    def __init__(self, spec) -> None:
        super().__init__(spec, skill=Z, horizon=H, latent=16, hidden=16, layers=2)


# -- single-step dynamics ------------------------------------------------------------------------------
def test_single_step_dynamics_keep_their_contract():
    assert_conforms(SingleStepDynamics)
    assert_conforms(LatentMPC, lambda spec: make_agent(dynamics=Single, planner=Plan))


def test_a_decision_is_as_many_steps_as_the_skill_has():
    dynamics, h, z = Single(16, Z), torch.randn(5, 16), torch.rand(5, Z)
    expected = h
    for _ in range(H):
        expected = dynamics.mlp(expected, z)
    torch.testing.assert_close(dynamics.step(h, z), expected)


def test_steps_that_do_not_divide_a_skill_are_refused_in_one_line():
    class Two(SingleStepDynamics):
        def __init__(self, latent: int, decision: int) -> None:
            super().__init__(latent, decision, steps=2)

    with pytest.raises(SmbrlError, match=r"Two\.steps is 2, but a decision lasts 3 env steps"):
        make_agent(dynamics=Two)


@torch.no_grad()
def test_every_env_step_is_encoded_and_predicted_in_pre_training():
    agent, w = make_agent(dynamics=Single), make_skill_windows()
    for parameter in agent.target.encoder.parameters():
        parameter.add_(0.01)
    total, metrics = agent.offline.loss(w, torch.Generator().manual_seed(2))
    model, steps, actions = agent.model, w.obs[:, :-1].view(6, N, H, 4), w.actions.view(6, N, H, 2)
    q = agent.skills.posterior(steps, actions)
    z = q.rsample(torch.Generator().manual_seed(2))
    cons = rec = prior = 0.0
    states = skills = 0
    for b in range(6):
        h = model.encoder(w.obs[b, 0])
        real = int(w.mask[b].sum()) * H
        for t in range(real):
            h = model.dynamics.advance(h, z[b, t // H])
            cons += 0.5**t * float(((h - agent.target.encoder(w.obs[b, t + 1])) ** 2).mean())
            if t % H == 0:
                p = model.policy_head(model.encoder(w.obs[b, t]))
                prior += float(q[b, t // H].kl(p))
                skills += 1
        for t in range(real + 1):
            s = w.obs[b, t]
            rec += float(agent.decoder.nll(model.encoder(s), model.encoder.normalise(s)))
            states += 1
    assert float(metrics["consistency"]) == pytest.approx(cons / 6, rel=1e-3)
    assert float(metrics["reconstruction"]) == pytest.approx(rec / states, rel=1e-3)
    assert float(metrics["kl_prior"]) == pytest.approx(prior / skills, rel=1e-3)
    low = 2.0 * float(metrics["bc"]) + 1e-4 * float(metrics["kl_unit"])
    high = (rec / states + 2.0 * cons / 6) / (N * H)
    assert float(total) == pytest.approx(low + prior / skills + high, rel=1e-3)


@torch.no_grad()
def test_a_decisions_reward_is_the_sum_of_its_steps_in_planning_and_learning():
    agent, w = make_agent(dynamics=Single), make_windows()
    agent.model.heads.last_weight.mul_(100)
    model, h, z = agent.model, agent.model.encoder(w.obs[:, :-1]), w.decision
    following, reward = model.predict(h, z)
    state, total = h, 0.0
    for _ in range(H):
        total = total + model.heads(state, z)[0]
        state = model.dynamics.advance(state, z)
    torch.testing.assert_close(reward, total)
    torch.testing.assert_close(following, state)
    reward_error, value_error = model.errors(h, z, w.reward, w.reward, torch.Generator())
    torch.testing.assert_close(reward_error, (total - w.reward).square())
    torch.testing.assert_close(value_error, (model.heads(h, z)[1:] - w.reward).square().sum(0))


# -- SPiRL + TD-MPC --------------------------------------------------------------------------------------
def test_skills_with_a_prior_of_their_own_are_pre_trained_alone(generator):
    agent = make_agent(skills=Primed, planner=Plan)
    assert isinstance(agent.offline, SkillsAlone)
    assert (agent.offline_window, agent.window, agent.decoder, agent.prior) == (1, N, None, None)
    before = {n: v.clone() for n, v in agent.state_dict().items()}
    windows = make_skill_windows()
    agent.pretrain(type(windows)(windows.obs[:, : H + 1], windows.actions[:, :H], windows.mask[:, :1]), generator)
    moved = {n.split(".")[0] for n, v in agent.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {"skills"}


def test_the_skill_prior_holds_the_policy_and_stays_where_it_is(generator):
    assert_conforms(LatentMPC, lambda spec: make_agent(skills=Primed, planner=Plan))
    agent, w = make_agent(skills=Primed, alpha=1.0, target_kl=None, actor_states="mixed", kl_rho=1.0), make_windows()
    agent.start_online()
    skills = {n: v.clone() for n, v in agent.skills.state_dict().items()}
    first = agent.update(w, generator)["kl_prior"]
    with torch.no_grad():
        encoded = agent.model.encoder(w.obs[:, :-1])
        kl = agent.model.policy_head(encoded).kl(agent.skills.prior(w.obs[:, :-1]))
    assert abs(float((kl * w.mask).sum() / w.mask.sum()) - float(first)) < 0.1 * float(first)
    for seed in range(100):
        last = agent.update(make_windows(seed=seed), generator)["kl_prior"]
    assert float(last) < 0.5 * float(first)
    assert float(agent.log_alpha.detach()) == 0.0
    assert all(torch.equal(v, skills[n]) for n, v in agent.skills.state_dict().items())


def test_warm_up_plays_the_skill_prior():
    agent, obs = make_agent(skills=Primed), torch.rand(5, 4) * 40
    for online in (False, True):
        if online:
            agent.start_online()
        skill, _ = agent.act(
            obs, agent.initial_memory(5), mode="prior", step=0, generator=torch.Generator().manual_seed(0)
        )
        expected = agent.skills.prior(obs).rsample(torch.Generator().manual_seed(0))
        torch.testing.assert_close(skill, expected.detach())


def test_pre_training_may_have_a_pace_of_its_own():
    agent = make_agent(skills=Primed, clip=10.0, pretraining_rate=3e-3, pretraining_clip=100.0)
    assert (agent.offline.pace.learning_rate, agent.offline.pace.clip) == (3e-3, 100.0)
    assert agent.optimisers["model"].clip == 10.0
    assert make_agent(clip=10.0).offline.pace.clip == 10.0


# -- keys of stored models -------------------------------------------------------------------------------
def test_heads_are_part_of_what_joint_pre_training_depends_on():
    class Steady(PlainHeads):
        def __init__(self, latent: int, decision: int, hidden: int, layers: int, critics: int) -> None:
            super().__init__(latent, decision, hidden, layers, critics, policy_std=0.05)

    plain = make_agent().pretrain_key()
    assert "heads" not in plain
    assert make_agent(heads=Steady).pretrain_key()["heads"]["part"] == "Steady"
    assert make_agent(heads=TDMPC2Heads).pretrain_key()["heads"]["part"] == "TDMPC2Heads"


# -- configurations --------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    gin.clear_config()
    yield
    gin.clear_config()


def built(*files: str) -> Experiment:
    experiment: Experiment = config.load(list(files), ['Experiment.device="cpu"']).build()
    gin.clear_config()
    return experiment


def test_tdmpc_is_configured_as_published():
    experiment = built("tdmpc_maze")
    agent, model = experiment.agent, experiment.agent.model
    assert (agent.skills, agent.horizon, agent.decision, agent.window, agent.pretrains) == (None, 1, 2, 5, False)
    sizes = [
        sum(p.numel() for p in m.parameters()) for m in (model.encoder, model.dynamics, model.heads, model.policy_head)
    ]
    assert sizes == [14_130, 315_442, 291_329 + 582_658, 289_794]
    planner = agent.planner
    assert [planner.horizon_at(s) for s in (0, 12_500, 25_000)] == [1, 3, 5]
    assert planner.floor_at(25_000) == pytest.approx(0.05)
    online = experiment.online
    assert (online.warmup_steps, online.first_updates, online.updates, online.update_every) == (5000, 5000, 1, 1)
    assert online.batch == 512


def test_ablations_differ_from_skimo_in_what_they_are_named_after():
    skimo, single, apart, policy = (
        built(name).agent
        for name in ("skimo_maze", "skimo_single_step_maze", "skimo_no_joint_maze", "skimo_no_cem_maze")
    )
    assert isinstance(single.model.dynamics, SingleStepDynamics)
    assert single.model.dynamics.steps == skimo.horizon == 10
    assert isinstance(skimo.model.dynamics, SkillDynamics)
    assert isinstance(policy.planner, PolicyOnly)
    assert (skimo.offline.terms.joint, apart.offline.terms.joint) == (True, False)
    assert skimo.pretrain_key() == policy.pretrain_key()
    assert skimo.pretrain_key() != apart.pretrain_key()


@pytest.mark.parametrize("h", [1, 5, 10, 15, 20])
def test_horizons_are_swept(h):
    agent = built("skimo_maze", f"ablations/skill_horizon_{h}").agent
    assert (agent.horizon, agent.window) == (h, 10)
    agent = built("skimo_maze", f"ablations/planning_horizon_{h}").agent
    assert (agent.horizon, agent.window, agent.offline_window) == (10, h, h)
    assert (agent.planner.horizon_at(0), agent.planner.horizon_at(10**7)) == (h, h)


def test_spirl_and_spirl_tdmpc_find_the_same_skills():
    def key(experiment: Experiment) -> dict:
        seed = experiment.pretraining_seed
        return pretrained.key(experiment.agent, experiment.task.spec, "data", experiment.pretraining, seed)

    mine = built("spirl_tdmpc_maze")
    assert key(mine) == key(built("spirl_maze"))
    agent = mine.agent
    assert (agent.horizon, agent.decision, agent.window) == (10, 10, 5)
    assert (agent.target_kl, float(agent.log_alpha.detach())) == (None, 0.0)


def test_as_released_restores_what_settings_can():
    flat = built("tdmpc_maze", "tdmpc_as_released").agent
    assert flat.model_loss.targets.through_end
    assert bool((flat.model.encoder.scale == 1.0).all())
    spirl = built("spirl_tdmpc_maze", "spirl_tdmpc_as_released").agent
    assert spirl.planner.horizon_at(10**7) == 1
    assert spirl.planner.floor_at(10**7) == 0.5
    assert not spirl.model_loss.targets.lower_bound


@pytest.mark.parametrize("base", ["tdmpc_maze", "skimo_maze", "spirl_tdmpc_maze"])
def test_td_mpc2_goes_on_top_of_every_latent_mpc(base):
    agent = built(base, "modern/td_mpc2").agent
    assert isinstance(agent.model.recipe, TDMPC2Heads)
    assert agent.model.heads.heads == 6
    assert agent.model.termination is not None
    assert agent.scale is not None
    state = agent.model.state(torch.rand(3, 4) * 40)
    torch.testing.assert_close(state.view(3, 64, 8).sum(-1), torch.ones(3, 64))


def test_one_learner_serves_them_all():
    names = ("skimo_maze", "tdmpc_maze", "spirl_tdmpc_maze", "skimo_single_step_maze")
    assert all(isinstance(built(name).agent, LatentMPC) for name in names)
