"""LSP: skills held, told apart, planned over; a policy learned in imagination."""

import math

import pytest
import torch
from smbrl_plugins.agents.lsp import LSP
from smbrl_plugins.agents.lsp_model import Inference, SkillBox, SkillDreams
from smbrl_plugins.dynamics.rssm import RSSM
from smbrl_plugins.planners.cem import CEM

from smbrl.errors import SmbrlError
from smbrl.interfaces import TanhNormal, TaskSpec, Windows
from smbrl.testing import assert_conforms

LENGTH, SPEED = 10, 0.3
LINE = TaskSpec(1, 1, (0.0,), (4.0,), time_limit=LENGTH)


class Small(RSSM):
    """Small."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__(latent, decision, deterministic=32, stochastic=4, hidden=32)


class Plan(CEM):
    """Few samples."""

    def __init__(self) -> None:
        settings = {"horizon": 1, "first_horizon": 1, "samples": 16, "policy_samples": 4, "elites": 4, "iterations": 3}
        super().__init__(**settings, std=0.33, floor=0.05, first_floor=0.05, noise=False, warm_start=False)


def make(spec=LINE, **settings):
    torch.manual_seed(0)
    small = {"dynamics": Small, "planner": Plan, "latent": 32, "hidden": 32, "decoder_hidden": 32, "free_nats": 0.5}
    small |= {"inference_hidden": 32, "window": LENGTH, "imagination": 6, "hold": 3, "skill": 2, "discount": 0.9}
    return LSP(spec, **(small | settings))


def test_keeps_its_contract():
    assert_conforms(LSP, lambda spec: make(spec, window=5))
    assert_conforms(LSP, lambda spec: make(spec, window=5, continuation=True))


def test_the_box_holds_a_normal_prior(generator):
    box = SkillBox(2, 3.0)
    drawn = box.draw(20_000, device=torch.device("cpu"), generator=generator)
    assert float(drawn.abs().max()) <= 1.0
    assert float((3.0 * drawn).std()) == pytest.approx(1.0, abs=0.02)
    log = box.log_prior(torch.tensor([[1.0 / 3.0, 0.0]]))
    assert float(log) == pytest.approx(-0.5 - math.log(2.0 * math.pi))


def test_information_by_hand():
    inference = Inference(2, SkillBox(1, 2.0), 8)
    last = inference.mlp.linears[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.5, 0.0]))  # mean 0.5, deviation 1
    zeros, z = torch.zeros(1, 2), torch.tensor([[0.5]])  # z = 1
    told = inference.information(zeros, zeros, z)
    assert float(told.detach()) == pytest.approx(-0.5 * 0.25 + 0.5 * 1.0)


def test_dreamt_skills_last_and_begin_with_the_replays_or_the_priors(generator):
    agent = make(imagination=7, hold=3, replayed=1.0)
    skills = torch.rand(2, LENGTH, 2) * 0.1
    plan = agent.skills_to_dream(skills, generator)
    assert plan.shape == (8, 2 * (LENGTH + 1), 2)
    assert agent.begun() == [0, 0, 0, 3, 3, 3, 6]
    same = [bool((plan[t] == plan[t + 1]).all()) for t in range(7)]
    assert same == [True, True, False, True, True, False, True]
    torch.testing.assert_close(plan[0].view(2, LENGTH + 1, 2)[:, :-1], skills)
    torch.testing.assert_close(plan[0].view(2, LENGTH + 1, 2)[:, -1], skills[:, -1])
    drawn = make(replayed=0.0).skills_to_dream(skills, generator)[0]
    assert not torch.isclose(drawn.view(2, LENGTH + 1, 2)[:, :-1], skills).any()


def test_a_planned_skill_is_worth_the_discounted_reward_of_its_steps(monkeypatch):
    agent = make(hold=3)
    dreams = SkillDreams(agent.world, agent.policy, agent.value, agent.box, 3, 0.5)
    size = agent.world.dynamics.state
    monkeypatch.setattr(agent.world.dynamics, "step", lambda state, action, generator=None: state + 1.0)
    monkeypatch.setattr(agent.world, "judge", lambda state: (state[..., 0], torch.ones_like(state[..., 0])))
    state, worth = dreams.predict(torch.zeros(2, 1, size + 2), torch.full((2, 4, 2), 0.3))
    torch.testing.assert_close(worth, torch.full((2, 4), 1.0 + 0.5 * 2.0 + 0.25 * 3.0))
    assert state.shape == (2, 4, size + 2)
    torch.testing.assert_close(state[..., size:], torch.full((2, 4, 2), 0.3))


def test_skills_are_held_while_acting(generator):
    agent = make(hold=3)
    memory, skills = agent.initial_memory(4), []
    for _ in range(7):
        decision, memory = agent.act(torch.zeros(4, 1), memory, mode="explore", step=0, generator=generator)
        skills.append(decision[:, 1:])
    same = [bool((skills[t] == skills[t + 1]).all()) for t in range(6)]
    assert same == [True, True, False, True, True, False]
    assert agent.low_level(torch.zeros(4, 1).numpy(), decision.numpy()).shape == (4, 1)


def test_a_policy_that_shows_its_skill_is_paid_for_it(generator):
    """Without any reward, the bonus makes the skill known: the information rises."""
    agent = make(information=1.0, policy_learning_rate=2e-3, inference_learning_rate=3e-3, world_learning_rate=3e-3)
    replay = episodes(agent, "prior", 60, generator)
    replay.reward.zero_()
    told = [agent.update(sample(replay, 16, generator), generator)["information"] for _ in range(120)]
    assert float(torch.stack(told[-20:]).mean()) > float(torch.stack(told[:20]).mean()) + 0.3


def episodes(agent, mode, count, generator):
    """Lock-step episodes on a line that run out of time; the nearer to 0, the better."""
    place = torch.rand(count, 1, generator=generator) * 2 - 1
    memory, obs, decisions, rewards = agent.initial_memory(count), [place], [], []
    for _ in range(LENGTH):
        decision, memory = agent.act(place, memory, mode=mode, step=0, generator=generator)
        place = (place + SPEED * decision[:, :1]).clamp(-1, 1)
        obs.append(place)
        decisions.append(decision)
        rewards.append(1.0 - place[:, 0].abs())
    ones = torch.ones(count, LENGTH)
    bound = torch.full((count, LENGTH), -torch.inf)
    return Windows(torch.stack(obs, 1), torch.stack(decisions, 1), torch.stack(rewards, 1), 0 * ones, ones, bound)


def sample(replay, batch, generator):
    rows = torch.randint(len(replay.mask), (batch,), generator=generator)
    return Windows(**{name: value[rows] for name, value in vars(replay).items()})


def test_walks_to_the_goal(generator):
    agent = make(policy_learning_rate=2e-3, value_learning_rate=2e-3, world_learning_rate=3e-3, information=0.01)
    replay = episodes(agent, "prior", 100, generator)
    at_random = float(replay.reward.sum(1).mean())
    for _ in range(5):
        for _ in range(40):
            agent.update(sample(replay, 16, generator), generator)
        new = episodes(agent, "explore", 20, generator)
        replay = Windows(**{k: torch.cat([v, getattr(new, k)]) for k, v in vars(replay).items()})
    found = episodes(agent, "evaluate", 100, generator)
    place, best = found.obs[:, 0, 0], 0.0
    for _ in range(LENGTH):
        place = place - place.clamp(-SPEED, SPEED)
        best = best + float((1.0 - place.abs()).mean())
    assert at_random < 0.6 * best
    assert float(found.reward.sum(1).mean()) > 0.85 * best


def test_wrong_numbers_are_one_line():
    with pytest.raises(SmbrlError, match="hold is 0"):
        make(hold=0)


def test_the_policy_is_a_distribution_over_env_actions():
    agent = make()
    policy = agent.policy(torch.zeros(3, agent.world.dynamics.latent_size), torch.zeros(3, 2))
    assert isinstance(policy, TanhNormal)
    assert policy.mean.shape == (3, 1)
