"""SAC learns: to stand still on a line, and with skills a goal that its prior rarely finds."""

import pytest
import torch
from smbrl_plugins.agents.sac import SAC
from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics
from smbrl_plugins.skills.spirl import SPiRLSkills
from test_latent_mpc_learns import SPEC, H, N, Skills, episodes, joined, sample, scripted, success

from smbrl.interfaces import SkillWindows, TaskSpec, Windows

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


class Primed(SPiRLSkills):
    """Five steps long."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, skill=2, horizon=H, latent=32, hidden=32, layers=2)


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

    def offline():
        w, n = scripted(64, g), agent.offline_window
        return SkillWindows(w.obs[:, : n * H + 1], w.actions[:, : n * H], w.mask[:, :n])

    for _ in range(300):
        metrics = agent.pretrain(offline(), g)
    assert float(metrics["bc"]) < 0.05
    agent.start_online()
    by_prior = success(agent, "prior", g)
    replay = episodes(agent, "prior", 100, g)
    for _ in range(10):
        for _ in range(30):
            w = sample(replay, 128, g)
            first_only = {name: value[:, :1] for name, value in vars(w).items()}
            metrics = agent.update(Windows(**{**first_only, "obs": w.obs[:, :2]}), g)
        replay = joined(replay, episodes(agent, "explore", 30, g))
    learned = success(agent, "evaluate", g)
    assert by_prior < 0.5
    assert learned > 0.9, f"from {by_prior} to {learned}: {metrics}"
