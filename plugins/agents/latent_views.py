"""What pictures and analyses ask of a latent agent: its model seen from outside."""

from __future__ import annotations

import torch
from smbrl_plugins.agents.latent_model import LatentModel
from torch import Tensor

from smbrl.interfaces import Compute, SkillModel
from smbrl.nn.heads import GaussianDecoder
from smbrl.nn.precision import autocast


class LatentViews:
    """Mixed into an agent that has ``model``, ``decoder``, ``skills`` and ``compute``. Leading dims are any; no
    gradient flows; everything that comes out is float32."""

    model: LatentModel
    decoder: GaussianDecoder | None
    skills: SkillModel | None
    compute: Compute

    @torch.no_grad()
    def encode(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> model states ``(..., S)``."""
        with autocast(self.compute):
            return self.model.state(obs).float()

    @torch.no_grad()
    def imagine(self, state: Tensor, decision: Tensor) -> Tensor:
        """``(..., S), (..., Z)`` -> the state one decision later."""
        with autocast(self.compute):
            return self.model.dynamics.step(state, decision).float()

    @torch.no_grad()
    def decode(self, state: Tensor) -> Tensor:
        """States ``(..., S)`` -> observations in the environment's units ``(..., O)``.

        Raises:
            NotImplementedError: the agent has no decoder.
        """
        if self.decoder is None:
            raise NotImplementedError("an agent without skills has no decoder")
        with autocast(self.compute):
            mean, _ = self.decoder(self.model.dynamics.latent(state))
        return self.model.encoder.denormalise(mean)

    @torch.no_grad()
    def infer(self, obs: Tensor, actions: Tensor) -> Tensor:
        """The decision that ``obs (..., H, O), actions (..., H, A)`` amounts to, ``(..., Z)``: the posterior's mode."""
        if self.skills is None:
            return actions[..., 0, :]
        with autocast(self.compute):
            return self.skills.posterior(obs, actions).mode

    @torch.no_grad()
    def policy_mode(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> the policy's mode ``(..., Z)``."""
        with autocast(self.compute):
            return self.model.policy(self.model.state(obs)).mode

    @torch.no_grad()
    def state_value(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> min_j Q_j(h, mode of pi) ``(...)``."""
        with autocast(self.compute):
            state = self.model.state(obs)
            return self.model.q(self.model.dynamics.latent(state), self.model.policy(state).mode).amin(0)
