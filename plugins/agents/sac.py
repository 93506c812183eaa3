"""Soft actor-critic over env actions or skills: plain SAC, SPiRL, SkiMo+SAC."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from smbrl_plugins.agents.latent_model import Prior, World
from smbrl_plugins.agents.latent_mpc_losses import Targets
from smbrl_plugins.agents.offline import Offline, Pace, SkillsAlone
from smbrl_plugins.agents.sac_losses import (
    Cost,
    Critics,
    Divergence,
    actor_loss,
    critic_loss,
    goals,
    surprise,
    temperature_loss,
)
from smbrl_plugins.agents.skill_agent import SkillAgent
from smbrl_plugins.agents.skimo_pretraining import JointSkills, SkiMoPretraining
from smbrl_plugins.encoders.mlp import MLPEncoder
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Compute, Dynamics, Encoder, Metrics, Mode, SkillModel, TanhNormal, TaskSpec, Windows
from smbrl.nn.heads import GaussianDecoder, ScalarEnsemble, TanhNormalHead
from smbrl.nn.mlp import MLP
from smbrl.nn.optim import Optimiser, held
from smbrl.nn.precision import autocast, compile_networks
from smbrl.nn.target import move_towards


class SAC(SkillAgent):
    """A policy, critics, and a temperature that weighs value against what the policy costs.

    Without skills a decision is an env action and the policy costs its negative entropy (Haarnoja et al.: Soft
    Actor-Critic Algorithms and Applications, 2018). With skills it starts as a copy of the skill prior, which is
    frozen with the low level, and costs its KL from there (Pertsch, Lee, Lim: SPiRL, CoRL 2020). Skills that have a
    prior of their own are pre-trained alone; with ``dynamics`` they are pre-trained as SkiMo's, jointly with skill
    dynamics that nothing uses online (the SkiMo paper's SkiMo+SAC), and the stored model is the same.

    Args:
        spec: the task's shapes.
        skills: what a decision is; None for env actions.
        dynamics: only for joint pre-training.
        encoder, latent, hidden, layers: of the policy, where it is not a copy of the skills' own prior: its
            encoder, size of the latent, width and number of hidden layers of the head (and of SkiMo's networks).
        critics: how many; the smallest counts.
        critic_encoder: of the critics, not shared; None lets them see the normalised observation.
        critic_hidden, critic_layers: width and number of their hidden layers.
        discount: per decision.
        lower_bound, lowest_return, highest_return: see ``Targets``.
        alpha: temperature; the start value where it is learned.
        target_divergence: nats that alpha is learned to hold the policy's cost at: KL from the prior, or minus the
            entropy; ``dims``: the size of a decision, SAC's usual choice; None keeps alpha fixed.
        learning_rate, alpha_learning_rate, clip: of Adam; clip is of the global gradient norm of a loss.
        target_keep, target_every: target networks keep this share of themselves every so many updates.
        pretraining_window: N, skills in a window of joint pre-training.
        pretraining_rate, decay_updates, decay_from, decay_to: see ``Pace``.
        joint, rho, reconstruction_weight, consistency_weight, prior_weight: see ``SkiMoPretraining``.
    """

    def __init__(
        self,
        spec: TaskSpec,
        *,
        skills: type[SkillModel] | None = None,
        dynamics: type[Dynamics] | None = None,
        encoder: type[Encoder] = MLPEncoder,
        latent: int = 128,
        hidden: int = 128,
        layers: int = 4,
        critics: int = 2,
        critic_encoder: type[Encoder] | None = None,
        critic_hidden: int = 256,
        critic_layers: int = 2,
        discount: float = 0.99,
        lower_bound: bool = False,
        lowest_return: float | None = None,
        highest_return: float | None = None,
        alpha: float = 1.0,
        target_divergence: float | Literal["dims"] | None = "dims",
        learning_rate: float = 3e-4,
        alpha_learning_rate: float = 3e-4,
        clip: float = 100.0,
        target_keep: float = 0.995,
        target_every: int = 1,
        pretraining_window: int = 10,
        pretraining_rate: float = 1e-3,
        decay_updates: int | None = None,
        decay_from: float = 0.3,
        decay_to: float = 0.03,
        joint: bool = True,
        rho: float = 0.5,
        reconstruction_weight: float = 1.0,
        consistency_weight: float = 2.0,
        prior_weight: float = 1.0,
    ) -> None:
        self.decide_in(skills, spec)
        if alpha <= 0.0:
            raise SmbrlError(f"SAC.alpha is {alpha}; expected a number above 0; bind a positive one")
        self.window, self.discount = 1, discount
        self.target_keep, self.target_every = target_keep, target_every
        self.target = float(self.decision) if target_divergence == "dims" else target_divergence
        self.targets = Targets(discount, 0.0, lower_bound, lowest_return, highest_return)

        def actor() -> tuple[Encoder, TanhNormalHead]:
            return encoder(spec, latent), TanhNormalHead(latent, [hidden] * layers, self.decision)

        pace = Pace(pretraining_rate, clip, decay_updates, decay_from, decay_to)
        self.offline: Offline | None = None
        self.policy: nn.Module
        self.cost: Cost = surprise
        if self.skills is None:
            _refuse(dynamics is not None, "SAC.dynamics is for joint pre-training of skills: bind SAC.skills too")
            self.policy = Prior(*actor())
        elif dynamics is None:
            self.offline = SkillsAlone(self.skills, pace)
        else:
            own, head = actor()
            self.model = World(own, dynamics(latent, self.decision), head)
            self.decoder = GaussianDecoder(self.model.dynamics.latent_size, [hidden] * 2, spec.observation)
            self.target_encoder = copy.deepcopy(own).requires_grad_(False)
            self.offline = JointSkills(
                self.skills,
                self.model,
                self.decoder,
                self.target_encoder,
                terms=SkiMoPretraining(joint, reconstruction_weight, consistency_weight, prior_weight, rho),
                pace=pace,
                window=pretraining_window,
                sizes={"latent": latent, "hidden": hidden, "layers": layers},
                target_keep=target_keep,
                target_every=target_every,
            )
        if self.offline is not None:
            self.policy = copy.deepcopy(self.offline.prior_network())
            self.cost = Divergence(self.offline.prior)
        self.critics = Critics(spec, self.decision, critics, critic_encoder, latent, critic_hidden, critic_layers)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(math.log(alpha)))
        self.optimisers = {
            "critics": Optimiser(self.critics.parameters(), learning_rate, clip=clip),
            "actor": Optimiser(self.policy.parameters(), learning_rate, clip=clip),
            "alpha": Optimiser([self.log_alpha], alpha_learning_rate, clip=clip),
        }
        if self.offline is not None:
            self.optimisers["pretraining"] = self.offline.optimiser

    @property
    def learning_only(self) -> tuple[str, ...]:
        """See the contract. Nothing imagines with the skill dynamics of joint pre-training."""
        return ("target_critics.", "target_encoder.", "decoder.", "model.dynamics.")

    def prepare(self, compute: Compute) -> None:
        """See the contract."""
        super().prepare(compute)
        compile_networks(self, (MLP, ScalarEnsemble), compute)

    # -- acting ------------------------------------------------------------------------------------
    def initial_memory(self, envs: int) -> Tensor:
        """Nothing is remembered."""
        return torch.zeros(envs, 0, device=self.log_alpha.device)

    @torch.no_grad()
    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Sample the policy, or play its mode; in mode prior, sample the prior (flat: at random)."""
        with autocast(self.compute):
            if mode != "prior":
                policy: TanhNormal = self.policy(obs)
                return (policy.rsample(generator) if mode == "explore" else policy.mode), memory
            if self.offline is not None:
                return self.offline.prior(obs).rsample(generator), memory
        return 2.0 * torch.rand(len(obs), self.decision, generator=generator, device=obs.device) - 1.0, memory

    # -- learning ----------------------------------------------------------------------------------
    def start_online(self) -> None:
        """The policy starts as the prior, which stays where pre-training left it; fresh optimisers."""
        super().start_online()
        if self.offline is not None:
            self.policy.load_state_dict(self.offline.prior_network().state_dict())

    def update(self, windows: Windows, generator: torch.Generator) -> Metrics:
        """Critics, then policy against the stepped critics, then temperature, then targets."""
        alpha = self.log_alpha.exp().detach()
        windows = self.critics.augmented(windows, generator)
        obs, mask = windows.obs[:, :-1], windows.mask
        with autocast(self.compute):
            y = goals(
                windows,
                policy=self.policy,
                critics=self.target_critics,
                cost=self.cost,
                alpha=alpha,
                targets=self.targets,
                generator=generator,
            )
            q = self.critics(obs, windows.decision)
            loss = critic_loss(q, y, mask)
        metrics = {"critic_loss": loss, "target": y.mean(), "target_max": y.max()}
        metrics["critic_grad_norm"] = self.optimisers["critics"].minimise(loss)

        with held(self.critics), autocast(self.compute):
            policy: TanhNormal = self.policy(obs)
            decision, price = self.cost(policy, obs, generator)
            q = self.critics(obs, decision)
            loss = actor_loss(q, price, alpha, mask)
        metrics |= {"actor_loss": loss, "q": q.mean(), "divergence": price.mean(), "entropy": policy.entropy().mean()}
        metrics["actor_grad_norm"] = self.optimisers["actor"].minimise(loss)
        if self.target is not None:
            real = (price.detach() * mask).sum() / mask.sum()
            self.optimisers["alpha"].minimise(temperature_loss(self.log_alpha, self.target, real))
        metrics["alpha"] = alpha
        self._count += 1
        if self._count % self.target_every == 0:
            move_towards(self.target_critics, self.critics, self.target_keep)
        return {name: value.detach() for name, value in metrics.items()}

    # -- what pictures ask -------------------------------------------------------------------------
    @torch.no_grad()
    def policy_mode(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> the policy's mode ``(..., Z)``."""
        with autocast(self.compute):
            policy: TanhNormal = self.policy(obs)
        return policy.mode

    @torch.no_grad()
    def state_value(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> min_j Q_j(s, mode of pi) ``(...)``."""
        with autocast(self.compute):
            policy: TanhNormal = self.policy(obs)
            value: Tensor = self.critics(obs, policy.mode)
        return value.amin(0)


def _refuse(wrong: bool, line: str) -> None:
    if wrong:
        raise SmbrlError(line)
