"""Dreamer: a policy and a value learned in the imagination of a recurrent world model."""

from __future__ import annotations

import copy
from typing import Literal, NamedTuple

import torch
from smbrl_plugins.agents.dreamer_losses import ActorLoss, Outlook, summary, value_loss
from smbrl_plugins.agents.dreamer_views import DreamerViews
from smbrl_plugins.agents.dreamer_world import Balance, Dream, Seen, WorldModel
from smbrl_plugins.agents.offline import Pace, SkillsAlone
from smbrl_plugins.agents.skill_agent import SkillAgent
from smbrl_plugins.dynamics.rssm import RSSM
from smbrl_plugins.encoders.deep import DeepEncoder
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Compute, Encoder, Metrics, Mode, SkillModel, TanhNormal, TaskSpec, Windows
from smbrl.nn.heads import GaussianDecoder, TanhNormalHead
from smbrl.nn.mlp import MLP
from smbrl.nn.optim import Optimiser, held
from smbrl.nn.precision import autocast, compile_networks
from smbrl.nn.regression import Regression, UnitDecoder, scalar_head
from smbrl.nn.scaling import PercentileScale
from smbrl.nn.target import move_towards

Decoder = Literal["gaussian", "unit"]


class Dreamt(NamedTuple):
    """A dream and what it is worth; time first.

    Attributes:
        dream: from every state that was seen.
        returns: of the states that a decision is made in ``(H, B (N + 1))``.
        value: of all states ``(H + 1, B (N + 1))``.
        raw: the value head's outputs, for its own loss ``(H, B (N + 1), outputs)``.
        weight: of each state in a loss: reached by then, and its start real ``(H, B (N + 1))``.
    """

    dream: Dream
    returns: Tensor
    value: Tensor
    raw: Tensor
    weight: Tensor


class Dreamer(DreamerViews, SkillAgent):
    """A world model from replayed windows, a policy and a value from what it imagines (Hafner et al. 2020).

    With a skill model that has a prior its decisions are skills: skills and prior are pre-trained on offline windows
    and frozen, and the policy is held close to the prior (SPiRL + Dreamer). Without one its decisions are env
    actions. The options of DreamerV3 (Hafner et al. 2023) are bindings.

    What it carries between decisions is the state of its model and the decision made there.

    Args:
        spec: the task's shapes.
        encoder: of observations.
        skills: what a decision is; None for env actions.
        dynamics: over decisions.
        latent: size of an encoded observation.
        window: N, decisions in a training window, which has N + 1 observations.
        imagination: H, decisions looked ahead.
        discount: per decision.
        target_lambda: of the returns.
        decoder: ``gaussian`` learns its deviations; ``unit`` is half the squared error.
        heads: of rewards and values: ``normal`` with unit variance, or ``two_hot`` over ``bins`` between
            -``bin_limit`` and ``bin_limit`` in symlog space (20: half a billion either way).
        bins, bin_limit: see ``heads``.
        continuation: learn whether an episode goes on, and count nothing after its imagined end.
        decoder_hidden, decoder_layers: width and number of hidden layers.
        hidden: width of reward, value and policy.
        reward_layers, value_layers, policy_layers: numbers of their hidden layers.
        log_std: how the policy's deviation starts: 1 (True) or 5 (False); see ``tanh_normal``.
        kl_dynamics, kl_representation, free_nats, average_kl: see ``Balance``.
        reinforce, entropy: see ``ActorLoss``.
        normalise_returns: divide returns by their range in the policy's loss; see ``PercentileScale``.
        slow_weight, slow_keep: the value is also drawn to a slow copy of itself, which keeps so much of itself
            each update; 0: there is none.
        alpha: weight of KL(policy || prior).
        noise: deviation of what is added to decisions while exploring.
        world_learning_rate, policy_learning_rate, value_learning_rate: of Adam.
        world_clip, clip: global gradient norms: of the world model; of policy and of value.
        pretraining_rate, pretraining_clip, decay_updates, decay_from, decay_to: see ``Pace``.
    """

    def __init__(
        self,
        spec: TaskSpec,
        *,
        encoder: type[Encoder] = DeepEncoder,
        skills: type[SkillModel] | None = None,
        dynamics: type[RSSM] = RSSM,
        latent: int = 256,
        window: int = 49,
        imagination: int = 15,
        discount: float = 0.99,
        target_lambda: float = 0.95,
        decoder: Decoder = "gaussian",
        heads: Regression = "normal",
        bins: int = 255,
        bin_limit: float = 20.0,
        continuation: bool = False,
        decoder_hidden: int = 256,
        decoder_layers: int = 2,
        hidden: int = 400,
        reward_layers: int = 2,
        value_layers: int = 3,
        policy_layers: int = 4,
        log_std: bool = False,
        kl_dynamics: float = 1.0,
        kl_representation: float = 1.0,
        free_nats: float = 3.0,
        average_kl: bool = True,
        reinforce: float = 0.0,
        entropy: float = 0.0,
        normalise_returns: bool = False,
        slow_weight: float = 0.0,
        slow_keep: float = 0.98,
        alpha: float = 0.01,
        noise: float = 0.3,
        world_learning_rate: float = 6e-4,
        policy_learning_rate: float = 8e-5,
        value_learning_rate: float = 8e-5,
        world_clip: float = 100.0,
        clip: float = 100.0,
        pretraining_rate: float = 1e-3,
        pretraining_clip: float = 100.0,
        decay_updates: int | None = None,
        decay_from: float = 0.3,
        decay_to: float = 0.03,
    ) -> None:
        self.decide_in(skills, spec)
        if imagination < 1:
            raise SmbrlError(f"Dreamer.imagination is {imagination}; expected at least 1 decision")
        if not 0.0 <= reinforce <= 1.0:
            raise SmbrlError(f"Dreamer.reinforce is {reinforce}; it is a share, from 0 to 1")
        self.window, self.imagination, self.discount = window, imagination, discount
        self.alpha, self.noise = alpha, noise
        self.slow_weight, self.slow_keep = slow_weight, slow_keep

        moves = dynamics(latent, self.decision)
        size = moves.latent_size
        decodes = GaussianDecoder if decoder == "gaussian" else UnitDecoder
        self.world = WorldModel(
            encoder(spec, latent),
            moves,
            decodes(size, [decoder_hidden] * decoder_layers, spec.observation),
            scalar_head(heads, size, [hidden] * reward_layers, bins=bins, limit=bin_limit),
            MLP(size, [hidden] * reward_layers, 1, exact=True) if continuation else None,
            Balance(kl_dynamics, kl_representation, free_nats, average_kl),
        )
        self.policy = TanhNormalHead(size, [hidden] * policy_layers, self.decision, log_std=log_std)
        self.value = scalar_head(heads, size, [hidden] * value_layers, bins=bins, limit=bin_limit)
        self.slow_value = copy.deepcopy(self.value).requires_grad_(False) if slow_weight else None
        self.scale = PercentileScale() if normalise_returns else None
        self.outlook = Outlook(discount, target_lambda)
        self.actor_loss = ActorLoss(reinforce, entropy)

        self.optimisers = {
            "world": Optimiser(self.world.parameters(), world_learning_rate, clip=world_clip),
            "policy": Optimiser(self.policy.parameters(), policy_learning_rate, clip=clip),
            "value": Optimiser(self.value.parameters(), value_learning_rate, clip=clip),
        }
        self.offline = None
        if self.skills is not None:
            if self.skills.prior_network() is None:
                raise SmbrlError(
                    f"Dreamer.skills is @{type(self.skills).__name__}, which has no prior of its own for the policy to "
                    "stay close to; bind a skill model that has one, such as @SPiRLSkills"
                )
            pace = Pace(pretraining_rate, pretraining_clip, decay_updates, decay_from, decay_to)
            self.offline = SkillsAlone(self.skills, pace)
            self.optimisers["pretraining"] = self.offline.optimiser

    @property
    def learning_only(self) -> tuple[str, ...]:
        """See the contract."""
        return ("slow_value.", "scale.")

    def prepare(self, compute: Compute) -> None:
        """See the contract."""
        super().prepare(compute)
        compile_networks(self, (MLP,), compute)

    # -- acting ------------------------------------------------------------------------------------
    def initial_memory(self, envs: int) -> Tensor:
        """The blank state and no decision ``(E, S + Z)``."""
        dynamics = self.world.dynamics
        return torch.cat([dynamics.blank(envs), dynamics.blank(envs)[:, : self.decision]], -1)

    @torch.no_grad()
    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Go on from the last state with what is seen now, and play the policy; in mode prior, sample the prior (flat:
        at random)."""
        state, decision = torch.split(memory, [self.world.dynamics.state, self.decision], -1)
        with autocast(self.compute):
            drawn = None if mode == "evaluate" else generator
            state = self.world.dynamics.observe(state, decision, self.world.encoder(obs), drawn)
            if mode == "prior":
                decision = self._from_prior(obs, generator)
            else:
                policy: TanhNormal = self.policy(self.world.dynamics.latent(state))
                decision = self._noisy(policy, generator) if mode == "explore" else policy.mode
        return decision, torch.cat([state, decision], -1)

    def _noisy(self, policy: TanhNormal, generator: torch.Generator) -> Tensor:
        decision = policy.rsample(generator)
        noise = torch.randn(decision.shape, generator=generator, device=decision.device)
        return (decision + self.noise * noise).clamp(-1.0, 1.0)

    def _from_prior(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        if self.offline is None:
            return 2.0 * torch.rand(len(obs), self.decision, generator=generator, device=obs.device) - 1.0
        return self.offline.prior(obs).rsample(generator)

    # -- learning online ---------------------------------------------------------------------------
    def update(self, windows: Windows, generator: torch.Generator) -> Metrics:
        """World model, then the policy in what it imagines, then the value of what was imagined."""
        with autocast(self.compute):
            loss, seen, metrics = self.world.loss(windows, generator)
        metrics["world_grad_norm"] = self.optimisers["world"].minimise(loss)

        with autocast(self.compute):
            dreamt = self._dream(seen, generator)
            loss, found = self._policy_loss(windows, seen, dreamt)
        metrics |= found
        metrics["policy_grad_norm"] = self.optimisers["policy"].minimise(loss, retain=True)

        with autocast(self.compute):
            loss = self._value_loss(dreamt)
        metrics["value_error"] = loss.detach()
        metrics["value_grad_norm"] = self.optimisers["value"].minimise(loss)
        if self.slow_value is not None:
            move_towards(self.slow_value, self.value, self.slow_keep)
        self._count += 1
        return metrics

    def _dream(self, seen: Seen, generator: torch.Generator) -> Dreamt:
        """Imagine from every state that was seen. The policy's gradient passes through model and value, which it
        leaves alone; the value's own gradient is that of ``raw``."""
        start, latent = seen.states.flatten(0, 1), self.world.dynamics.latent
        # where every gradient is that of a log probability, none has to go through the dynamics
        through = self.actor_loss.reinforce < 1.0
        with held(self.world):
            with torch.set_grad_enabled(through):
                dream = self.world.imagine(self.policy, start, self.imagination, generator)
                reward, goes_on = self.world.judge(dream.states)
            if not through:
                dream = dream._replace(policy=self.policy(latent(dream.states[:-1])))
            value, raw = self.value.fork(latent(dream.states))
            returns, weight = self.outlook(reward, goes_on, value)
        alive = seen.alive.flatten()
        return Dreamt(dream, returns, value, raw[:-1], weight * alive / alive.mean())

    def _policy_loss(self, windows: Windows, seen: Seen, dreamt: Dreamt) -> tuple[Tensor, Metrics]:
        dream, returns, value, _, weight = dreamt
        alive, scale = seen.alive.flatten(), returns.new_ones(())
        if self.scale is not None:
            scale = self.scale.update(returns.detach(), alive.expand_as(returns))
        loss = self.actor_loss(dream, returns, value[:-1], weight, scale)
        metrics = summary(returns, value, dream, alive)
        if self.offline is not None:
            kl = self._divergence(windows.obs, dream.policy[0], seen.alive)
            loss = loss + self.alpha * kl
            metrics["kl_prior"] = kl.detach()
        metrics["policy_loss"] = loss.detach()
        return loss, metrics

    def _divergence(self, obs: Tensor, policy: TanhNormal, alive: Tensor, limit: float = 100.0) -> Tensor:
        """KL(policy || prior), mean over the real states that dreams start from; clamped."""
        assert self.offline is not None
        with torch.no_grad():
            prior = self.offline.prior(obs)
        flat = TanhNormal(prior.mean.flatten(0, 1), prior.std.flatten(0, 1))
        return (policy.kl(flat).clamp(max=limit) * alive.flatten()).sum() / alive.sum()

    def _value_loss(self, dreamt: Dreamt) -> Tensor:
        loss = value_loss(self.value, dreamt.raw, dreamt.returns.detach(), dreamt.weight)
        if self.slow_value is None:
            return loss
        with torch.no_grad():
            slow = self.slow_value(self.world.dynamics.latent(dreamt.dream.states[:-1]))
        return loss + self.slow_weight * value_loss(self.value, dreamt.raw, slow, dreamt.weight)
