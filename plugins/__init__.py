"""The built-in parts, registered through the same hooks as a third party's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from smbrl.hookspecs import hookimpl
from smbrl.interfaces import Part


@hookimpl
def smbrl_parts() -> Sequence[type[Part]]:
    """Every built-in part. Imported here, so that an exported policy pays only for the parts that it is made of."""
    from smbrl_plugins.agents.dads import DADS
    from smbrl_plugins.agents.dreamer import Dreamer
    from smbrl_plugins.agents.latent_mpc import LatentMPC
    from smbrl_plugins.agents.lsp import LSP
    from smbrl_plugins.agents.sac import SAC
    from smbrl_plugins.dynamics.rssm import RSSM
    from smbrl_plugins.dynamics.simnorm import SimNormDynamics
    from smbrl_plugins.dynamics.single_step import SingleStepDynamics
    from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics
    from smbrl_plugins.dynamics.skill_mixture import SkillMixture
    from smbrl_plugins.encoders.deep import DeepEncoder
    from smbrl_plugins.encoders.fourier import FourierEncoder
    from smbrl_plugins.encoders.mlp import MLPEncoder
    from smbrl_plugins.encoders.pixels import PixelEncoder
    from smbrl_plugins.encoders.simnorm import SimNormEncoder
    from smbrl_plugins.heads.plain import PlainHeads
    from smbrl_plugins.heads.td_mpc2 import TDMPC2Heads
    from smbrl_plugins.planners.cem import CEM
    from smbrl_plugins.planners.icem import ICEM
    from smbrl_plugins.planners.mppi import MPPI
    from smbrl_plugins.planners.simple import PolicyOnly, RandomShooting
    from smbrl_plugins.skills.skimo_vae import LSTMSkiMoVAE, SkiMoVAE
    from smbrl_plugins.skills.spirl import LSTMSPiRLSkills, SPiRLSkills
    from smbrl_plugins.tasks.calvin import Calvin
    from smbrl_plugins.tasks.gymnasium_task import Gymnasium
    from smbrl_plugins.tasks.kitchen import Kitchen, KitchenMisaligned
    from smbrl_plugins.tasks.maze import Maze
    from smbrl_plugins.tasks.tabletop import Tabletop

    planners: list[type[Part]] = [CEM, ICEM, MPPI, PolicyOnly, RandomShooting]
    skills: list[type[Part]] = [LSTMSPiRLSkills, LSTMSkiMoVAE, SPiRLSkills, SkiMoVAE]
    agents: list[type[Part]] = [DADS, Dreamer, LatentMPC, LSP, SAC]
    encoders: list[type[Part]] = [DeepEncoder, FourierEncoder, MLPEncoder, PixelEncoder, SimNormEncoder]
    dynamics: list[type[Part]] = [RSSM, SimNormDynamics, SingleStepDynamics, SkillDynamics, SkillMixture]
    heads: list[type[Part]] = [PlainHeads, TDMPC2Heads]
    tasks: list[type[Part]] = [Calvin, Gymnasium, Kitchen, KitchenMisaligned, Maze, Tabletop]
    return [*encoders, *skills, *dynamics, *heads, *planners, *agents, *tasks]


@hookimpl
def smbrl_gin() -> Sequence[Traversable]:
    """The packaged configurations."""
    packaged = files(__name__) / "gin"
    # an editable install runs from the checkout, where gin/ lies beside this folder
    return [packaged if packaged.is_dir() else Path(__file__).parent.parent / "gin"]


@hookimpl
def smbrl_environments() -> Mapping[str, str]:
    """Gymnasium ids."""
    return {
        "smbrl/Calvin-v0": "smbrl_plugins.tasks.calvin_env:CalvinEnv",
        "smbrl/Kitchen-v0": "smbrl_plugins.tasks.kitchen_env:KitchenEnv",
        "smbrl/KitchenMisaligned-v0": "smbrl_plugins.tasks.kitchen_env:KitchenMisalignedEnv",
        "smbrl/Maze-v0": "smbrl_plugins.tasks.maze_env:MazeEnv",
        "smbrl/Tabletop-v0": "smbrl_plugins.tasks.tabletop_env:TabletopEnv",
    }
