"""Planning by the cross-entropy method in the space of decisions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from smbrl.interfaces import Planner, PlanningModel
from smbrl.nn.schedules import linear


class CEM(Planner):
    """Search for the sequence of decisions that the model likes best, replanned at every decision.

    ``samples`` sequences are drawn from a Gaussian per time and dimension, imagined with the model, and joined
    by ``policy_samples`` sequences that the policy proposed. A sequence of h decisions is worth
    sum_t discount^t R(h_t, z_t) + discount^h min_j Q_j(h_h, a), a from the policy. The best ``elites``, weighted
    by exp(temperature * (value - best)), give the next Gaussian; after some iterations one of them is executed.
    Skills need few steps: ten of them are a hundred env steps. (The paper's section 3.4; the weights are those of
    TD-MPC, Hansen et al. 2022.)

    Args:
        horizon: decisions looked ahead at the end of its schedule.
        first_horizon, horizon_steps: it grows from ``first_horizon`` over this many env steps: an untrained
            model is not to be trusted far ahead.
        samples, policy_samples, elites, iterations: see above.
        temperature: see above, in units of 1 / return.
        momentum: share of the old mean kept in an iteration.
        discount: per decision.
        std: deviation to start from, and the largest allowed.
        first_floor, floor, floor_steps: the smallest allowed deviation and its linear schedule in env steps; it
            is also the least ``noise`` of an executed decision.
        limit: decisions are clipped to +-limit.
        start: the Gaussian to start from: ``wide`` is zero mean and ``std``; ``policy`` is mean and deviation of
            the policy's own sequences, which matters where good decisions fill a small part of the box.
        noise: whether training adds noise of the plan's deviation to the decision it executes.
        warm_start: shift the previous plan's mean by one and start from it.
        choice: what an evaluation executes: the weighted ``mean``, the ``best`` sequence, or a ``sample`` of the
            elites, which is what training executes (with noise).
    """

    def __init__(
        self,
        *,
        horizon: int = 10,
        first_horizon: int = 1,
        horizon_steps: int = 1_000_000,
        samples: int = 512,
        policy_samples: int = 25,
        elites: int = 64,
        iterations: int = 6,
        temperature: float = 0.5,
        momentum: float = 0.1,
        discount: float = 0.99,
        std: float = 2.0,
        first_floor: float = 0.5,
        floor: float = 0.01,
        floor_steps: int = 1_000_000,
        limit: float = 0.999,
        start: Literal["wide", "policy"] = "wide",
        warm_start: bool = True,
        noise: bool = True,
        choice: Literal["mean", "best", "sample"] = "mean",
    ) -> None:
        self.horizon, self.first_horizon, self.horizon_steps = horizon, first_horizon, horizon_steps
        self.samples, self.policy_samples, self.elites = samples, policy_samples, elites
        self.iterations = iterations
        self.temperature, self.momentum, self.discount = temperature, momentum, discount
        self.std = std
        self.first_floor, self.floor, self.floor_steps = first_floor, floor, floor_steps
        self.limit = limit
        self.start, self.warm_start, self.noise, self.choice = start, warm_start, noise, choice

    def initial_memory(self, envs: int, decision: int, device: torch.device) -> Tensor:
        """Per environment: the horizon of the previous plan (0: there is none) and its mean."""
        return torch.zeros(envs, 1 + self.horizon * decision, device=device)

    def horizon_at(self, step: int) -> int:
        """Decisions looked ahead at this env step."""
        # the epsilon keeps a schedule that has ended from being rounded down
        return int(linear(step, self.first_horizon, self.horizon, self.horizon_steps) + 1e-9)

    def floor_at(self, step: int) -> float:
        """Smallest deviation at this env step."""
        return linear(step, self.first_floor, self.floor, self.floor_steps)

    @torch.no_grad()
    def plan(
        self,
        model: PlanningModel,
        state: Tensor,
        memory: Tensor,
        *,
        step: int,
        explore: bool,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """See the contract."""
        horizon, floor = self.horizon_at(step), self.floor_at(step)
        proposals, proposal_values = self.propose(model, state, horizon, generator)
        mean, std = self.first_gaussian(proposals, memory, horizon, floor)
        elites, weights = proposals, torch.empty(0)
        for _ in range(self.iterations):
            noise = torch.randn(
                len(state), self.samples, horizon, model.decision, generator=generator, device=state.device
            )
            candidates = (mean.unsqueeze(1) + std.unsqueeze(1) * noise).clamp_(-self.limit, self.limit)
            values = self.evaluate(model, state, candidates, generator)
            elites, weights = self.best(torch.cat([candidates, proposals], 1), torch.cat([values, proposal_values], 1))
            mean, std = self.refit(elites, weights, mean, floor)
        decision = self.choose(elites, weights, mean, std, explore, generator)
        memory = torch.zeros_like(memory)
        memory[:, 0] = horizon
        memory[:, 1 : 1 + horizon * model.decision] = mean.flatten(1)
        return decision, memory

    def propose(
        self, model: PlanningModel, state: Tensor, horizon: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The policy's own sequences ``(E, P, h, Z)`` and what they are worth ``(E, P)``, imagined once."""
        states = state.unsqueeze(1).expand(-1, self.policy_samples, -1)
        value = torch.zeros(states.shape[:2], device=state.device)
        decisions = []
        for t in range(horizon):
            decisions.append(model.propose(states, generator))
            states, reward = model.predict(states, decisions[-1])
            value = value + self.discount**t * reward
        value = value + self.discount**horizon * model.value(states, generator)
        return torch.stack(decisions, 2).clamp_(-self.limit, self.limit), value

    def first_gaussian(self, proposals: Tensor, memory: Tensor, horizon: int, floor: float) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``(E, h, Z)`` of the first iteration."""
        mean = torch.zeros_like(proposals[:, 0])
        std = torch.full_like(mean, self.std)
        if self.start == "policy":
            mean = proposals.mean(1)
            std = proposals.std(1).clamp(floor, self.std)
        if self.warm_start and horizon > 1:
            previous = memory[:, 1 : 1 + mean[0].numel()].view_as(mean)
            same = (memory[:, 0] == horizon).view(-1, 1, 1)
            mean = torch.cat([torch.where(same, previous[:, 1:], mean[:, :-1]), mean[:, -1:]], 1)
        return mean, std

    def evaluate(self, model: PlanningModel, state: Tensor, decisions: Tensor, generator: torch.Generator) -> Tensor:
        """Imagined return ``(E, S)`` of sequences ``(E, S, h, Z)`` from states ``(E, ...)``."""
        # broadcasts: the first step multiplies each environment's state once, not once per sequence
        states = state.unsqueeze(1)
        value = torch.zeros(decisions.shape[:2], device=state.device)
        for t, decision in enumerate(decisions.unbind(2)):
            states, reward = model.predict(states, decision)
            value = value + self.discount**t * reward
        return value + self.discount ** decisions.shape[2] * model.value(states, generator)

    def best(self, decisions: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The elites ``(E, K, h, Z)``, best first, and their weights ``(E, K)``, which sum to 1."""
        # an exploded imagination is the worst plan, not the end of the run
        values = torch.nan_to_num(values, nan=-1e9, posinf=-1e9, neginf=-1e9)
        top, index = values.topk(min(self.elites, values.shape[1]), dim=1)
        chosen = decisions.gather(1, index[:, :, None, None].expand(-1, -1, *decisions.shape[2:]))
        return chosen, torch.softmax(self.temperature * top, 1)

    def refit(self, elites: Tensor, weights: Tensor, mean: Tensor, floor: float) -> tuple[Tensor, Tensor]:
        """The next Gaussian."""
        weights = weights[:, :, None, None]
        fresh = (weights * elites).sum(1)
        std = (weights * (elites - fresh.unsqueeze(1)) ** 2).sum(1).sqrt()
        return self.momentum * mean + (1.0 - self.momentum) * fresh, std.clamp(floor, self.std)

    def choose(
        self,
        elites: Tensor,
        weights: Tensor,
        mean: Tensor,
        std: Tensor,
        explore: bool,
        generator: torch.Generator,
    ) -> Tensor:
        """The decision to execute, ``(E, Z)``."""
        if explore or self.choice == "sample":
            drawn = torch.multinomial(weights, 1, generator=generator).view(-1, 1, 1)
            decision = elites[:, :, 0].gather(1, drawn.expand(-1, -1, elites.shape[-1])).squeeze(1)
        else:
            decision = elites[:, 0, 0] if self.choice == "best" else mean[:, 0]
        if explore and self.noise:
            noise = torch.randn(decision.shape, generator=generator, device=decision.device)
            decision = decision + std[:, 0] * noise
        return decision.clamp(-self.limit, self.limit)
