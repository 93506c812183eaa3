"""Model-predictive path integral control in the space of decisions."""

from __future__ import annotations

import torch
from smbrl_plugins.planners.sequences import SequencePlanner, finite, weighted
from torch import Tensor

from smbrl.interfaces import PlanningModel


class MPPI(SequencePlanner):
    """Move the mean of a Gaussian over sequences to the exponentially weighted mean of its samples.

    In every iteration each sample counts exp(temperature * (value - best)); the deviation stays as it is. Samples are
    smoothed over time, z_i <- smoothing * z_{i-1} + (1 - smoothing) * z_i, and each decision may be held for several
    steps of the model. The mean's first decision is executed. (Williams et al. 2016; as the planner over skills in
    Sharma et al., Dynamics-Aware Unsupervised Discovery of Skills, 2020, whose dense-reward settings are the
    defaults. The planner that TD-MPC calls MPPI refits the deviation from elites: that is ``CEM``.)

    Args:
        horizon, first_horizon, horizon_steps: decisions in a plan and their schedule in env steps.
        hold: steps of the model that a decision lasts; the plan is ``horizon * hold`` steps long.
        samples, iterations: sequences drawn in each iteration, and how many.
        temperature: see above, in units of 1 / return.
        smoothing: see above; 0 leaves samples as they are drawn.
        std: of the samples around the mean, before smoothing.
        first_std: of the mean of a decision that no earlier plan contains, around zero.
        discount: per step of the model.
        noise: deviation of what training adds to the decision it executes.
        limit: decisions are clipped to +-limit.
    """

    def __init__(
        self,
        *,
        horizon: int = 1,
        first_horizon: int = 1,
        horizon_steps: int = 0,
        hold: int = 1,
        samples: int = 50,
        iterations: int = 10,
        temperature: float = 10.0,
        smoothing: float = 0.9,
        std: float = 1.2247,
        first_std: float = 1.0,
        discount: float = 1.0,
        noise: float = 0.0,
        limit: float = 1.0,
    ) -> None:
        super().__init__(horizon, first_horizon, horizon_steps, discount, limit)
        self.hold = hold
        self.samples, self.iterations = samples, iterations
        self.temperature, self.smoothing = temperature, smoothing
        self.std, self.first_std, self.noise = std, first_std, noise

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
        horizon, envs, device = self.horizon_at(step), len(state), state.device
        first = torch.randn(envs, horizon, model.decision, generator=generator, device=device)
        mean = self.shifted(memory, self.first_std * first)
        for _ in range(self.iterations):
            noise = torch.randn(envs, self.samples, *mean.shape[1:], generator=generator, device=device)
            drawn = self.smooth((mean.unsqueeze(1) + self.std * noise).clamp_(-self.limit, self.limit))
            values = finite(self.evaluate(model, state, drawn.repeat_interleave(self.hold, 2), generator))
            mean = weighted(drawn, torch.softmax(self.temperature * values, 1))
        decision = mean[:, 0]
        if explore and self.noise > 0.0:
            noise = torch.randn(decision.shape, generator=generator, device=device)
            decision = decision + self.noise * noise
        return decision.clamp(-self.limit, self.limit), self.remembered(memory, mean)

    def smooth(self, decisions: Tensor) -> Tensor:
        """Along the time of sequences ``(E, S, h, Z)``; the first decision stays."""
        smoothed = [decisions[:, :, 0]]
        for decision in decisions.unbind(2)[1:]:
            smoothed.append(self.smoothing * smoothed[-1] + (1.0 - self.smoothing) * decision)
        return torch.stack(smoothed, 2)
