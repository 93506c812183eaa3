"""What latent skill planning adds to a world model: skills that are held, told apart, and planned over."""

from __future__ import annotations

import math

import torch
from smbrl_plugins.agents.dreamer_world import WorldModel
from torch import Tensor, nn

from smbrl.interfaces import TanhNormal
from smbrl.nn.heads import TanhNormalHead
from smbrl.nn.mlp import MLP
from smbrl.nn.regression import NormalHead


class SkillBox:
    """Skills z ~ N(0, I), written as decisions z / spread in [-1, 1].

    Args:
        skill: size Z.
        spread: deviations of z that the box reaches.
    """

    def __init__(self, skill: int, spread: float) -> None:
        self.skill, self.spread = skill, spread

    def draw(self, *lead: int, device: torch.device, generator: torch.Generator) -> Tensor:
        """From the prior, at most ``spread`` deviations off: ``(*lead, Z)`` in [-1, 1]."""
        normal = torch.randn(*lead, self.skill, generator=generator, device=device)
        return (normal / self.spread).clamp(-1.0, 1.0)

    def log_prior(self, boxed: Tensor) -> Tensor:
        """log p(z), ``(..., Z) -> (...)``."""
        z = boxed * self.spread
        return -0.5 * (z.square() + math.log(2.0 * math.pi)).sum(-1)


class Inference(nn.Module):
    """q(z | where the skill began, where it led): a Gaussian. Mutual information is learned through it.

    Args:
        size: of the states' latents.
        box: of skills.
        hidden: width of the two hidden layers.
    """

    def __init__(self, size: int, box: SkillBox, hidden: int) -> None:
        super().__init__()
        self.box = box
        self.mlp = MLP((size, size), [hidden] * 2, 2 * box.skill)

    def log_prob(self, begun: Tensor, led: Tensor, boxed: Tensor) -> Tensor:
        """``(..., D), (..., D), (..., Z) -> (...)``."""
        mean, spread = self.mlp(begun, led).chunk(2, -1)
        log_std = 3.0 * torch.tanh(spread / 3.0)
        normal = ((boxed * self.box.spread - mean) / log_std.exp()).square()
        density: Tensor = -0.5 * (normal + math.log(2.0 * math.pi)).sum(-1) - log_std.sum(-1)
        return density

    def information(self, begun: Tensor, led: Tensor, boxed: Tensor) -> Tensor:
        """log q(z | begun, led) - log p(z): a bound from below on I(z; led | begun), in nats."""
        return self.log_prob(begun, led, boxed) - self.box.log_prior(boxed)


class SkillDreams:
    """What a planner over skills searches through: ``hold`` steps of the policy's mode under a skill at a time.

    A planning state is the world's state and the skill that led to it, which the value reads.

    Attributes:
        decision: size of a skill.
    """

    def __init__(
        self, world: WorldModel, policy: TanhNormalHead, value: NormalHead, box: SkillBox, hold: int, discount: float
    ) -> None:
        self.world, self.policy_head, self.value_head, self.box = world, policy, value, box
        self.hold, self.discount = hold, discount
        self.decision = box.skill

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        """One skill ahead: planning state, discounted imagined reward."""
        lead = torch.broadcast_shapes(state.shape[:-1], decision.shape[:-1])  # type: ignore[no-untyped-call]
        world = state[..., : self.world.dynamics.state].expand(*lead, self.world.dynamics.state)
        skill = decision.expand(*lead, self.decision)
        total, weight = world.new_zeros(lead), world.new_ones(lead)
        for _ in range(self.hold):
            action = self.policy_head(self.world.dynamics.latent(world), skill).mode
            world = self.world.dynamics.step(world, action)
            reward, goes_on = self.world.judge(world)
            total = total + weight * reward
            weight = weight * self.discount * goes_on
        return torch.cat([world, skill], -1), total

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """v(state, the skill that led there)."""
        world, skill = torch.split(state, [self.world.dynamics.state, self.decision], -1)
        return self.value_head(self.world.dynamics.latent(world), skill)  # type: ignore[no-any-return]

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """A skill from the prior."""
        return self.box.draw(*state.shape[:-1], device=state.device, generator=generator)

    def uncertainty(self, state: Tensor) -> Tensor:
        """What the world's dynamics say of its part of the state."""
        return self.world.dynamics.uncertainty(state[..., : self.world.dynamics.state])

    def policy(self, state: Tensor) -> TanhNormal:
        """The prior, as the distribution that planners know."""
        mean = torch.zeros(*state.shape[:-1], self.decision, device=state.device)
        return TanhNormal(mean, torch.full_like(mean, 1.0 / self.box.spread))
