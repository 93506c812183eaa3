"""The latent model-predictive learner: SkiMo, and with other bindings its relatives."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from smbrl_plugins.agents.latent_model import LatentModel, Prior, Target
from smbrl_plugins.agents.latent_mpc_losses import ActorLoss, ActorStates, ConsistencyTarget, ModelLoss, Targets
from smbrl_plugins.agents.latent_views import LatentViews
from smbrl_plugins.agents.mortal import Mortal
from smbrl_plugins.agents.offline import Offline, Pace, SkillsAlone
from smbrl_plugins.agents.skill_agent import SkillAgent
from smbrl_plugins.agents.skimo_pretraining import JointSkills, SkiMoPretraining
from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics
from smbrl_plugins.encoders.mlp import MLPEncoder
from smbrl_plugins.heads.plain import PlainHeads
from smbrl_plugins.planners.simple import PolicyOnly
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import (
    Compute,
    Dynamics,
    Encoder,
    Heads,
    Metrics,
    Mode,
    Planner,
    SkillModel,
    TanhNormal,
    TaskSpec,
    Windows,
)
from smbrl.nn.heads import GaussianDecoder, ScalarEnsemble
from smbrl.nn.mlp import MLP
from smbrl.nn.normed import NormedEnsemble, NormedMLP
from smbrl.nn.optim import Optimiser, held
from smbrl.nn.precision import autocast, compile_networks
from smbrl.nn.scaling import PercentileScale
from smbrl.nn.target import move_towards


class LatentMPC(LatentViews, SkillAgent):
    """A latent model with reward and value heads, a policy held close to a prior, and a planner.

    With a skill model its decisions are skills: the skills are pre-trained on offline windows, jointly with the
    skill dynamics and the prior (SkiMo) or alone where they have a prior network of their own (SPiRL + TD-MPC); then
    the low level is frozen and everything else learns online. Without one its decisions are env actions and there is
    neither pre-training nor prior (TD-MPC). Without a planner the policy acts.

    Args:
        spec: the task's shapes.
        encoder: of the high level; the low level has its own.
        skills: what a decision is; None for env actions.
        dynamics: over decisions.
        heads: policy, reward and critics.
        planner: searches through the model while acting; None lets the policy act.
        latent, hidden, layers: size of the latent, width and number of hidden layers of every head.
        critics: Q ensemble.
        window: N, decisions in a training window.
        discount: per decision.
        rho: weight of a prediction t decisions ahead is rho^t, everywhere.
        joint: see ``SkiMoPretraining``; False is the paper's ablation.
        reconstruction_weight, consistency_weight, prior_weight, reward_weight, value_weight: of the losses.
        encoded_weight, consistency_target, termination_weight: see ``ModelLoss``.
        actor_states, actor_last, kl_rho, entropy_weight: see ``ActorLoss``.
        scaled_values: the policy's gain in value counts relative to the spread of values (TD-MPC2).
        target_lambda, lower_bound, lowest_return, highest_return, through_end: see ``Targets``.
        alpha: temperature of the prior; the start value where it is learned.
        target_kl: nats that alpha is learned to hold the policy's KL from the prior at; None keeps alpha fixed.
        learning_rate, alpha_learning_rate, clip: of Adam; clip is of the global gradient norm of a loss.
        pretraining_rate, pretraining_clip: the same of pre-training; None: those of ``learning_rate`` and ``clip``.
        decay_updates, decay_from, decay_to: pre-training's learning rate stays for the share ``decay_from`` of
            ``decay_updates`` updates, then follows a cosine down to the share ``decay_to`` of itself; with None
            it stays.
        target_keep, target_every: the target networks keep this share of themselves every so many updates.
    """

    def __init__(
        self,
        spec: TaskSpec,
        *,
        encoder: type[Encoder] = MLPEncoder,
        skills: type[SkillModel] | None = None,
        dynamics: type[Dynamics] = SkillDynamics,
        heads: type[Heads] = PlainHeads,
        planner: type[Planner] | None = None,
        latent: int = 128,
        hidden: int = 128,
        layers: int = 4,
        critics: int = 2,
        window: int = 10,
        discount: float = 0.99,
        rho: float = 0.5,
        joint: bool = True,
        reconstruction_weight: float = 1.0,
        consistency_weight: float = 2.0,
        prior_weight: float = 1.0,
        reward_weight: float = 0.25,
        value_weight: float = 0.1,
        encoded_weight: float = 1.0,
        consistency_target: ConsistencyTarget = "target",
        termination_weight: float = 1.0,
        actor_states: ActorStates = "encoded",
        actor_last: bool = False,
        kl_rho: float | None = None,
        entropy_weight: float = 0.0,
        scaled_values: bool = False,
        target_lambda: float = 0.0,
        lower_bound: bool = False,
        lowest_return: float | None = None,
        highest_return: float | None = None,
        through_end: bool = False,
        alpha: float = 1.0,
        target_kl: float | None = 3.0,
        learning_rate: float = 1e-3,
        alpha_learning_rate: float = 3e-4,
        clip: float = 100.0,
        pretraining_rate: float | None = None,
        pretraining_clip: float | None = None,
        decay_updates: int | None = None,
        decay_from: float = 0.3,
        decay_to: float = 0.03,
        target_keep: float = 0.99,
        target_every: int = 2,
    ) -> None:
        self.decide_in(skills, spec)
        if alpha <= 0.0:
            raise SmbrlError(f"LatentMPC.alpha is {alpha}; expected a number above 0; bind a positive one")
        self.window, self.discount = window, discount
        self.target_keep, self.target_every = target_keep, target_every
        self.target_kl = target_kl
        self.planner = PolicyOnly() if planner is None else planner()
        build = dynamics(latent, self.decision)
        if self.horizon % build.steps:
            raise SmbrlError(
                f"{type(build).__name__}.steps is {build.steps}, but a decision lasts {self.horizon} env steps; bind a "
                "number of predictions that divides it"
            )
        recipe = heads(build.latent_size, self.decision, hidden, layers, critics)
        policy, scalars = recipe.policy(), recipe.scalars()
        self.model = LatentModel(encoder(spec, latent), build, policy, scalars, recipe, self.decision)
        joint_skills = self.skills is not None and self.skills.prior_network() is None
        self.decoder: GaussianDecoder | None = None
        if joint_skills:
            self.decoder = GaussianDecoder(build.latent_size, [hidden] * 2, spec.observation)
        self.target = Target(*copy.deepcopy((self.model.encoder, self.model.heads))).requires_grad_(False)
        self.prior: Prior | None = None
        if joint_skills:
            self.prior = Prior(*copy.deepcopy((self.model.encoder, self.model.policy_head))).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(float(np.log(alpha))))
        self.scale = PercentileScale() if scaled_values else None

        targets = Targets(discount, target_lambda, lower_bound, lowest_return, highest_return, through_end)
        self.model_loss = ModelLoss(
            targets,
            consistency_weight,
            reward_weight,
            value_weight,
            rho,
            encoded_weight,
            consistency_target,
            termination_weight,
        )
        self.actor_loss = ActorLoss(actor_states, rho, kl_rho, actor_last, entropy_weight)

        world: list[nn.Module | None] = [
            self.model.encoder,
            self.model.dynamics,
            self.model.heads,
            self.model.termination,
        ]
        learned = [p for module in world if module is not None for p in module.parameters()]
        self.optimisers = {
            "model": Optimiser(learned, learning_rate, clip=clip),
            "actor": Optimiser(self.model.policy_head.parameters(), learning_rate, clip=clip),
            "alpha": Optimiser([self.log_alpha], alpha_learning_rate, clip=clip),
        }
        self.offline: Offline | None = None
        pace = Pace(
            learning_rate if pretraining_rate is None else pretraining_rate,
            clip if pretraining_clip is None else pretraining_clip,
            decay_updates,
            decay_from,
            decay_to,
        )
        if self.skills is not None and self.decoder is None:
            self.offline = SkillsAlone(self.skills, pace)
        elif self.skills is not None and self.decoder is not None:
            sizes: dict[str, Any] = {"latent": latent, "hidden": hidden, "layers": layers}
            if recipe.settings != PlainHeads(build.latent_size, self.decision, hidden, layers, critics).settings:
                # the policy is the prior; of the paper's heads the sizes say it all
                sizes["heads"] = {"part": type(recipe).__name__, **recipe.settings}
            self.offline = JointSkills(
                self.skills,
                self.model,
                self.decoder,
                self.target.encoder,
                terms=SkiMoPretraining(joint, reconstruction_weight, consistency_weight, prior_weight, rho),
                pace=pace,
                window=window,
                sizes=sizes,
                target_keep=target_keep,
                target_every=target_every,
            )
        if self.offline is not None:
            self.optimisers["pretraining"] = self.offline.optimiser

    @property
    def learning_only(self) -> tuple[str, ...]:
        """See the contract. Online the decoder no longer follows the encoder: it says nothing then."""
        return ("target.", "scale.", "decoder.") if self._online else ("target.", "scale.")

    def prepare(self, compute: Compute) -> None:
        """See the contract."""
        super().prepare(compute)
        compile_networks(self, (MLP, NormedMLP, ScalarEnsemble, NormedEnsemble), compute)

    # -- acting ------------------------------------------------------------------------------------
    def initial_memory(self, envs: int) -> Tensor:
        """The planner's memory."""
        return self.planner.initial_memory(envs, self.decision, self.log_alpha.device)

    @torch.no_grad()
    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Plan; in mode prior, sample the prior (flat: at random)."""
        with autocast(self.compute):
            if mode == "prior":
                return self._from_prior(obs, generator), memory
            model, state = self.model, self.model.state(obs)
            explore = mode == "explore"
            if model.termination is None:
                return self.planner.plan(model, state, memory, step=step, explore=explore, generator=generator)
            state = Mortal.begin(state)
            return self.planner.plan(Mortal(model), state, memory, step=step, explore=explore, generator=generator)

    def _from_prior(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        prior = self._prior(obs)
        if prior is None:
            return 2.0 * torch.rand(len(obs), self.decision, generator=generator, device=obs.device) - 1.0
        return prior.rsample(generator)

    @torch.no_grad()
    def skill_prior(self, obs: Tensor) -> TanhNormal:
        """As pre-training left it; see ``SkillAgent``."""
        with autocast(self.compute):
            prior = self._prior(obs)
        return super().skill_prior(obs) if prior is None else prior

    def _prior(self, obs: Tensor) -> TanhNormal | None:
        """p(z | s) where pre-training left it; None for env actions."""
        if self.offline is None:
            return None
        prior: TanhNormal = self.prior(obs) if self.prior is not None and self._online else self.offline.prior(obs)
        return prior

    def start_online(self) -> None:
        """Freeze the prior where pre-training left it, and the low level; fresh optimisers."""
        if self.prior is not None:
            self.prior.encoder.load_state_dict(self.model.encoder.state_dict())
            self.prior.policy_head.load_state_dict(self.model.policy_head.state_dict())
        super().start_online()

    # -- learning online ---------------------------------------------------------------------------
    def update(self, windows: Windows, generator: torch.Generator) -> Metrics:
        """Model, then policy against the stepped critics, then temperature, then targets."""
        windows = replace(windows, obs=self.model.encoder.augment(windows.obs, generator))
        with autocast(self.compute):
            loss, rollout, metrics = self.model_loss(windows, self.model, self.target, generator)
        metrics["model_grad_norm"] = self.optimisers["model"].minimise(loss)

        alpha = self.log_alpha.exp()
        with held(self.model.heads), autocast(self.compute):
            with torch.no_grad():
                prior = self._prior(windows.obs[:, : self.actor_loss.count(windows)])
            loss, kl, found = self.actor_loss(
                windows, self.model, rollout, prior, alpha.detach(), generator, self.scale
            )
        metrics |= found
        metrics["actor_grad_norm"] = self.optimisers["actor"].minimise(loss)
        if self.target_kl is not None and prior is not None:
            self.optimisers["alpha"].minimise(self.temperature_loss(kl))
        metrics["alpha"] = alpha.detach()
        self._follow()
        return metrics

    def temperature_loss(self, kl: Tensor) -> Tensor:
        """alpha (target - KL): alpha rises while the policy is further from the prior than the target."""
        assert self.target_kl is not None
        return self.log_alpha.exp() * (self.target_kl - kl)

    def _follow(self) -> None:
        self._count += 1
        if self._count % self.target_every == 0:
            move_towards(self.target.encoder, self.model.encoder, self.target_keep)
            move_towards(self.target.heads, self.model.heads, self.target_keep)
