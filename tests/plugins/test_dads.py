"""DADS: skill dynamics, the reward for skills that can be told apart, planning with them."""

import itertools
import math

import pytest
import torch
from smbrl_plugins.agents.dads import DADS
from smbrl_plugins.agents.dads_losses import RewardModel, SkillImagination, intrinsic_reward
from smbrl_plugins.agents.latent_mpc import LatentMPC
from smbrl_plugins.agents.sac import SAC
from smbrl_plugins.dynamics.skill_mixture import SkillMixture
from smbrl_plugins.planners.mppi import MPPI

from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec, Windows
from smbrl.testing import assert_conforms

SPEC = TaskSpec.plain(2, 2, position=(0, 1))


class Small(SAC):
    """A small, quick learner with little entropy."""

    def __init__(self, spec: TaskSpec) -> None:
        sizes = {"hidden": 32, "layers": 2, "critic_hidden": 32, "critic_layers": 2}
        super().__init__(
            spec, **sizes, learning_rate=3e-3, discount=0.5, alpha=0.1, target_divergence=None, target_keep=0.98
        )


class Blind(SkillMixture):
    """Does not see where it is."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__(latent, decision, hidden=32, unseen=(0, 1))


def quick(spec=SPEC, **settings):
    settings = {
        "learner": Small,
        "dynamics": Blind,
        "others": 20,
        "dynamics_rate": 3e-3,
        "reward_hidden": 32,
    } | settings
    return DADS(spec, **settings)


def moves(agent, generator, steps=5, envs=64):
    """A point mass pushed about: transitions as windows of one."""
    obs, memory, rows = torch.zeros(envs, 2), agent.initial_memory(envs), []
    for _ in range(steps):
        decision, memory = agent.act(obs, memory, mode="explore", step=0, generator=generator)
        after = obs + 0.1 * torch.from_numpy(agent.low_level(obs.numpy(), decision.numpy()))
        rows.append((torch.stack([obs, after], 1), decision))
        obs = after
    return torch.cat([o for o, _ in rows]), torch.cat([d for _, d in rows])


def windows(obs, decision, reward=None):
    one = torch.ones(len(obs), 1)
    reward = 0 * one if reward is None else reward.view(-1, 1)
    return Windows(obs, decision.unsqueeze(1), reward, 0 * one, one, torch.full_like(one, -torch.inf))


def test_keep_their_contracts():
    assert_conforms(SkillMixture)
    assert_conforms(DADS, lambda spec: quick(spec, dynamics=SkillMixture))
    assert_conforms(DADS, lambda spec: quick(spec, dynamics=SkillMixture, planner=None, unsupervised_steps=0))


def test_the_density_is_a_mixture_of_unit_gaussians_over_the_normalised_change():
    torch.manual_seed(0)
    q = SkillMixture(2, 1, experts=2, hidden=8)
    with torch.no_grad():
        q.head.weight.zero_()
        q.head.bias.copy_(torch.tensor([math.log(3.0), 0.0, 1.0, 0.0, -1.0, 2.0]))
        q.changes.mean.copy_(torch.tensor([0.5, 0.0]))
        q.changes.variance.copy_(torch.tensor([4.0, 1.0]) - 1e-3)
    state, following = torch.tensor([[1.0, 1.0]]), torch.tensor([[3.5, 1.0]])  # change (2.5, 0), normalised (1, 0)
    first, second = math.exp(0.0), math.exp(-0.5 * (2.0**2 + 2.0**2))
    expected = math.log((0.75 * first + 0.25 * second) / (2.0 * math.pi))
    assert float(q.log_prob(state, torch.zeros(1, 1), following)) == pytest.approx(expected, rel=1e-5)
    # weights 3/4 and 1/4: mean (0.5, 0.5) normalised
    torch.testing.assert_close(q.step(state, torch.zeros(1, 1)), torch.tensor([[2.5, 1.5]]))


def test_what_is_unseen_is_predicted_but_changes_nothing():
    torch.manual_seed(0)
    q = SkillMixture(3, 2, unseen=(0, 1))
    state, skill = torch.randn(5, 3), torch.rand(5, 2)
    moved = state + torch.tensor([10.0, -4.0, 0.0])
    torch.testing.assert_close(q.step(moved, skill) - moved, q.step(state, skill) - state, atol=1e-5, rtol=0)
    assert q.step(state, skill).shape == (5, 3)


def test_a_skill_that_makes_no_difference_earns_nothing(generator):
    q = SkillMixture(2, 3, hidden=16)
    with torch.no_grad():
        q.trunk[0].weight[:, 2:] = 0.0
    state, following = torch.randn(7, 2), torch.randn(7, 2)
    reward = intrinsic_reward(q, state, torch.rand(7, 3), following, 10, generator)
    torch.testing.assert_close(reward, torch.zeros(7), atol=1e-5, rtol=0)


def test_the_reward_by_hand(generator, monkeypatch):
    q = SkillMixture(1, 1)
    monkeypatch.setattr(q, "log_prob", lambda state, skill, following: -skill.abs().squeeze(-1) * 2.0)
    monkeypatch.setattr(
        "smbrl_plugins.agents.dads_losses.uniform_skills", lambda shape, device, generator: torch.ones(shape)
    )
    reward = intrinsic_reward(q, torch.zeros(1, 1), torch.tensor([[0.5]]), torch.zeros(1, 1), 3, generator)
    assert float(reward) == pytest.approx(math.log(4.0) - math.log(1.0 + 3.0 * math.exp(-2.0 + 1.0)))
    # at most log(L + 1)
    reward = intrinsic_reward(q, torch.zeros(1, 1), torch.tensor([[-99.0]]), torch.zeros(1, 1), 3, generator)
    assert float(reward) == pytest.approx(math.log(4.0) - math.log(1.0 + 3.0 * math.exp(50.0)), rel=1e-4)


def test_transitions_that_paid_are_kept_the_latest_ones_where_there_are_many():
    model = RewardModel(1, 8, kept=3)
    state, reward = torch.arange(6.0).view(6, 1), torch.tensor([0.0, 5.0, 0.0, 7.0, 1.0, 2.0])
    model.keep(state, state + 1, reward)
    assert (int(model.count), float(model.largest)) == (4, 7.0)
    assert sorted(model.paid[:3, 2].tolist()) == [1.0, 2.0, 7.0]


def test_the_reward_model_learns_where_the_task_pays(generator):
    torch.manual_seed(0)
    model = RewardModel(1, 32, kept=100)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(500):
        state = torch.rand(64, 1, generator=generator)
        reward = 100.0 * (state.squeeze(-1) > 0.98).float()  # one in fifty
        model.keep(state, state, reward)
        optimiser.zero_grad()
        model.loss(state, state, reward, generator).backward()
        optimiser.step()
    where = torch.tensor([[0.2], [0.6], [0.995]])
    low, middle, high = model(where, where).tolist()
    assert abs(low) < 0.5 * high
    assert abs(middle) < 0.5 * high
    assert high > 50.0


def test_planning_on_known_skill_dynamics_reaches_a_goal(generator, monkeypatch):
    """Skills are directions; the reward is being closer to (1, -1) after each step."""
    q, reward = SkillMixture(2, 2), RewardModel(2, 8, 10)
    goal = torch.tensor([1.0, -1.0])
    monkeypatch.setattr(q, "step", lambda state, skill, generator=None: state + 0.1 * skill)
    monkeypatch.setattr(reward, "forward", lambda state, after: -(after - goal).norm(dim=-1))
    planner, state = MPPI(horizon=2, first_horizon=2, hold=5, samples=64), torch.zeros(1, 2)
    memory = planner.initial_memory(1, 2, torch.device("cpu"))
    for _ in range(3):
        skill, memory = planner.plan(
            SkillImagination(q, reward, 2), state, memory, step=0, explore=False, generator=generator
        )
        for _ in range(5):
            state = state + 0.1 * skill
    assert float((state - goal).norm()) < 0.3


def test_skills_are_held_and_episodes_say_what_they_are_for(generator):
    agent = quick(hold=3, explore_hold=5, unsupervised_steps=0, plan_share=1.0)
    agent.reward.count.fill_(1)
    obs, memory, skills = torch.zeros(4, 2), agent.initial_memory(4), []
    for _ in range(7):
        decision, memory = agent.act(obs, memory, mode="explore", step=1, generator=generator)
        skills.append(decision[:, 2:])
    changes = [bool((a != b).any()) for a, b in itertools.pairwise(skills)]
    assert changes == [False, False, True, False, False, True]
    agent = quick(explore_hold=5, plan_share=0.0, unsupervised_steps=0)
    agent.reward.count.fill_(1)
    memory = agent.initial_memory(400)
    _, memory = agent.act(torch.zeros(400, 2), memory, mode="explore", step=1, generator=generator)
    assert (memory[:, 3] == 2.0).all()
    assert (memory[:, 2] == 4.0).all()


def test_discovers_directions(generator):
    """Skills come to tell themselves apart by more than one nat; corners of the action space allow 1.13."""
    torch.manual_seed(0)
    agent = quick(explore_hold=10, others=100)
    agent.start_online()
    rewards = []
    for _ in range(300):
        obs, decision = moves(agent, generator)
        for _ in range(12):
            pick = torch.randint(len(obs), (128,), generator=generator)
            rewards.append(agent.update(windows(obs[pick], decision[pick]), generator)["intrinsic_reward"])
        latest = float(torch.stack(rewards[-60:]).mean())
        if latest > 1.0:
            break
    assert float(torch.stack(rewards[:60]).mean()) < 0.3
    assert latest > 1.0
    # where eight skills lead, one in each direction of skill space
    angles = torch.arange(8) * math.pi / 4
    skill = torch.stack([angles.cos(), angles.sin()], 1)
    action, _ = agent.learner.act(
        agent.seen(torch.zeros(8, 2), skill), torch.zeros(8, 0), mode="evaluate", step=0, generator=generator
    )
    headings = torch.atan2(action[:, 1], action[:, 0]).sort().values
    gaps = torch.cat([headings, headings[:1] + 2 * math.pi]).diff()
    assert float(action.norm(dim=1).mean()) > 0.3
    assert float(gaps.max()) < 0.9 * math.pi  # no half of the circle is left out


def test_a_learner_of_windows_is_refused_in_one_line():
    with pytest.raises(SmbrlError, match="such as SAC"):
        DADS(SPEC, learner=LatentMPC)
