"""SPiRL's skills: a skill autoencoder with a skill prior of its own."""

from __future__ import annotations

import torch
from smbrl_plugins.agents.latent_model import Prior
from smbrl_plugins.encoders.mlp import MLPEncoder
from smbrl_plugins.skills.skimo_vae import LSTMSkiMoVAE, SkiMoVAE
from torch import Tensor, nn

from smbrl.interfaces import Encoder, SkillLosses, TaskSpec
from smbrl.nn.heads import TanhNormalHead
from smbrl.nn.ranks import real_count


class SPiRLSkills(SkiMoVAE):
    """Closed-loop SPiRL (Pertsch, Lee, Lim: Accelerating Reinforcement Learning with Learned Skill Priors, CoRL
    2020; closed loop as in Pertsch et al.: Demonstration-Guided Reinforcement Learning with Learned Skills, 2021).

    L = bc_weight * mean (pi_L(s_t, z) - a_t)^2 + kl_weight * KL(q || tanh N(0, I)) + KL(sg(q) || p(z | s_0))

    The prior has an encoder of its own, and its loss reaches nothing else. Where this is not the released network:
    skills are squashed into (-1, 1) and the decoder's output too, as everywhere in smbrl, so that the policy, the
    prior and the decoder agree about what a skill is (the release decodes 2 tanh(u), but pre-trains on u); the
    prior minimises KL(sg(q) || p), whose gradient is the mean of that of the release's -log p(z), z ~ q; orthogonal
    MLPs with ELU have no batch normalisation, whose running statistics the release freezes online anyway.

    Args:
        spec: the task's shapes.
        skill: size of z.
        horizon: H, env steps that a skill lasts.
        encoder: the part that embeds states: one for posterior and decoder, one for the prior.
        latent: size of its embedding.
        hidden, layers: width and number of hidden layers of posterior, decoder and prior.
        bc_weight: of the squared error; 0.5 is the release's unit-variance likelihood.
        kl_weight: of the KL summed over z; the release's beta of 1e-3 (Maze) is of the mean over 10 dims.
        cloned_steps: see ``SkiMoVAE``.
    """

    def __init__(
        self,
        spec: TaskSpec,
        *,
        skill: int = 10,
        horizon: int = 10,
        encoder: type[Encoder] = MLPEncoder,
        latent: int = 128,
        hidden: int = 128,
        layers: int = 5,
        bc_weight: float = 0.5,
        kl_weight: float = 1e-4,
        cloned_steps: int | None = None,
    ) -> None:
        super().__init__(
            spec,
            skill=skill,
            horizon=horizon,
            encoder=encoder,
            latent=latent,
            hidden=hidden,
            layers=layers,
            bc_weight=bc_weight,
            kl_weight=kl_weight,
            cloned_steps=cloned_steps,
        )
        self.skill_prior = Prior(encoder(spec, latent), TanhNormalHead(latent, [hidden] * layers, skill))

    def prior_network(self) -> nn.Module:
        """See the contract."""
        return self.skill_prior

    def loss(self, obs: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> SkillLosses:
        """See the contract."""
        found = super().loss(obs, actions, mask, generator)
        kl = found.posterior.detach().kl(self.skill_prior(obs[..., 0, :]))
        prior = (kl * mask).sum() / real_count(mask)
        return found._replace(total=found.total + prior, metrics={**found.metrics, "kl_prior": prior.detach()})


class LSTMSPiRLSkills(SPiRLSkills, LSTMSkiMoVAE):
    """The same skills inferred by an LSTM over the H pairs of action and embedded state, as in the release."""
