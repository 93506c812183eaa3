"""SkiMo learns: skills from scripted data, then a goal that its prior rarely finds."""

import pytest
import torch
from smbrl_plugins.agents.latent_mpc import LatentMPC
from smbrl_plugins.planners.cem import CEM
from smbrl_plugins.skills.skimo_vae import SkiMoVAE

from smbrl.interfaces import SkillWindows, TaskSpec, Windows

H, N, LIMIT, SPEED, REWARD = 5, 3, 8, 0.12, 10.0
GOAL = torch.tensor([0.6, 0.6])
SPEC = TaskSpec.plain(2, 2, position=(0, 1), time_limit=LIMIT * H)


class Skills(SkiMoVAE):
    """Five steps long."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, skill=2, horizon=H, latent=32, hidden=32, layers=2)


class Plan(CEM):
    """Looks as far as the windows do."""

    def __init__(self) -> None:
        super().__init__(horizon=N, horizon_steps=0, samples=64, elites=16, iterations=3, floor=0.1, floor_steps=0)


def move(place, action):
    return (place + SPEED * action).clamp(-1, 1)


def scripted(batch, generator):
    """Straight lines in random directions, a new direction every H steps."""
    place = torch.rand(batch, 2, generator=generator) * 2 - 1
    angle = 6.2832 * torch.rand(batch, N, generator=generator)
    actions = torch.stack([angle.cos(), angle.sin()], -1).repeat_interleave(H, 1)
    obs = [place]
    for t in range(N * H):
        obs.append(move(obs[-1], actions[:, t]))
    return SkillWindows(torch.stack(obs, 1), actions, torch.ones(batch, N))


def episodes(agent, mode, count, generator):
    """Lock-step episodes: Windows of whole episodes (B, LIMIT), and who reached the goal."""
    place = -0.6 + 0.1 * torch.randn(count, 2, generator=generator)
    memory, alive = agent.initial_memory(count), torch.ones(count)
    obs, decisions, rewards, masks = [place], [], [], []
    for _ in range(LIMIT):
        decision, memory = agent.act(place, memory, mode=mode, step=0, generator=generator)
        reward = torch.zeros(count)
        masks.append(alive.clone())
        for _ in range(H):
            action = torch.from_numpy(agent.low_level(place.numpy(), decision.numpy()))
            place = torch.where(alive[:, None] > 0, move(place, action), place)
            there = ((place - GOAL).norm(dim=-1) < 0.35).float() * alive
            reward, alive = reward + REWARD * there, alive - there
        obs.append(place)
        decisions.append(decision)
        rewards.append(reward)
    reward = torch.stack(rewards, 1)
    steps_left = torch.arange(LIMIT)
    reached = reward.argmax(1, keepdim=True)
    achieved = torch.where(reward.any(1, keepdim=True), REWARD * 0.9 ** (reached - steps_left).clamp(min=0), -torch.inf)
    ended = (reward > 0).float()
    return Windows(torch.stack(obs, 1), torch.stack(decisions, 1), reward, ended, torch.stack(masks, 1), achieved)


def sample(replay, batch, generator):
    """Windows of N decisions from anywhere in the episodes."""
    mask = replay.mask.clone()
    mask[:, LIMIT - N + 1 :] = 0
    start = mask.nonzero()[torch.randint(int(mask.sum()), (batch,), generator=generator)]
    index = start[:, 1:] + torch.arange(N)
    picked = {k: getattr(replay, k)[start[:, :1], index] for k in ("decision", "reward", "terminated", "mask")}
    following = torch.cat([index, index[:, -1:] + 1], 1)
    return Windows(
        obs=replay.obs[start[:, :1], following], lower_bound=replay.lower_bound[start[:, :1], index], **picked
    )


def joined(a, b):
    return Windows(**{k: torch.cat([getattr(a, k), getattr(b, k)]) for k in vars(a)})


def success(agent, mode, generator):
    return float(episodes(agent, mode, 100, generator).terminated.sum(1).mean())


@pytest.mark.parametrize(("planner", "rounds"), [(None, 8), (Plan, 4)])
def test_reaches_a_goal_that_the_prior_rarely_finds(planner, rounds):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    agent = LatentMPC(
        SPEC,
        skills=Skills,
        planner=planner,
        latent=32,
        hidden=32,
        layers=2,
        window=N,
        discount=0.9,
        lower_bound=True,
        highest_return=REWARD,
        target_kl=6.0,
    )
    for _ in range(300):
        metrics = agent.pretrain(scripted(64, generator), generator)
    assert float(metrics["bc"]) < 0.05
    agent.start_online()
    by_prior = success(agent, "prior", generator)
    replay = episodes(agent, "prior", 100, generator)
    for _ in range(rounds):
        for _ in range(25):
            metrics = agent.update(sample(replay, 64, generator), generator)
        replay = joined(replay, episodes(agent, "explore", 30, generator))
    learned = success(agent, "evaluate", generator)
    assert by_prior < 0.5
    assert learned > 0.9, f"from {by_prior} to {learned}: {metrics}"
