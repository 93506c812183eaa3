"""The flat world model that skill dynamics are compared with: one env step at a time, trained on the same data."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from smbrl.data.episodes import EpisodeStore
from smbrl.interfaces import Dynamics, Encoder, Part, SkillWindows
from smbrl.nn.heads import GaussianDecoder
from smbrl.nn.optim import Optimiser
from smbrl.nn.target import frozen_copy, move_towards


class FlatModel(nn.Module):
    """Encoder, one-step dynamics and decoder with the losses of SkiMo's world model, decisions being env actions.

    Loss over windows of N single steps (the paper's equation 5 without skills)::

        L = lambda_O mean -log O(s_t | E(s_t)) + lambda_L sum_t rho^t mean_D (hhat_{t+1} - E^-(s_{t+1}))^2 / N

    Args:
        encoder: maps raw observations.
        dynamics: any Dynamics part with decisions of the action's size.
        decoder: of latents, to normalised observations.
        reconstruction, consistency, rho: lambda_O, lambda_L, rho.
    """

    horizon = 1

    def __init__(
        self,
        encoder: Encoder,
        dynamics: Dynamics,
        decoder: GaussianDecoder,
        *,
        reconstruction: float = 1.0,
        consistency: float = 2.0,
        rho: float = 0.5,
    ) -> None:
        super().__init__()
        self.encoder, self.dynamics, self.decoder = encoder, dynamics, decoder
        self.target = frozen_copy(encoder)
        self.decision = encoder.spec.action
        self._weights = reconstruction, consistency, rho

    # -- what prediction asks for (see smbrl.analysis.imagines) -------------------------------------
    def encode(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> states ``(..., S)``."""
        return self.dynamics.initial(self.encoder(obs))

    def imagine(self, state: Tensor, decision: Tensor) -> Tensor:
        """One env step ahead."""
        return self.dynamics.step(state, decision)

    def decode(self, state: Tensor) -> Tensor:
        """States -> raw observations."""
        mean: Tensor = self.decoder(self.dynamics.latent(state))[0]
        return self.encoder.denormalise(mean)

    def infer(self, obs: Tensor, actions: Tensor) -> Tensor:
        """The action itself: ``(..., 1, O), (..., 1, A) -> (..., A)``."""
        return actions[..., 0, :]

    # -- learning ----------------------------------------------------------------------------------
    def loss(self, windows: SkillWindows) -> Tensor:
        """The loss above for windows of single steps."""
        reconstruction, consistency, rho = self._weights
        steps = windows.mask.shape[1]
        latent = self.encoder(windows.obs)
        with torch.no_grad():
            goal = self.target(windows.obs[:, 1:])
        real = torch.cat([torch.ones_like(windows.mask[:, :1]), windows.mask], 1)
        nll = self.decoder.nll(latent, self.encoder.normalise(windows.obs))
        state, error = self.dynamics.initial(latent[:, 0]), torch.zeros((), device=latent.device)
        for t in range(steps):
            state = self.dynamics.step(state, windows.actions[:, t])
            miss = (self.dynamics.latent(state).float() - goal[:, t].float()).square().mean(-1)
            error = error + rho**t * (miss * windows.mask[:, t]).mean()
        return reconstruction * (nll * real).sum() / real.sum() / steps + consistency * error / steps


def flat_twin(encoder: Encoder, dynamics: Dynamics, decoder: GaussianDecoder) -> FlatModel:
    """An untrained flat model of the same parts and sizes as a skill model's.

    Args:
        encoder, dynamics: parts of the skill model; built anew with their settings, the dynamics for env actions.
        decoder: of the skill model; copied and initialised anew.
    """
    sees, moves = _anew(encoder), _anew(dynamics, encoder.spec.action)
    assert isinstance(sees, Encoder)
    assert isinstance(moves, Dynamics)
    decodes = copy.deepcopy(decoder)
    for module in decodes.modules():
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight)
            nn.init.zeros_(module.bias)
    return FlatModel(sees, moves, decodes)


def train_flat(
    model: FlatModel,
    episodes: EpisodeStore,
    *,
    updates: int,
    batch: int = 128,
    steps: int = 10,
    learning_rate: float = 1e-3,
    generator: torch.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Train like the skill model: Adam, target encoder following every second update by 1 %.

    Args:
        model: trained in place.
        episodes: training data.
        updates: gradient updates.
        batch: windows per update.
        steps: env steps of a window (a skill model's window has as many skills).
        learning_rate: of Adam.
        generator: draws the windows.
        progress: called with (finished, total).

    Returns:
        The loss every hundredth update, and of the last.
    """
    learned = [p for part in (model.encoder, model.dynamics, model.decoder) for p in part.parameters()]
    optimiser = Optimiser(learned, learning_rate)
    losses: list[float] = []
    for update in range(updates):
        loss = model.loss(episodes.sample(batch, steps, 1, generator))
        optimiser.minimise(loss)
        if update % 2:
            move_towards(model.target, model.encoder, 0.99)
        if update % 100 == 0 or update == updates - 1:
            losses.append(float(loss.detach()))
        if progress:
            progress(update + 1, updates)
    return losses


def _anew(part: Part, second: object = None) -> Part:
    """A part built again from its settings; ``second`` replaces its second positional argument."""
    (_, one), (_, two), *rest = part.settings.items()
    build: Any = type(part)
    made: Part = build(one, two if second is None else second, **dict(rest))
    return made
