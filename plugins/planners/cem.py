"""Planning by the cross-entropy method in the space of decisions."""

from __future__ import annotations

from typing import Literal

import torch
from smbrl_plugins.planners.sequences import SequencePlanner, best, weighted
from torch import Tensor

from smbrl.interfaces import PlanningModel
from smbrl.nn.schedules import linear


class CEM(SequencePlanner):
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
        super().__init__(horizon, first_horizon, horizon_steps, discount, limit)
        self.samples, self.policy_samples, self.elites = samples, policy_samples, elites
        self.iterations = iterations
        self.temperature, self.momentum = temperature, momentum
        self.std = std
        self.first_floor, self.floor, self.floor_steps = first_floor, floor, floor_steps
        self.start, self.warm_start, self.noise, self.choice = start, warm_start, noise, choice

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
        proposals, proposal_values = self.sequences(model, state, self.policy_samples, horizon, generator)
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
        return decision, self.remembered(memory, mean)

    def first_gaussian(self, proposals: Tensor, memory: Tensor, horizon: int, floor: float) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``(E, h, Z)`` of the first iteration."""
        mean = torch.zeros_like(proposals[:, 0])
        std = torch.full_like(mean, self.std)
        if self.start == "policy":
            mean = proposals.mean(1)
            std = proposals.std(1).clamp(floor, self.std)
        if self.warm_start and horizon > 1:
            mean = self.shifted(memory, mean)
        return mean, std

    def best(self, decisions: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The elites ``(E, K, h, Z)``, best first, and their weights ``(E, K)``, which sum to 1."""
        chosen, top = best(decisions, values, self.elites)
        return chosen, torch.softmax(self.temperature * top, 1)

    def refit(self, elites: Tensor, weights: Tensor, mean: Tensor, floor: float) -> tuple[Tensor, Tensor]:
        """The next Gaussian."""
        fresh = weighted(elites, weights)
        std = weighted((elites - fresh.unsqueeze(1)) ** 2, weights).sqrt()
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
