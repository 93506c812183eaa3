"""The contracts. Their docstrings are the specification."""

from smbrl.interfaces.agent import Agent, Compute, Metrics, Mode, SkillWindows, Windows
from smbrl.interfaces.distributions import TanhNormal
from smbrl.interfaces.dynamics import Dynamics
from smbrl.interfaces.encoder import Encoder
from smbrl.interfaces.heads import Heads, Scalars
from smbrl.interfaces.part import Part
from smbrl.interfaces.planner import Planner, PlanningModel
from smbrl.interfaces.skill_model import FastPolicy, SkillLosses, SkillModel
from smbrl.interfaces.task import DatasetRequest, Progress, Task, TaskSpec

KINDS: dict[str, type[Part]] = {
    contract.kind: contract for contract in (Encoder, SkillModel, Dynamics, Heads, Planner, Agent, Task)
}
"""Contract by the name of its kind."""

__all__ = [
    "KINDS",
    "Agent",
    "Compute",
    "DatasetRequest",
    "Dynamics",
    "Encoder",
    "FastPolicy",
    "Heads",
    "Metrics",
    "Mode",
    "Part",
    "Planner",
    "PlanningModel",
    "Progress",
    "Scalars",
    "SkillLosses",
    "SkillModel",
    "SkillWindows",
    "TanhNormal",
    "Task",
    "TaskSpec",
    "Windows",
]
