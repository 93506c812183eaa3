"""A point that is to go to the origin: flat episodes, and windows of them."""

import torch

from smbrl.interfaces import TaskSpec, Windows

LIMIT, SPEED = 12, 0.15
SPEC = TaskSpec.plain(2, 2, position=(0, 1), time_limit=LIMIT)


def move(place, action):
    """One env step."""
    return (place + SPEED * action).clamp(-1, 1)


def episodes(decide, count, generator):
    """Lock-step episodes: Windows of whole episodes ``(B, LIMIT)``; every step costs the distance that is left."""
    place = 2.0 * torch.rand(count, 2, generator=generator) - 1.0
    obs, decisions, rewards = [place], [], []
    for _ in range(LIMIT):
        decision = decide(place)
        place = move(place, decision)
        obs.append(place)
        decisions.append(decision)
        rewards.append(-place.norm(dim=-1))
    zeros = torch.zeros(count, LIMIT)
    return Windows(
        torch.stack(obs, 1),
        torch.stack(decisions, 1),
        torch.stack(rewards, 1),
        terminated=zeros,
        mask=torch.ones(count, LIMIT),
        lower_bound=torch.full((count, LIMIT), -torch.inf),
    )


def best_return(starts):
    """Mean return of going straight to the origin."""
    place, total = starts, torch.zeros(len(starts))
    for _ in range(LIMIT):
        place = move(place, (-place / SPEED).clamp(-1, 1))
        total -= place.norm(dim=-1)
    return float(total.mean())


def sample(replay, batch, window, generator):
    """Windows from anywhere in the episodes."""
    row = torch.randint(len(replay.mask), (batch, 1), generator=generator)
    start = torch.randint(LIMIT - window + 1, (batch, 1), generator=generator)
    index = start + torch.arange(window)
    names = ("decision", "reward", "terminated", "mask", "lower_bound")
    obs = replay.obs[row, start + torch.arange(window + 1)]
    return Windows(obs=obs, **{name: getattr(replay, name)[row, index] for name in names})


def together(a, b):
    """Both replays."""
    return Windows(**{k: torch.cat([getattr(a, k), getattr(b, k)]) for k in vars(a)})


def learn(agent, rounds, updates, generator, batch=64):
    """Random episodes, then updates and the agent's own episodes in turn: mean return at random, learned, possible."""

    def acting(mode, count):
        memory = agent.initial_memory(count)

        def decide(place):
            nonlocal memory
            decision, memory = agent.act(place, memory, mode=mode, step=10**9, generator=generator)
            return decision

        return episodes(decide, count, generator)

    replay = acting("prior", 50)
    at_random = float(replay.reward.sum(1).mean())
    for _ in range(rounds):
        for _ in range(updates):
            agent.update(sample(replay, batch, agent.window, generator), generator)
        replay = together(replay, acting("explore", 10))
    final = acting("evaluate", 50)
    return at_random, float(final.reward.sum(1).mean()), best_return(final.obs[:, 0])
