"""A third-party plugin of smbrl: ensemble skill dynamics, and planning that is pessimistic where they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from smbrl.hookspecs import hookimpl
from smbrl.interfaces import Part
from smbrl_ensemble.dynamics import EnsembleDynamics
from smbrl_ensemble.planner import Pessimistic

__all__ = ["EnsembleDynamics", "Pessimistic", "smbrl_contract", "smbrl_gin", "smbrl_parts"]


@hookimpl
def smbrl_contract() -> int:
    """The version of smbrl's contracts that these parts were written for."""
    return 1


@hookimpl
def smbrl_parts() -> Sequence[type[Part]]:
    """The parts of this plugin."""
    return [EnsembleDynamics, Pessimistic]


@hookimpl
def smbrl_gin() -> Sequence[Traversable]:
    """Its gin files: ``--gin ensemble`` finds ``ensemble.gin`` here."""
    return [files(__name__) / "gin"]
