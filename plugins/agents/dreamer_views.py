"""What pictures and analyses ask of an agent that dreams: its model seen from outside."""

from __future__ import annotations

import torch
from smbrl_plugins.agents.dreamer_world import WorldModel
from torch import Tensor

from smbrl.interfaces import Compute, SkillModel, TanhNormal
from smbrl.nn.heads import TanhNormalHead
from smbrl.nn.precision import autocast
from smbrl.nn.regression import ScalarHead


class WorldViews:
    """Mixed into an agent that has ``world`` and ``compute``. Leading dims are any; no gradient flows; states are the
    most likely ones; everything that comes out is float32."""

    world: WorldModel
    compute: Compute

    @torch.no_grad()
    def encode(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)``, each the first of an episode -> model states ``(..., S)``."""
        with autocast(self.compute):
            return self.world.dynamics.initial(self.world.encoder(obs))

    @torch.no_grad()
    def imagine(self, state: Tensor, decision: Tensor) -> Tensor:
        """``(..., S), (..., Z)`` -> the state one decision later."""
        with autocast(self.compute):
            return self.world.dynamics.step(state, decision)

    @torch.no_grad()
    def decode(self, state: Tensor) -> Tensor:
        """States ``(..., S)`` -> observations in the environment's units ``(..., O)``."""
        with autocast(self.compute):
            mean, _ = self.world.decoder(self.world.dynamics.latent(state))
        return self.world.encoder.denormalise(mean)


class DreamerViews(WorldViews):
    """The same for an agent that has ``policy``, ``value`` and ``skills`` too."""

    policy: TanhNormalHead
    value: ScalarHead
    skills: SkillModel | None

    @torch.no_grad()
    def infer(self, obs: Tensor, actions: Tensor) -> Tensor:
        """The decision that ``obs (..., H, O), actions (..., H, A)`` amounts to, ``(..., Z)``: the posterior's mode."""
        if self.skills is None:
            return actions[..., 0, :]
        with autocast(self.compute):
            return self.skills.posterior(obs, actions).mode

    @torch.no_grad()
    def policy_mode(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)``, each the first of an episode -> the policy's mode ``(..., Z)``."""
        state = self.encode(obs)
        with autocast(self.compute):
            policy: TanhNormal = self.policy(self.world.dynamics.latent(state))
        return policy.mode

    @torch.no_grad()
    def state_value(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)``, each the first of an episode -> v ``(...)``."""
        state = self.encode(obs)
        with autocast(self.compute):
            value: Tensor = self.value(self.world.dynamics.latent(state))
        return value
