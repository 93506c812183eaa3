"""The latent model-predictive learner: SkiMo, and with other bindings its relatives."""

from __future__ import annotations

import copy

import numpy as np
import torch
from smbrl_plugins.agents.latent_model import LatentModel, Prior, Target
from smbrl_plugins.agents.latent_mpc_losses import ActorLoss, ActorStates, ModelLoss, Targets
from smbrl_plugins.agents.latent_views import LatentViews
from smbrl_plugins.agents.offline import Pace
from smbrl_plugins.agents.skill_agent import SkillAgent
from smbrl_plugins.agents.skimo_pretraining import JointSkills, SkiMoPretraining
from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics
from smbrl_plugins.encoders.mlp import MLPEncoder
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Compute, Dynamics, Encoder, Metrics, Mode, Planner, SkillModel, TaskSpec, Windows
from smbrl.nn.heads import GaussianDecoder, ScalarEnsemble, TanhNormalHead
from smbrl.nn.mlp import MLP
from smbrl.nn.optim import Optimiser
from smbrl.nn.precision import autocast, compile_networks
from smbrl.nn.target import move_towards


class LatentMPC(LatentViews, SkillAgent):
    """A latent model with reward and value heads, a policy held close to a prior, and a planner.

    With a skill model its decisions are skills: skills, skill dynamics and prior are pre-trained jointly on
    offline windows, then the low level is frozen and everything else goes on learning online (SkiMo). Without
    one its decisions are env actions and there is neither pre-training nor prior. Without a planner the policy
    acts.

    Args:
        spec: the task's shapes.
        encoder: of the high level; the low level has its own.
        skills: what a decision is; None for env actions.
        dynamics: over decisions.
        planner: searches through the model while acting; None lets the policy act.
        latent, hidden, layers: size of the latent, width and number of hidden layers of every head.
        critics: Q ensemble; the smallest counts.
        window: N, decisions in a training window.
        discount: per decision.
        rho: weight of a prediction t decisions ahead is rho^t, everywhere.
        joint: see ``SkiMoPretraining``; False is the paper's ablation.
        reconstruction_weight, consistency_weight, prior_weight, reward_weight, value_weight: of the losses.
        encoded_weight: see ``ModelLoss``.
        actor_states: see ``ActorLoss``.
        target_lambda, lower_bound, lowest_return, highest_return: see ``Targets``.
        alpha: temperature of the prior; the start value where it is learned.
        target_kl: nats that alpha is learned to hold the policy's KL from the prior at; None keeps alpha fixed.
        learning_rate, alpha_learning_rate, clip: of Adam; clip is of the global gradient norm of a loss.
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
        actor_states: ActorStates = "encoded",
        target_lambda: float = 0.0,
        lower_bound: bool = False,
        lowest_return: float | None = None,
        highest_return: float | None = None,
        alpha: float = 1.0,
        target_kl: float | None = 3.0,
        learning_rate: float = 1e-3,
        alpha_learning_rate: float = 3e-4,
        clip: float = 100.0,
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
        self.planner = None if planner is None else planner()
        build = dynamics(latent, self.decision)
        size = build.latent_size
        policy = TanhNormalHead(size, [hidden] * layers, self.decision)
        heads = ScalarEnsemble(1 + critics, (size, self.decision), hidden, layers)
        self.model = LatentModel(encoder(spec, latent), build, policy, heads, self.decision)
        self.decoder = None if self.skills is None else GaussianDecoder(size, [hidden] * 2, spec.observation)
        self.target = Target(*copy.deepcopy((self.model.encoder, heads))).requires_grad_(False)
        self.prior: Prior | None = None
        if self.skills is not None:
            self.prior = Prior(*copy.deepcopy((self.model.encoder, policy))).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(float(np.log(alpha))))

        targets = Targets(discount, target_lambda, lower_bound, lowest_return, highest_return)
        self.model_loss = ModelLoss(targets, consistency_weight, reward_weight, value_weight, rho, encoded_weight)
        self.actor_loss = ActorLoss(actor_states, rho)

        world: list[nn.Module] = [self.model.encoder, self.model.dynamics, self.model.heads]
        self.optimisers = {
            "model": Optimiser([p for module in world for p in module.parameters()], learning_rate, clip=clip),
            "actor": Optimiser(policy.parameters(), learning_rate, clip=clip),
            "alpha": Optimiser([self.log_alpha], alpha_learning_rate, clip=clip),
        }
        self.offline = None
        if self.skills is not None and self.decoder is not None:
            self.offline = JointSkills(
                self.skills,
                self.model,
                self.decoder,
                self.target.encoder,
                terms=SkiMoPretraining(joint, reconstruction_weight, consistency_weight, prior_weight, rho),
                pace=Pace(learning_rate, clip, decay_updates, decay_from, decay_to),
                window=window,
                sizes={"latent": latent, "hidden": hidden, "layers": layers},
                target_keep=target_keep,
                target_every=target_every,
            )
            self.optimisers["pretraining"] = self.offline.optimiser

    def prepare(self, compute: Compute) -> None:
        """See the contract."""
        super().prepare(compute)
        compile_networks(self, (MLP, ScalarEnsemble), compute)

    # -- acting ------------------------------------------------------------------------------------
    def initial_memory(self, envs: int) -> Tensor:
        """The planner's memory."""
        device = self.log_alpha.device
        if self.planner is None:
            return torch.zeros(envs, 0, device=device)
        return self.planner.initial_memory(envs, self.decision, device)

    @torch.no_grad()
    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Plan where there is a planner, else play the policy; in mode prior, sample the prior (flat: at random)."""
        with autocast(self.compute):
            if mode == "prior":
                return self._from_prior(obs, generator), memory
            state = self.model.state(obs)
            if self.planner is not None:
                explore = mode == "explore"
                return self.planner.plan(self.model, state, memory, step=step, explore=explore, generator=generator)
            policy = self.model.policy(state)
            return (policy.rsample(generator) if mode == "explore" else policy.mode), memory

    def _from_prior(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        if self.prior is None:
            return 2.0 * torch.rand(len(obs), self.decision, generator=generator, device=obs.device) - 1.0
        prior = self.prior(obs) if self._online or self.offline is None else self.offline.prior(obs)
        return prior.rsample(generator)

    def start_online(self) -> None:
        """Freeze the prior where pre-training left it, and the low level; fresh optimisers."""
        if self.prior is not None:
            self.prior.encoder.load_state_dict(self.model.encoder.state_dict())
            self.prior.policy_head.load_state_dict(self.model.policy_head.state_dict())
        super().start_online()

    # -- learning online ---------------------------------------------------------------------------
    def update(self, windows: Windows, generator: torch.Generator) -> Metrics:
        """Model, then policy against the stepped critics, then temperature, then targets."""
        with autocast(self.compute):
            loss, rollout, metrics = self.model_loss(windows, self.model, self.target, generator)
        metrics["model_grad_norm"] = self.optimisers["model"].minimise(loss)

        alpha = self.log_alpha.exp()
        with autocast(self.compute):
            with torch.no_grad():
                prior = None if self.prior is None else self.prior(windows.obs[:, :-1])
            loss, kl, found = self.actor_loss(windows, self.model, rollout, prior, alpha.detach(), generator)
        metrics |= found
        metrics["actor_grad_norm"] = self.optimisers["actor"].minimise(loss)
        if self.target_kl is not None and self.prior is not None:
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
