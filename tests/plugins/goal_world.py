"""A point in a box with a goal that straight-line skills rarely reach: scripted data, and episodes of skill methods."""

import torch
from smbrl_plugins.planners.cem import CEM
from smbrl_plugins.skills.skimo_vae import SkiMoVAE
from smbrl_plugins.skills.spirl import SPiRLSkills

from smbrl.interfaces import SkillWindows, TaskSpec, Windows

H, N, LIMIT, SPEED, REWARD = 5, 3, 8, 0.12, 10.0
GOAL = torch.tensor([0.6, 0.6])
SPEC = TaskSpec.plain(2, 2, position=(0, 1), time_limit=LIMIT * H)


class Skills(SkiMoVAE):
    """SkiMo's, five steps long."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, skill=2, horizon=H, latent=32, hidden=32, layers=2)


class Primed(SPiRLSkills):
    """SPiRL's, five steps long."""

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


def sample(replay, batch, generator, window=N):
    """Windows from anywhere in the episodes, with masked decisions behind their ends."""
    mask = replay.mask.clone()
    mask[:, LIMIT - window + 1 :] = 0
    start = mask.nonzero()[torch.randint(int(mask.sum()), (batch,), generator=generator)]
    row, index = start[:, :1], start[:, 1:] + torch.arange(window)
    picked = {name: value[row, index] for name, value in vars(replay).items() if name != "obs"}
    return Windows(obs=replay.obs[row, start[:, 1:] + torch.arange(window + 1)], **picked)


def joined(a, b):
    return Windows(**{k: torch.cat([getattr(a, k), getattr(b, k)]) for k in vars(a)})


def success(agent, mode, generator):
    return float(episodes(agent, mode, 100, generator).terminated.sum(1).mean())


def offline(batch, windows, generator):
    """What an agent that pre-trains on so many skills at a time gets."""
    w = scripted(batch, generator)
    return SkillWindows(w.obs[:, : windows * H + 1], w.actions[:, : windows * H], w.mask[:, :windows])


def learn(agent, rounds, updates, batch, generator, pretraining=300):
    """Skills from data, episodes of the prior, then updates and the agent's own episodes in turn.

    Returns: the prior's success, the agent's without exploration, and its last metrics.
    """
    for _ in range(pretraining):
        metrics = agent.pretrain(offline(64, agent.offline_window, generator), generator)
    assert float(metrics["bc"]) < 0.05
    agent.start_online()
    by_prior = success(agent, "prior", generator)
    replay = episodes(agent, "prior", 100, generator)
    for _ in range(rounds):
        for _ in range(updates):
            metrics = agent.update(sample(replay, batch, generator, agent.window), generator)
        replay = joined(replay, episodes(agent, "explore", 30, generator))
    return by_prior, success(agent, "evaluate", generator), metrics
