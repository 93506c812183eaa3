"""Dynamics-aware discovery of skills, and planning with what was discovered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from smbrl_plugins.agents.dads_losses import RewardModel, SkillImagination, intrinsic_reward, uniform_skills
from smbrl_plugins.agents.sac import SAC
from smbrl_plugins.dynamics.skill_mixture import SkillMixture
from smbrl_plugins.planners.mppi import MPPI
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Compute, Metrics, Mode, Planner, TaskSpec, Windows
from smbrl.nn.optim import Optimiser

PLANS, EXPLORES = 1.0, 2.0
"""What an episode is for."""


class DADS(Agent):
    """Skills that can be told from what they do, because their effect can be predicted.

    A policy pi(a | s, z) is paid for transitions that skill dynamics q(s' | s, z) predict better with the skill than
    with others; q is fitted to what the policy does. After ``unsupervised_steps`` env steps some episodes plan over
    skills with q and a learned reward model; discovery goes on in the others. (Sharma et al., ICLR 2020, algorithms 1
    and 2; learning from replayed transitions as in Sharma et al.: Emergent Real-World Robotic Skills, RSS 2020, with a
    short replay in place of importance weights.)

    A decision is one env step: the env action, followed by the skill it was made for.

    Args:
        spec: the task's shapes.
        learner: of the policy; it sees the observation without what the dynamics do not see, and the skill.
        dynamics: q; the state is the normalised observation.
        planner: over skills; None never plans.
        skill: size of a skill.
        hold: env steps for which a planned skill is held.
        explore_hold: env steps for which a skill is held that was drawn.
        unsupervised_steps: env steps before which nothing is planned.
        plan_share: share of the training episodes after them that plan.
        others: L, skills that the intrinsic reward compares with.
        reward_scale: the learner's reward is this times the intrinsic one.
        dynamics_rate, reward_rate: learning rates of Adam.
        reward_hidden, reward_kept: see ``RewardModel``.
        clip: of the global gradient norm.
    """

    def __init__(
        self,
        spec: TaskSpec,
        *,
        learner: type[Agent] = SAC,
        dynamics: type[SkillMixture] = SkillMixture,
        planner: type[Planner] | None = MPPI,
        skill: int = 2,
        hold: int = 10,
        explore_hold: int = 200,
        unsupervised_steps: int = 150_000,
        plan_share: float = 0.5,
        others: int = 100,
        reward_scale: float = 10.0,
        dynamics_rate: float = 3e-4,
        reward_rate: float = 3e-4,
        reward_hidden: int = 256,
        reward_kept: int = 1000,
        clip: float = 100.0,
    ) -> None:
        nn.Module.__init__(self)
        if hold < 1 or explore_hold < 1 or others < 1:
            raise SmbrlError(
                f"DADS.hold is {hold}, explore_hold {explore_hold}, others {others}; expected at least 1 each"
            )
        self.spec = spec
        self.horizon = self.window = 1
        self.skill, self.decision = skill, spec.action + skill
        self.hold, self.explore_hold = hold, explore_hold
        self.unsupervised_steps, self.plan_share = unsupervised_steps, plan_share
        self.others, self.reward_scale = others, reward_scale
        self.dynamics = dynamics(spec.observation, skill)
        self.planner = None if planner is None else planner()
        self.reward = RewardModel(spec.observation, reward_hidden, reward_kept)
        self.imagination = SkillImagination(self.dynamics, self.reward, skill)
        seen = [i for i in range(spec.observation) if i not in self.dynamics.unseen]
        self.learner = learner(_skilled(spec, seen, skill))
        if self.learner.horizon != 1 or self.learner.window != 1 or self.learner.pretrains:
            raise SmbrlError(
                f"DADS.learner is {learner.__name__} with decisions of {self.learner.horizon} env steps in windows of "
                f"{self.learner.window}; expected one that learns env actions from single transitions, such as SAC"
            )
        self.discount = self.learner.discount
        self.register_buffer("shift", torch.tensor(spec.shift), persistent=False)
        self.register_buffer("scale", torch.tensor(spec.scale), persistent=False)
        self.shift: Tensor
        self.scale: Tensor
        self.optimisers = {
            "dynamics": Optimiser(self.dynamics.parameters(), dynamics_rate, clip=clip),
            "reward": Optimiser(self.reward.parameters(), reward_rate, clip=clip),
        }

    @property
    def learning_only(self) -> tuple[str, ...]:
        """See the contract; the transitions that paid are what the reward model learns from."""
        return ("reward.paid", *(f"learner.{name}" for name in self.learner.learning_only))

    def prepare(self, compute: Compute) -> None:
        """See the contract."""
        super().prepare(compute)
        self.learner.prepare(compute)

    def normalised(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> what dynamics and reward model take for the state."""
        return obs * self.scale + self.shift

    def seen(self, obs: Tensor, skill: Tensor) -> Tensor:
        """What the policy sees: raw observations without the unseen, and the skill."""
        return torch.cat([obs[..., self.dynamics.seen], skill], -1)

    # -- acting ------------------------------------------------------------------------------------
    def initial_memory(self, envs: int) -> Tensor:
        """Skill, env steps that it is still held, what the episode is for (0: not said yet), the planner's memory."""
        own = torch.zeros(envs, self.skill + 2, device=self.shift.device)
        if self.planner is None:
            return own
        return torch.cat([own, self.planner.initial_memory(envs, self.skill, self.shift.device)], 1)

    @torch.no_grad()
    def act(
        self, obs: Tensor, memory: Tensor, *, mode: Mode, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Hold the skill, or plan or draw another, and play the policy for it."""
        skill, left, purpose, plan = torch.split(memory, [self.skill, 1, 1, memory.shape[1] - self.skill - 2], 1)
        due = left <= 0
        drawn = torch.rand(purpose.shape, generator=generator, device=obs.device) < self.plan_share
        first = torch.where(drawn | (mode == "evaluate"), PLANS, EXPLORES)
        purpose = torch.where(purpose == 0, first, purpose)
        fresh = uniform_skills((len(obs), self.skill), obs.device, generator)
        planned = torch.zeros_like(due)
        if self.planner is not None and step >= self.unsupervised_steps and mode != "prior" and self.has_been_paid():
            planned = due & (purpose == PLANS)
            if bool(planned.any()):
                state = self.normalised(obs)
                best, after = self.planner.plan(
                    self.imagination, state, plan, step=step, explore=False, generator=generator
                )
                fresh = torch.where(planned, best, fresh)
                plan = torch.where(planned, after, plan)
        skill = torch.where(due, fresh, skill)
        held = torch.where(planned, float(self.hold), float(self.explore_hold))
        left = torch.where(due, held, left) - 1.0
        inner = self.learner.initial_memory(len(obs))
        action, _ = self.learner.act(self.seen(obs, skill), inner, mode=mode, step=step, generator=generator)
        return torch.cat([action, skill], 1), torch.cat([skill, left, purpose, plan], 1)

    def has_been_paid(self) -> bool:
        """Whether the reward model knows of any reward."""
        return bool(self.reward.count > 0)

    def low_level(self, obs: NDArray[np.float32], decision: NDArray[np.float32]) -> NDArray[np.float32]:
        """The env action in front of the skill."""
        return decision[:, : self.spec.action]

    # -- learning ----------------------------------------------------------------------------------
    def start_online(self) -> None:
        """See the contract."""
        self.learner.start_online()

    def update(self, windows: Windows, generator: torch.Generator) -> Metrics:
        """Skill dynamics by likelihood, the policy by intrinsic reward, the reward model by what was paid."""
        obs, following = windows.obs[:, 0], windows.obs[:, 1]
        state, after = self.normalised(obs), self.normalised(following)
        action, skill = torch.split(windows.decision[:, 0], [self.spec.action, self.skill], -1)

        loss = -self.dynamics.log_prob(state, skill, after, fit=True).mean()
        metrics = {"dynamics_loss": loss.detach(), "dynamics_grad_norm": self.optimisers["dynamics"].minimise(loss)}
        intrinsic = intrinsic_reward(self.dynamics, state, skill, after, self.others, generator)
        metrics["intrinsic_reward"] = intrinsic.mean()
        seen = torch.stack([self.seen(obs, skill), self.seen(following, skill)], 1)
        lived = replace(
            windows,
            obs=seen,
            decision=action.unsqueeze(1),
            reward=self.reward_scale * intrinsic.unsqueeze(1),
            terminated=torch.zeros_like(windows.terminated),  # the end of the task is not the end of a skill
            lower_bound=torch.full_like(windows.lower_bound, -torch.inf),
        )
        metrics |= {f"policy_{name}": value for name, value in self.learner.update(lived, generator).items()}

        paid = windows.reward[:, 0]
        self.reward.keep(state, after, paid)
        loss = self.reward.loss(state, after, paid, generator)
        metrics |= {"reward_loss": loss.detach(), "reward_grad_norm": self.optimisers["reward"].minimise(loss)}
        metrics["paid_transitions"] = self.reward.count.float()
        return metrics

    # -- what pictures ask -------------------------------------------------------------------------
    def encode(self, obs: Tensor) -> Tensor:
        """Raw observations ``(..., O)`` -> states: normalised observations."""
        return self.normalised(obs)

    @torch.no_grad()
    def imagine(self, state: Tensor, decision: Tensor) -> Tensor:
        """``(..., O)``, decisions (or skills alone) -> the expected state one env step later."""
        return self.dynamics.step(state, decision[..., -self.skill :])

    def decode(self, state: Tensor) -> Tensor:
        """States -> observations in the environment's units ``(..., O)``."""
        return (state - self.shift) / self.scale

    # -- checkpoints -------------------------------------------------------------------------------
    def training_state(self) -> dict[str, Any]:
        """Optimisers, and the learner's own."""
        states = {name: optimiser.state() for name, optimiser in self.optimisers.items()}
        return {"optimisers": states, "learner": self.learner.training_state()}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``training_state``."""
        for name, optimiser in self.optimisers.items():
            optimiser.load_state(state["optimisers"].get(name, {}))
        self.learner.load_training_state(state["learner"])


def _skilled(spec: TaskSpec, seen: list[int], skill: int) -> TaskSpec:
    """The task as the policy has it: fewer observations, and a skill among them."""
    return replace(
        spec,
        observation=len(seen) + skill,
        shift=(*(spec.shift[i] for i in seen), *[0.0] * skill),
        scale=(*(spec.scale[i] for i in seen), *[1.0] * skill),
        position=tuple(seen.index(i) for i in spec.position if i in seen),
    )
