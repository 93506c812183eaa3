"""Latent skill planning: skills are planned over, what they do is a policy learned in imagination."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from smbrl_plugins.agents.dreamer_losses import ActorLoss, Outlook, summary
from smbrl_plugins.agents.dreamer_views import WorldViews
from smbrl_plugins.agents.dreamer_world import Balance, Seen, WorldModel
from smbrl_plugins.agents.lsp_model import Inference, SkillBox, SkillDreams
from smbrl_plugins.dynamics.rssm import RSSM
from smbrl_plugins.encoders.deep import DeepEncoder
from smbrl_plugins.planners.cem import CEM
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Compute, Encoder, Metrics, Mode, Planner, TanhNormal, TaskSpec, Windows
from smbrl.nn.heads import GaussianDecoder, TanhNormalHead
from smbrl.nn.mlp import MLP
from smbrl.nn.optim import Optimiser, held
from smbrl.nn.precision import autocast, compile_networks
from smbrl.nn.regression import NormalHead


class LSP(WorldViews, Agent):
    """Dreamer's world model, a policy pi(a | s, z) that is also paid for making its skill known, a planner over z.

    (Xie, Bharadhwaj, Hafner, Garg, Shkurti: Latent Skill Planning for Exploration and Transfer, ICLR 2021. No code of
    it is public: what the paper leaves open is decided here and is a binding.)

    A decision is one env step: the env action, followed by the skill it was made for. A skill lasts ``hold`` of them.

    Args:
        spec: the task's shapes.
        encoder, dynamics, latent: of the world model, over env actions.
        planner: over skills.
        skill: size Z of a skill.
        hold: K, env steps that a skill lasts.
        spread: deviations of z ~ N(0, I) that the planner's box reaches.
        window: N, env steps in a training window.
        imagination: H, env steps looked ahead while learning.
        discount: per env step.
        target_lambda: of the returns.
        information: weight of log q(z | ...) - log p(z) beside the reward, per imagined step.
        replayed: share of dreams that go on with the skill of the replay; the others draw one from the prior.
        decoder_hidden, decoder_layers, hidden, reward_layers, value_layers, policy_layers, inference_hidden: networks.
        continuation: learn whether an episode goes on.
        free_nats: see ``Balance``.
        noise: deviation of what is added to env actions while exploring.
        world_learning_rate, policy_learning_rate, value_learning_rate, inference_learning_rate, clip: of Adam.
    """

    def __init__(
        self,
        spec: TaskSpec,
        *,
        encoder: type[Encoder] = DeepEncoder,
        dynamics: type[RSSM] = RSSM,
        planner: type[Planner] = CEM,
        latent: int = 256,
        skill: int = 3,
        hold: int = 10,
        spread: float = 3.0,
        window: int = 49,
        imagination: int = 15,
        discount: float = 0.99,
        target_lambda: float = 0.95,
        information: float = 0.1,
        replayed: float = 0.5,
        decoder_hidden: int = 256,
        decoder_layers: int = 2,
        hidden: int = 400,
        reward_layers: int = 2,
        value_layers: int = 3,
        policy_layers: int = 4,
        inference_hidden: int = 256,
        continuation: bool = False,
        free_nats: float = 3.0,
        noise: float = 0.3,
        world_learning_rate: float = 6e-4,
        policy_learning_rate: float = 8e-5,
        value_learning_rate: float = 8e-5,
        inference_learning_rate: float = 6e-4,
        clip: float = 100.0,
    ) -> None:
        nn.Module.__init__(self)
        if hold < 1 or imagination < 1 or not 0.0 <= replayed <= 1.0:
            raise SmbrlError(
                f"LSP.hold is {hold}, imagination {imagination}, replayed {replayed}; expected at least 1, at least 1, "
                "and a share from 0 to 1"
            )
        self.spec = spec
        self.horizon, self.window, self.discount = 1, window, discount
        self.decision = spec.action + skill
        self.hold, self.imagination, self.information = hold, imagination, information
        self.replayed, self.noise = replayed, noise
        self.box = SkillBox(skill, spread)
        moves = dynamics(latent, spec.action)
        size = moves.latent_size
        self.world = WorldModel(
            encoder(spec, latent),
            moves,
            GaussianDecoder(size, [decoder_hidden] * decoder_layers, spec.observation),
            NormalHead(size, [hidden] * reward_layers),
            MLP(size, [hidden] * reward_layers, 1) if continuation else None,
            Balance(free=free_nats),
        )
        self.policy = TanhNormalHead((size, skill), [hidden] * policy_layers, spec.action, log_std=False)
        self.value = NormalHead((size, skill), [hidden] * value_layers)
        self.inference = Inference(size, self.box, inference_hidden)
        self.planner = planner()
        self.dreams = SkillDreams(self.world, self.policy, self.value, self.box, hold, discount)
        self.outlook, self.actor_loss = Outlook(discount, target_lambda), ActorLoss()
        self.optimisers = {
            "world": Optimiser(self.world.parameters(), world_learning_rate, clip=clip),
            "policy": Optimiser(self.policy.parameters(), policy_learning_rate, clip=clip),
            "value": Optimiser(self.value.parameters(), value_learning_rate, clip=clip),
            "inference": Optimiser(self.inference.parameters(), inference_learning_rate, clip=clip),
        }

    @property
    def learning_only(self) -> tuple[str, ...]:
        """See the contract."""
        return ("inference.",)

    def prepare(self, compute: Compute) -> None:
        """See the contract."""
        super().prepare(compute)
        compile_networks(self, (MLP,), compute)

    # -- acting ------------------------------------------------------------------------------------
    def initial_memory(self, envs: int) -> Tensor:
        """World state, the last env action, the skill, env steps it is still held, the planner's memory."""
        blank = self.world.dynamics.blank(envs)
        own = blank.new_zeros(envs, self.spec.action + self.box.skill + 1)
        return torch.cat([blank, own, self.planner.initial_memory(envs, self.box.skill, blank.device)], 1)

    @torch.no_grad()
    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Hold the skill or plan the next, and play the policy for it; in mode prior, draw both at random."""
        sizes = [self.world.dynamics.state, self.spec.action, self.box.skill, 1]
        state, action, skill, left, plan = torch.split(memory, [*sizes, memory.shape[1] - sum(sizes)], 1)
        due = left <= 0
        with autocast(self.compute):
            drawn = None if mode == "evaluate" else generator
            state = self.world.dynamics.observe(state, action, self.world.encoder(obs), drawn)
            if mode == "prior":
                fresh = self.box.draw(len(obs), device=obs.device, generator=generator)
                skill = torch.where(due, fresh, skill)
                action = 2.0 * torch.rand(action.shape, generator=generator, device=obs.device) - 1.0
            else:
                if bool(due.any()):
                    begun = torch.cat([state, skill], 1)
                    explore = mode == "explore"
                    fresh, after = self.planner.plan(
                        self.dreams, begun, plan, step=step, explore=explore, generator=generator
                    )
                    skill, plan = torch.where(due, fresh, skill), torch.where(due, after, plan)
                action = self._play(state, skill, mode, generator)
        left = torch.where(due, float(self.hold), left) - 1.0
        return torch.cat([action, skill], 1), torch.cat([state, action, skill, left, plan], 1)

    def _play(self, state: Tensor, skill: Tensor, mode: Mode, generator: torch.Generator) -> Tensor:
        policy: TanhNormal = self.policy(self.world.dynamics.latent(state), skill)
        if mode == "evaluate":
            return policy.mode
        noise = torch.randn(policy.mean.shape, generator=generator, device=state.device)
        return (policy.rsample(generator) + self.noise * noise).clamp(-1.0, 1.0)

    def low_level(self, obs: NDArray[np.float32], decision: NDArray[np.float32]) -> NDArray[np.float32]:
        """The env action in front of the skill."""
        return decision[:, : self.spec.action]

    # -- learning ----------------------------------------------------------------------------------
    def update(self, windows: Windows, generator: torch.Generator) -> Metrics:
        """World model; policy in dreams of held skills; value of what was dreamt; inference of the skills dreamt."""
        actions, skills = torch.split(windows.decision, [self.spec.action, self.box.skill], -1)
        with autocast(self.compute):
            loss, seen, metrics = self.world.loss(replace(windows, decision=actions), generator)
        metrics["world_grad_norm"] = self.optimisers["world"].minimise(loss)

        plan = self.skills_to_dream(skills, generator)
        with held(self.world, self.value, self.inference), autocast(self.compute):
            loss, latent, returns, weight, found = self._dreamt(seen, plan, generator)
        metrics |= found
        metrics["policy_grad_norm"] = self.optimisers["policy"].minimise(loss)

        with autocast(self.compute):
            loss = (weight * self.value.nll(latent[:-1], plan[:-1], target=returns.detach())).mean()
        metrics |= {"value_error": loss.detach(), "value_grad_norm": self.optimisers["value"].minimise(loss)}
        with autocast(self.compute):
            alive = seen.alive.flatten()
            surprise = -self.inference.log_prob(latent[self.begun()], latent[1:], plan[:-1])
            loss = (surprise * alive).mean() / alive.mean()
        metrics |= {
            "inference_error": loss.detach(),
            "inference_grad_norm": self.optimisers["inference"].minimise(loss),
        }
        return metrics

    def begun(self) -> list[int]:
        """For each imagined step, the state at which its skill began."""
        return [t // self.hold * self.hold for t in range(self.imagination)]

    def skills_to_dream(self, skills: Tensor, generator: torch.Generator) -> Tensor:
        """Skills of replayed windows ``(B, N, Z)`` -> of each imagined step and of the state after the last
        ``(H + 1, B (N + 1), Z)``: held for ``hold`` steps, the first from the replay or the prior."""
        active = torch.cat([skills, skills[:, -1:]], 1).flatten(0, 1)
        keep = torch.rand(len(active), 1, generator=generator, device=active.device) < self.replayed
        lasting: list[Tensor] = []
        for _ in range(0, self.imagination, self.hold):
            fresh = self.box.draw(len(active), device=active.device, generator=generator)
            lasting.append(fresh if lasting else torch.where(keep, active, fresh))
        # the last state is valued under the skill that led to it
        steps = [*range(self.imagination), self.imagination - 1]
        return torch.stack([lasting[t // self.hold] for t in steps])

    def _dreamt(
        self, seen: Seen, plan: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Metrics]:
        """The policy's loss; latents ``(H + 1, ..., D)``, without gradient; returns and their weights; metrics."""
        skills = iter(plan)
        start, alive = seen.states.flatten(0, 1), seen.alive.flatten()
        dream = self.world.imagine(lambda latent: self.policy(latent, next(skills)), start, self.imagination, generator)
        latent = self.world.dynamics.latent(dream.states)
        reward, goes_on = self.world.judge(dream.states)
        told = self.inference.information(latent[self.begun()], latent[1:], plan[:-1])
        reward = torch.cat([reward[:1], reward[1:] + self.information * told])
        value = self.value(latent, plan)
        returns, weight = self.outlook(reward, goes_on, value)
        weight = weight * alive / alive.mean()
        loss = self.actor_loss(dream, returns, value[:-1], weight, returns.new_ones(()))
        metrics = summary(returns, value, dream, alive)
        metrics["information"] = ((told * alive).mean() / alive.mean()).detach()
        metrics["policy_loss"] = loss.detach()
        return loss, latent.detach(), returns, weight, metrics

    # -- what pictures ask -------------------------------------------------------------------------
    @torch.no_grad()
    def imagine(self, state: Tensor, decision: Tensor) -> Tensor:
        """``(..., S)``, decisions (or env actions alone) -> the state one env step later."""
        return super().imagine(state, decision[..., : self.spec.action])

    # -- checkpoints -------------------------------------------------------------------------------
    def training_state(self) -> dict[str, Any]:
        """Optimisers."""
        return {"optimisers": {name: optimiser.state() for name, optimiser in self.optimisers.items()}}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``training_state``."""
        for name, optimiser in self.optimisers.items():
            optimiser.load_state(state["optimisers"].get(name, {}))
