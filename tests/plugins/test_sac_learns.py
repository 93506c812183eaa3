"""SAC learns: to stand still on a line, and with skills a goal that its prior rarely finds."""

import pytest
import torch
from goal_world import SPEC, N, Primed, Skills, joined, learn
from smbrl_plugins.agents.sac import SAC
from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics

from smbrl.interfaces import TaskSpec, Windows

STEPS = 10


def walk(agent, mode, count, generator):
    """Lock-step episodes on the line: x' = x + 0.5 a, reward -x'^2, out of time after ten steps."""
    x = torch.rand(count, 1, generator=generator) * 2 - 1
    memory, rows, total = agent.initial_memory(count), [], torch.zeros(count)
    for _ in range(STEPS):
        decision, memory = agent.act(x, memory, mode=mode, step=0, generator=generator)
        following = (x + 0.5 * decision).clamp(-1, 1)
        reward = -following.square().sum(-1)
        rows.append((torch.stack([x, following], 1), decision[:, None], reward[:, None]))
        x, total = following, total + reward
    obs, decision, reward = (torch.cat(column) for column in zip(*rows, strict=True))
    nothing = torch.zeros_like(reward)
    windows = Windows(obs, decision, reward, nothing, nothing + 1, nothing - torch.inf)
    return windows, float(total.mean())


def some(windows, batch, generator):
    index = torch.randint(len(windows.reward), (batch,), generator=generator)
    return Windows(**{name: value[index] for name, value in vars(windows).items()})


def test_walks_to_the_middle_of_a_line():
    """The best there is: 0.5 a step towards 0, i.e. at most one step with any cost to speak of."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    agent = SAC(
        TaskSpec.plain(1, 1),
        latent=16,
        hidden=32,
        layers=1,
        critic_hidden=32,
        learning_rate=3e-3,
        alpha=0.1,
        alpha_learning_rate=3e-3,
        discount=0.9,
    )
    agent.start_online()
    replay, at_random = walk(agent, "prior", 50, g)
    for _ in range(40):
        for _ in range(6):
            metrics = agent.update(some(replay, 64, g), g)
        replay = joined(replay, walk(agent, "explore", 6, g)[0])
    learned = walk(agent, "evaluate", 200, g)[1]
    assert at_random < -1.5
    assert learned > -0.15, metrics  # 0.042 lost on the way at least
    assert float(metrics["alpha"]) < 0.1  # the entropy is above its target while little is to be gained


PARTS = {
    "spirl": {"skills": Primed},
    "skimo_sac": {"skills": Skills, "dynamics": SkillDynamics, "pretraining_window": N},
}


@pytest.mark.parametrize("kind", PARTS)
def test_reaches_a_goal_that_the_prior_rarely_finds(kind):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    agent = SAC(
        SPEC,
        **PARTS[kind],
        latent=32,
        hidden=32,
        layers=2,
        critic_hidden=64,
        learning_rate=1e-3,
        discount=0.9,
        target_divergence=6.0,
        target_keep=0.98,
    )
    by_prior, learned, metrics = learn(agent, 10, 30, 128, g)
    assert by_prior < 0.5
    assert learned > 0.9, f"from {by_prior} to {learned}: {metrics}"
