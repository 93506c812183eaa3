"""SkiMo's pre-training: skills, skill dynamics and skill prior from offline windows (the paper's equation 5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from smbrl_plugins.agents.latent_model import Prior, World
from smbrl_plugins.agents.offline import Offline, Pace, described
from torch import Tensor, nn

from smbrl.interfaces import Encoder, Metrics, SkillModel, SkillWindows, TanhNormal
from smbrl.nn.heads import GaussianDecoder
from smbrl.nn.ranks import real_count
from smbrl.nn.target import move_towards


@dataclass(frozen=True)
class SkiMoPretraining:
    """L_VAE + L_REC + L_SP for N consecutive skills of H steps.

    Attributes:
        joint: let the dynamics' error shape the skills, and the prior's the encoder. Without it (the ablation)
            each of the three learns from its own loss alone.
        reconstruction: lambda_O, of the negative log-likelihood of the decoded observation.
        consistency: lambda_L, of the squared error of the predicted latent.
        prior: lambda_SP, of KL(posterior || prior).
        rho: weight of the prediction after t others is rho^t.
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
        model: World,
        target: Encoder,
        decoder: GaussianDecoder,
        generator: torch.Generator,
    ) -> tuple[Tensor, Metrics]:
        """Scalar to minimise, and metrics. The high-level terms count 1 / predictions, as in the released
        implementation: one prediction a skill, or where the dynamics make several, one for each of them."""
        decisions = windows.mask.shape[1]
        h, each = skills.horizon, model.dynamics.steps
        steps = windows.obs[:, :-1].reshape(-1, decisions, h, windows.obs.shape[-1])
        actions = windows.actions.reshape(-1, decisions, h, windows.actions.shape[-1])
        found = skills.loss(steps, actions, windows.mask, generator)

        obs = windows.obs[:, :: h // each]  # before each prediction, and after the last
        mask = windows.mask.repeat_interleave(each, 1)
        latent = model.encoder(obs)
        with torch.no_grad():
            goal = target(obs[:, 1:])
        skill = found.skill if self.joint else found.skill.detach()
        reconstruction = self.reconstruction_error(decoder, model.encoder, obs, latent, mask)
        consistency = self.consistency_error(model, latent[:, 0], skill, goal, mask)
        prior = self.prior_error(model, found.posterior, latent[:, :-1:each], windows.mask)

        high = self.reconstruction * reconstruction + self.consistency * consistency
        total = found.total + self.prior * prior + high / (decisions * each)
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
        return (decoder.nll(latent, encoder.normalise(obs)) * real).sum() / real_count(real)

    def consistency_error(self, model: World, latent: Tensor, skill: Tensor, goal: Tensor, mask: Tensor) -> Tensor:
        """sum_t rho^t mean_D (hhat_{t+1} - E^-(s_{t+1}))^2, mean over windows."""
        states = model.trace(model.dynamics.initial(latent), skill)
        error = model.dynamics.error(states[:, 1:], goal)
        weight = self.rho ** torch.arange(mask.shape[1], device=mask.device)
        return (error * weight * mask).sum(1).clamp(max=self.limit).mean()

    def prior_error(self, model: World, posterior: TanhNormal, latent: Tensor, mask: Tensor) -> Tensor:
        """KL(sg(q) || p(z | s)), mean over real skills: a prior that covers what the data does."""
        latent = latent if self.joint else latent.detach()
        prior: TanhNormal = model.policy_head(latent)
        return (posterior.detach().kl(prior) * mask).sum() / real_count(mask)


class JointSkills(Offline):
    """Skills, skill dynamics, encoder, decoder and prior, learned together; the target encoder follows.

    Args:
        skills, model, decoder: what is learned. The prior is the model's policy head.
        target: E^-, a copy of the model's encoder.
        terms: the loss.
        pace: of the optimiser.
        window: N, skills in an offline window.
        sizes: latent, hidden, layers of the heads: those that the learner was built with, for the key.
        target_keep, target_every: the target encoder keeps this share of itself every so many updates.
    """

    def __init__(
        self,
        skills: SkillModel,
        model: World,
        decoder: GaussianDecoder,
        target: Encoder,
        *,
        terms: SkiMoPretraining,
        pace: Pace,
        window: int,
        sizes: dict[str, int],
        target_keep: float,
        target_every: int,
    ) -> None:
        learned: list[nn.Module] = [skills, model.encoder, model.dynamics, model.policy_head, decoder]
        names = ["skills", "model.encoder", "model.dynamics", "model.policy_head", "decoder", "target.encoder"]
        super().__init__(dict(zip(names, [*learned, target], strict=True)), learned, pace)
        self.skills, self.model, self.decoder, self.target = skills, model, decoder, target
        self.terms = terms
        self._prior = Prior(model.encoder, model.policy_head)
        self.window = window
        self.sizes = sizes
        self.target_keep, self.target_every = target_keep, target_every

    def loss(self, windows: SkillWindows, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        """See ``SkiMoPretraining``."""
        return self.terms.loss(
            windows,
            skills=self.skills,
            model=self.model,
            target=self.target,
            decoder=self.decoder,
            generator=generator,
        )

    def follow(self, done: int) -> None:
        """E^- moves."""
        if done % self.target_every == 0:
            move_towards(self.target, self.model.encoder, self.target_keep)

    def prior_network(self) -> nn.Module:
        """The policy head on the encoder."""
        return self._prior

    def key(self) -> dict[str, Any]:
        """Parts, sizes and weights. It says LatentMPC, which was the first to have it, whoever asks: stored models
        are found by these words."""
        terms = self.terms
        parts: dict[str, nn.Module] = {
            "encoder": self.model.encoder,
            "dynamics": self.model.dynamics,
            "skills": self.skills,
        }
        return {
            "class": "LatentMPC",
            "agent": "LatentMPC",
            "window": self.window,
            "rho": terms.rho,
            "joint": terms.joint,
            "reconstruction_weight": terms.reconstruction,
            "consistency_weight": terms.consistency,
            "prior_weight": terms.prior,
            "target_keep": self.target_keep,
            "target_every": self.target_every,
            **self.sizes,
            **asdict(self.pace),
            **{name: described(part) for name, part in parts.items()},
        }
