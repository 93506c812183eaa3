"""What is learned from offline data before an agent acts, apart from the learner that stands on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Compute, Metrics, Part, SkillModel, SkillWindows, TanhNormal
from smbrl.nn.optim import Optimiser
from smbrl.nn.precision import autocast
from smbrl.nn.schedules import cosine


@dataclass(frozen=True)
class Pace:
    """How fast pre-training learns.

    Attributes:
        learning_rate, clip: of Adam; clip is of the global gradient norm.
        decay_updates, decay_from, decay_to: the learning rate stays for the share ``decay_from`` of
            ``decay_updates`` updates, then follows a cosine down to the share ``decay_to`` of itself; with None
            it stays.
    """

    learning_rate: float = 1e-3
    clip: float = 100.0
    decay_updates: int | None = None
    decay_from: float = 0.3
    decay_to: float = 0.03

    def share(self, done: int) -> float:
        """Of the learning rate, after so many updates."""
        duration = self.decay_updates
        return 1.0 if duration is None else cosine(done, duration, self.decay_from, self.decay_to)


class Offline(ABC):
    """Networks that belong to an agent, one loss over offline windows, one optimiser.

    Learners that pre-train the same thing find each other's stored result: its key names parts and numbers, not
    the learner, and its tensors are named here, wherever the learner keeps the networks.

    Args:
        networks: everything that pre-training moves, by the name it is stored under.
        learned: those that the optimiser owns, in its order.
        pace: of the optimiser.

    Attributes:
        window: N, decisions in an offline window.
    """

    window: int

    def __init__(self, networks: Mapping[str, nn.Module], learned: Sequence[nn.Module], pace: Pace) -> None:
        self.networks = dict(networks)
        self.pace = pace
        self.optimiser = Optimiser(
            [p for module in learned for p in module.parameters()], pace.learning_rate, clip=pace.clip
        )

    @abstractmethod
    def loss(self, windows: SkillWindows, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        """Scalar to minimise, and metrics."""

    @abstractmethod
    def prior_network(self) -> nn.Module:
        """p(z | s) as it is now, from raw observations to a ``TanhNormal``, which a policy can start as a copy of."""

    def prior(self, obs: Tensor) -> TanhNormal:
        """Raw observations ``(..., O)`` -> distribution over ``(..., Z)``."""
        prior: TanhNormal = self.prior_network()(obs)
        return prior

    @abstractmethod
    def key(self) -> dict[str, Any]:
        """JSON-able: everything the result depends on, besides precision, data, seed and budget."""

    def follow(self, done: int) -> None:  # noqa: B027  # most have no target
        """Called after each update with the number of updates made: targets move here."""

    # -- what an agent's contract asks for ---------------------------------------------------------
    def pretrain(self, windows: SkillWindows, generator: torch.Generator, compute: Compute, done: int) -> Metrics:
        """One update; ``done`` were made before."""
        with autocast(compute):
            loss, metrics = self.loss(windows, generator)
        norm = self.optimiser.minimise(loss, self.pace.share(done))
        self.follow(done + 1)
        return {**metrics, "grad_norm": norm}

    def state(self) -> dict[str, Tensor]:
        """The networks' tensors, copied."""
        return {name: value.detach().clone() for name, value in self._tensors().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of ``state``.

        Raises:
            SmbrlError: it is the state of other networks.
        """
        expected = {name: value.shape for name, value in self._tensors().items()}
        found = {name: value.shape for name, value in state.items()}
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        if wrong:
            raise SmbrlError(
                f"the pre-trained model does not fit: {wrong[0]} has shape {found.get(wrong[0])}, expected "
                f"{expected.get(wrong[0])}; pre-train again with this configuration"
            )
        for prefix, network in self.networks.items():
            network.load_state_dict({name: state[f"{prefix}.{name}"] for name in network.state_dict()})

    def _tensors(self) -> dict[str, Tensor]:
        return {
            f"{prefix}.{n}": v for prefix, network in self.networks.items() for n, v in network.state_dict().items()
        }


class SkillsAlone(Offline):
    """Skills with a prior network of their own, and nothing else (SPiRL).

    Args:
        skills: with a prior network.
        pace: of the optimiser.

    Raises:
        SmbrlError: the skills have none.
    """

    window = 1

    def __init__(self, skills: SkillModel, pace: Pace) -> None:
        super().__init__({"skills": skills}, [skills], pace)
        prior = skills.prior_network()
        if prior is None:
            raise SmbrlError(
                f"{type(skills).__name__} has no prior of its own; pre-train it jointly with skill dynamics (bind the "
                "agent's dynamics) or use skills that have one (SPiRLSkills)"
            )
        self.skills, self._prior = skills, prior

    def loss(self, windows: SkillWindows, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        """The skill model's own."""
        shape = (*windows.mask.shape, self.skills.horizon)
        steps = windows.obs[:, :-1].reshape(*shape, windows.obs.shape[-1])
        actions = windows.actions.reshape(*shape, windows.actions.shape[-1])
        found = self.skills.loss(steps, actions, windows.mask, generator)
        return found.total, {**found.metrics, "loss": found.total.detach()}

    def prior_network(self) -> nn.Module:
        """The skill model's own."""
        return self._prior

    def key(self) -> dict[str, Any]:
        """Skills and pace."""
        return {"class": "SkillsAlone", "skills": described(self.skills), **asdict(self.pace)}


def described(module: nn.Module) -> list[dict[str, Any]]:
    """Every part in a module, its class and settings as JSON values."""
    return [_described(part) for part in module.modules() if isinstance(part, Part)]


def _described(part: Part) -> dict[str, Any]:
    values = {
        name: value.__name__ if isinstance(value, type) else value
        for name, value in part.settings.items()
        if isinstance(value, (type, int, float, str, bool, list, tuple, dict, type(None)))
    }
    return {"part": type(part).__name__, **values}
