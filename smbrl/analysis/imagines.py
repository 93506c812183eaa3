"""What the pictures ask of an agent beyond ``smbrl.interfaces.Agent``.

An agent that has these methods (it need not inherit anything) gets the pictures; one that lacks some is not asked
for those. Leading dims are any; nothing here needs a gradient, and observations are raw, in the task's units.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Imagines(Protocol):
    """Has a model of the world and can tell what it sees there."""

    horizon: int
    decision: int

    def encode(self, obs: Tensor) -> Tensor:
        """``(..., O) -> states (..., S)``."""
        ...

    def imagine(self, state: Tensor, decision: Tensor) -> Tensor:
        """``(..., S), (..., Z) -> (..., S)`` one decision (``horizon`` env steps) later."""
        ...

    def decode(self, state: Tensor) -> Tensor:
        """``(..., S) -> observations (..., O)``."""
        ...


class Infers(Imagines, Protocol):
    """Can also tell which decision was behind a stretch of behaviour."""

    def infer(self, obs: Tensor, actions: Tensor) -> Tensor:
        """``(..., H, O), (..., H, A) -> decisions (..., Z)``: the posterior's mode; for flat agents the action."""
        ...


class Judges(Protocol):
    """Has a value function and a policy."""

    def state_value(self, obs: Tensor) -> Tensor:
        """``(..., O) -> (...)``: expected discounted return of the policy, in the learner's units of reward."""
        ...

    def policy_mode(self, obs: Tensor) -> Tensor:
        """``(..., O) -> (..., Z)``: what the deterministic policy decides, without planning."""
        ...


IMAGINES = ("encode", "imagine", "decode")
INFERS = (*IMAGINES, "infer")
JUDGES = ("state_value", "policy_mode")


def can(agent: object, *methods: str) -> bool:
    """Whether an agent has all of ``methods``."""
    return all(callable(getattr(agent, name, None)) for name in methods)


def missing(agent: object, *methods: str) -> str:
    """Which of ``methods`` an agent lacks, for a message."""
    return ", ".join(f"{name}()" for name in methods if not can(agent, name))
