"""The heads of SkiMo and TD-MPC."""

from __future__ import annotations

from torch import nn

from smbrl.interfaces import Heads
from smbrl.nn.heads import ScalarEnsemble, SteadyPolicy, TanhNormalHead


class PlainHeads(Heads):
    """Scalars that learn by squared errors, the smallest of the critics, a tanh-normal policy.

    Reward and critics: Linear, LayerNorm, tanh, then ELU layers, one output.

    Args:
        latent, decision, hidden, layers, critics: see the contract.
        policy_std: deviation of the policy before tanh where it is fixed (TD-MPC: 0.05); None learns it (SkiMo).
    """

    def __init__(
        self,
        latent: int,
        decision: int,
        hidden: int,
        layers: int,
        critics: int,
        *,
        policy_std: float | None = None,
    ) -> None:
        super().__init__(latent, decision, hidden, layers, critics)
        self.policy_std = policy_std

    def policy(self) -> nn.Module:
        """See the contract."""
        hidden = [self.hidden] * self.layers
        if self.policy_std is None:
            return TanhNormalHead(self.latent, hidden, self.decision)
        return SteadyPolicy(self.latent, hidden, self.decision, self.policy_std)

    def scalars(self) -> ScalarEnsemble:
        """See the contract."""
        return ScalarEnsemble(1 + self.critics, (self.latent, self.decision), self.hidden, self.layers)
