"""Dreamer learns: a line world with a known optimum, also with DreamerV3's options; with skills, a distant goal."""

import goal_world
import pytest
import torch
from dreamer_samples import MODERN
from smbrl_plugins.agents.dreamer import Dreamer
from smbrl_plugins.dynamics.rssm import RSSM

from smbrl.interfaces import TaskSpec, Windows

LENGTH, SPEED, GOAL = 10, 0.3, 0.0
SPEC = TaskSpec(1, 1, (0.0,), (4.0,), time_limit=LENGTH)


class Normal(RSSM):
    """Small."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__(latent, decision, deterministic=32, stochastic=4, hidden=32)


class Discrete(RSSM):
    """Small, with categorical beliefs."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__(latent, decision, deterministic=32, stochastic=8, classes=8, hidden=32)


def episodes(agent, mode, count, generator):
    """Lock-step episodes that run out of time; the nearer to the goal, the better."""
    place = torch.rand(count, 1, generator=generator) * 2 - 1
    memory = agent.initial_memory(count)
    obs, decisions, rewards = [place], [], []
    for _ in range(LENGTH):
        decision, memory = agent.act(place, memory, mode=mode, step=0, generator=generator)
        place = (place + SPEED * decision).clamp(-1, 1)
        obs.append(place)
        decisions.append(decision)
        rewards.append(1.0 - (place[:, 0] - GOAL).abs())
    ones = torch.ones(count, LENGTH)
    bound = torch.full((count, LENGTH), -torch.inf)
    return Windows(torch.stack(obs, 1), torch.stack(decisions, 1), torch.stack(rewards, 1), 0 * ones, ones, bound)


def optimum(obs):
    """Return of walking straight to the goal."""
    place, total = obs[:, 0, 0], 0.0
    for _ in range(LENGTH):
        place = place + (GOAL - place).clamp(-SPEED, SPEED)
        total = total + 1.0 - (place - GOAL).abs()
    return float(total.mean())


def sample(replay, batch, generator):
    rows = torch.randint(len(replay.mask), (batch,), generator=generator)
    return Windows(**{name: value[rows] for name, value in vars(replay).items()})


def joined(a, b):
    return Windows(**{k: torch.cat([getattr(a, k), getattr(b, k)]) for k in vars(a)})


# one number is seen: classes and bins that suit it
OPTIONS = MODERN | {"bins": 41, "bin_limit": 4.0, "free_nats": 3.0, "slow_weight": 0.3, "entropy": 3e-3}


@pytest.mark.parametrize(("dynamics", "options"), [(Normal, {}), (Discrete, OPTIONS)])
def test_walks_to_the_goal(dynamics, options):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    agent = Dreamer(
        SPEC,
        dynamics=dynamics,
        latent=32,
        hidden=32,
        decoder_hidden=32,
        decoder_layers=1,
        reward_layers=1,
        value_layers=1,
        policy_layers=1,
        window=LENGTH,
        imagination=6,
        discount=0.9,
        log_std=True,
        world_learning_rate=5e-3,
        policy_learning_rate=3e-3,
        value_learning_rate=5e-3,
        **({"free_nats": 0.5} | options),
    )
    replay = episodes(agent, "prior", 100, generator)
    at_random = float(replay.reward.sum(1).mean())
    for _ in range(5):
        for _ in range(40):
            metrics = agent.update(sample(replay, 16, generator), generator)
        replay = joined(replay, episodes(agent, "explore", 20, generator))
    found = episodes(agent, "evaluate", 100, generator)
    learned, best = float(found.reward.sum(1).mean()), optimum(found.obs)
    assert at_random < 0.65 * best
    assert learned > 0.8 * best, f"from {at_random} to {learned} of {best}: {metrics}"


def test_with_skills_it_reaches_a_goal_that_the_prior_rarely_finds():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    agent = Dreamer(
        goal_world.SPEC,
        skills=goal_world.Primed,
        dynamics=Normal,
        latent=32,
        hidden=32,
        decoder_hidden=32,
        decoder_layers=1,
        reward_layers=1,
        value_layers=1,
        policy_layers=1,
        window=goal_world.N,
        imagination=goal_world.N,
        discount=0.9,
        alpha=0.1,
        free_nats=0.5,
        world_learning_rate=3e-3,
        policy_learning_rate=1e-3,
        value_learning_rate=3e-3,
    )
    by_prior, learned, metrics = goal_world.learn(agent, 10, 30, 64, generator)
    assert by_prior < 0.5
    assert learned > 0.9, f"from {by_prior} to {learned}: {metrics}"
