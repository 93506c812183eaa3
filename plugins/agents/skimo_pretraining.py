"""SkiMo's pre-training: skills, skill dynamics and skill prior from offline windows (the paper's equation 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from smbrl_plugins.agents.latent_model import LatentModel
from torch import Tensor

from smbrl.interfaces import Encoder, Metrics, SkillModel, SkillWindows, TanhNormal
from smbrl.nn.heads import GaussianDecoder


@dataclass(frozen=True)
class SkiMoPretraining:
    """L_VAE + L_REC + L_SP for N consecutive skills of H steps.

    Attributes:
        joint: let the dynamics' error shape the skills, and the prior's the encoder. Without it (the ablation)
            each of the three learns from its own loss alone.
        reconstruction: lambda_O, of the negative log-likelihood of the decoded observation.
        consistency: lambda_L, of the squared error of the predicted latent.
        prior: lambda_SP, of KL(posterior || prior).
        rho: weight of a prediction t skills ahead is rho^t.
        limit: a window whose consistency error exceeds this gives no gradient from it.
    """

    joint: bool = True
    reconstruction: float = 1.0
    consistency: float = 2.0
    prior: float = 1.0
    rho: float = 0.5
    limit: float = 1e4

    def loss(
        self,
        windows: SkillWindows,
        *,
        skills: SkillModel,
        model: LatentModel,
        target: Encoder,
        decoder: GaussianDecoder,
        generator: torch.Generator,
    ) -> tuple[Tensor, Metrics]:
        """Scalar to minimise, and metrics. The high-level terms count 1/N, as in the released implementation."""
        decisions = windows.mask.shape[1]
        h = skills.horizon
        steps = windows.obs[:, :-1].reshape(-1, decisions, h, windows.obs.shape[-1])
        actions = windows.actions.reshape(-1, decisions, h, windows.actions.shape[-1])
        found = skills.loss(steps, actions, windows.mask, generator)

        obs = windows.obs[:, ::h]  # before each skill, and after the last
        latent = model.encoder(obs)
        with torch.no_grad():
            goal = target(obs[:, 1:])
        skill = found.skill if self.joint else found.skill.detach()
        reconstruction = self.reconstruction_error(decoder, model.encoder, obs, latent, windows.mask)
        consistency = self.consistency_error(model, latent[:, 0], skill, goal, windows.mask)
        prior = self.prior_error(model, found.posterior, latent[:, :-1], windows.mask)

        high = self.reconstruction * reconstruction + self.consistency * consistency
        total = found.total + self.prior * prior + high / decisions
        metrics = {
            **found.metrics,
            "reconstruction": reconstruction.detach(),
            "consistency": consistency.detach(),
            "kl_prior": prior.detach(),
            "loss": total.detach(),
        }
        return total, metrics

    def reconstruction_error(
        self, decoder: GaussianDecoder, encoder: Encoder, obs: Tensor, latent: Tensor, mask: Tensor
    ) -> Tensor:
        """- log O(s | E(s)) of normalised observations, mean over real states (encoded, not predicted ones)."""
        real = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)
        return (decoder.nll(latent, encoder.normalise(obs)) * real).sum() / real.sum()

    def consistency_error(
        self, model: LatentModel, latent: Tensor, skill: Tensor, goal: Tensor, mask: Tensor
    ) -> Tensor:
        """sum_t rho^t mean_D (hhat_{t+1} - E^-(s_{t+1}))^2, mean over windows."""
        states = model.imagine(model.dynamics.initial(latent), skill)
        error = (model.dynamics.latent(states[:, 1:]).float() - goal.float()).square().mean(-1)
        weight = self.rho ** torch.arange(mask.shape[1], device=mask.device)
        return (error * weight * mask).sum(1).clamp(max=self.limit).mean()

    def prior_error(self, model: LatentModel, posterior: TanhNormal, latent: Tensor, mask: Tensor) -> Tensor:
        """KL(sg(q) || p(z | s)), mean over real skills: a prior that covers what the data does."""
        latent = latent if self.joint else latent.detach()
        prior: TanhNormal = model.policy_head(latent)
        return (posterior.detach().kl(prior) * mask).sum() / mask.sum()
