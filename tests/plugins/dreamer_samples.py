"""Small Dreamers and batches."""

import torch
from smbrl_plugins.agents.dreamer import Dreamer
from smbrl_plugins.dynamics.rssm import RSSM
from smbrl_plugins.skills.spirl import SPiRLSkills

from smbrl.interfaces import SkillWindows, TaskSpec, Windows

SPEC = TaskSpec(4, 2, (-0.5, -0.5, 0.0, 0.0), (0.025, 0.025, 0.1, 0.1), position=(0, 1), time_limit=100)
N, H, Z = 5, 3, 4
MODERN = {
    "decoder": "unit",
    "heads": "two_hot",
    "continuation": True,
    "kl_representation": 0.1,
    "free_nats": 1.0,
    "average_kl": False,
    "reinforce": 1.0,
    "entropy": 3e-4,
    "normalise_returns": True,
    "slow_weight": 1.0,
}


class Normal(RSSM):
    """Small."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__(latent, decision, deterministic=16, stochastic=4, hidden=16)


class Discrete(RSSM):
    """Small, with categorical beliefs."""

    def __init__(self, latent: int, decision: int) -> None:
        super().__init__(latent, decision, deterministic=16, stochastic=4, classes=5, hidden=16)


class Skills(SPiRLSkills):
    """Three steps long."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, skill=Z, horizon=H, latent=16, hidden=16, layers=2)


def make_dreamer(**settings) -> Dreamer:
    torch.manual_seed(0)
    small = {"dynamics": Normal, "latent": 16, "hidden": 16, "decoder_hidden": 16, "window": N, "imagination": 3}
    return Dreamer(SPEC, **(small | settings))


def make_windows(decision: int = 2, batch: int = 6, seed: int = 0) -> Windows:
    g = torch.Generator().manual_seed(seed)
    mask, terminated = torch.ones(batch, N), torch.zeros(batch, N)
    mask[0, 2:] = 0  # ended by termination
    terminated[0, 1] = 1
    mask[1, 3:] = 0  # cut short by the time limit
    return Windows(
        obs=torch.rand(batch, N + 1, 4, generator=g) * 40,
        decision=torch.rand(batch, N, decision, generator=g) * 2 - 1,
        reward=torch.rand(batch, N, generator=g),
        terminated=terminated,
        mask=mask,
        lower_bound=torch.full((batch, N), -torch.inf),
    )


def make_skill_windows(batch: int = 6, seed: int = 0) -> SkillWindows:
    g = torch.Generator().manual_seed(seed)
    obs = torch.rand(batch, H + 1, 4, generator=g) * 40
    return SkillWindows(obs, torch.rand(batch, H, 2, generator=g) * 2 - 1, torch.ones(batch, 1))
