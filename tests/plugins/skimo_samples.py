"""Small SkiMo agents and batches."""

import torch
from smbrl_plugins.agents.latent_mpc import LatentMPC
from smbrl_plugins.planners.cem import CEM
from smbrl_plugins.skills.skimo_vae import SkiMoVAE

from smbrl.interfaces import SkillWindows, TaskSpec, Windows

SPEC = TaskSpec(4, 2, (-0.5, -0.5, 0.0, 0.0), (0.025, 0.025, 0.1, 0.1), position=(0, 1), time_limit=100)
N, H, Z = 4, 3, 5


class Skills(SkiMoVAE):
    """Three steps long."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, skill=Z, horizon=H, latent=16, hidden=16, layers=2)


class Plan(CEM):
    """A small search."""

    def __init__(self) -> None:
        super().__init__(horizon=N, horizon_steps=0, samples=32, policy_samples=4, elites=8, iterations=2)


def make_agent(**settings) -> LatentMPC:
    torch.manual_seed(0)
    return LatentMPC(SPEC, **({"skills": Skills, "window": N, "latent": 16, "hidden": 16, "layers": 2} | settings))


def make_skill_windows(batch: int = 6, seed: int = 0) -> SkillWindows:
    g = torch.Generator().manual_seed(seed)
    mask = torch.ones(batch, N)
    mask[0, 2:] = 0
    mask[1, 1:] = 0
    obs = torch.rand(batch, N * H + 1, 4, generator=g) * 40
    return SkillWindows(obs, torch.rand(batch, N * H, 2, generator=g) * 2 - 1, mask)


def make_windows(batch: int = 6, seed: int = 0) -> Windows:
    g = torch.Generator().manual_seed(seed)
    mask, terminated = torch.ones(batch, N), torch.zeros(batch, N)
    mask[0, 2:] = 0  # ended by termination
    terminated[0, 1] = 1
    mask[1, 3:] = 0  # cut short by the time limit
    return Windows(
        obs=torch.rand(batch, N + 1, 4, generator=g) * 40,
        decision=torch.rand(batch, N, Z, generator=g) * 2 - 1,
        reward=torch.rand(batch, N, generator=g),
        terminated=terminated,
        mask=mask,
        lower_bound=torch.full((batch, N), -torch.inf),
    )
