"""What a latent model and its policy learn online (the paper's L'_REC and L_RL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from smbrl_plugins.agents.latent_model import LatentModel, Target
from torch import Tensor

from smbrl.interfaces import Metrics, TanhNormal, Windows

ActorStates = Literal["imagined", "encoded", "first"]


class Rollout(NamedTuple):
    """What the model step leaves for the actor step; detached.

    Attributes:
        imagined: hhat_0 .. hhat_{N-1} as latents ``(B, N, D)``.
        encoded: E(s_0) .. E(s_{N-1}) ``(B, N, D)``.
    """

    imagined: Tensor
    encoded: Tensor


@dataclass(frozen=True)
class Targets:
    """y_t = r_t + discount * Q^-(E(s_{t+1}), pi), and what keeps it honest.

    Attributes:
        discount: per decision.
        lam: TD(lambda) along the window's real decisions; 0 is the one-step target of the paper.
        lower_bound: also y >= the return that was really achieved from there, where the episode reached its end.
        low, high: bounds of any return of the task, where known; None for none.
    """

    discount: float
    lam: float = 0.0
    lower_bound: bool = False
    low: float | None = None
    high: float | None = None

    def __call__(self, windows: Windows, next_value: Tensor) -> Tensor:
        """``next_value (B, N)``, of the state after each decision -> ``y (B, N)``."""
        next_value = self.clip(next_value)
        goes_on = self.discount * (1.0 - windows.terminated)
        y = windows.reward + goes_on * next_value
        if self.lam > 0.0:
            y = self.mixed(windows, next_value, goes_on)
        if self.lower_bound:
            y = torch.maximum(y, windows.lower_bound)
        return self.clip(y)

    def mixed(self, windows: Windows, next_value: Tensor, goes_on: Tensor) -> Tensor:
        """The lambda return, from the window's end backwards; decisions past an episode's end add nothing."""
        y = windows.reward[:, -1] + goes_on[:, -1] * next_value[:, -1]
        out = [y]
        for t in range(windows.reward.shape[1] - 2, -1, -1):
            lam = self.lam * windows.mask[:, t + 1]
            y = windows.reward[:, t] + goes_on[:, t] * ((1.0 - lam) * next_value[:, t] + lam * y)
            out.append(y)
        return torch.stack(out[::-1], 1)

    def clip(self, value: Tensor) -> Tensor:
        """Into [low, high]."""
        return value if self.low is None and self.high is None else value.clamp(self.low, self.high)


@dataclass(frozen=True)
class ModelLoss:
    """Consistency, reward and value along the imagined rollout.

    Attributes:
        targets: of the critics.
        consistency, reward, value: lambda_L, lambda_R, lambda_V.
        rho: weight of a prediction t decisions ahead is rho^t.
        encoded: weight of a second set of reward and value losses on the encoded real states (not weighted by
            rho^t); 0 for the imagined rollout alone, as the paper's equation has it.
        limit: a window whose term exceeds this gives no gradient from it.
    """

    targets: Targets
    consistency: float = 2.0
    reward: float = 0.25
    value: float = 0.1
    rho: float = 0.5
    encoded: float = 1.0
    limit: float = 1e5

    def __call__(
        self, windows: Windows, model: LatentModel, target: Target, generator: torch.Generator
    ) -> tuple[Tensor, Rollout, Metrics]:
        """Scalar to minimise (times 1/N), the rollout, metrics."""
        n = windows.mask.shape[1]
        latent = model.encoder(windows.obs)
        states = model.imagine(model.dynamics.initial(latent[:, 0]), windows.decision)
        imagined = model.dynamics.latent(states)
        y, goal = self.goals(windows, model, target, latent.detach(), generator)

        weight = self.rho ** torch.arange(n, device=y.device) * windows.mask
        error = (imagined[:, 1:].float() - goal.float()).square().mean(-1)
        consistency = (error * weight).sum(1)

        # imagined and encoded states in one batch; they are the same before the first decision
        inputs, decision, wanted, reward, weight = self.stacked(windows, imagined, latent, y, weight)
        out = model.heads(inputs, decision)
        reward_error = (weight * (out[0] - reward).square()).sum(1)
        value_error = (weight * (out[1:] - wanted).square().sum(0)).sum(1)

        total = (
            self.consistency * consistency.clamp(max=self.limit)
            + self.reward * reward_error.clamp(max=self.limit)
            + self.value * value_error.clamp(max=self.limit)
        ).mean() / n
        real = windows.mask.sum()
        metrics = {
            "consistency": consistency.mean(),
            "reward_error": reward_error.mean(),
            "value_error": value_error.mean(),
            "target": (y * windows.mask).sum() / real,
            "target_max": y.max(),
            "model_loss": total,
        }
        rollout = Rollout(imagined[:, :-1].detach(), latent[:, :-1].detach())
        return total, rollout, {name: value.detach() for name, value in metrics.items()}

    @torch.no_grad()
    def goals(
        self, windows: Windows, model: LatentModel, target: Target, latent: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """y ``(B, N)`` from the real next observations, and the latents to predict ``(B, N, D)``."""
        following = latent[:, 1:]
        action = model.policy_head(following).rsample(generator)
        next_value = target.q(following, action).amin(0)
        return self.targets(windows, next_value), target.encoder(windows.obs[:, 1:])

    def stacked(
        self, windows: Windows, imagined: Tensor, latent: Tensor, y: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Latents, decisions, value targets, rewards and weights, ``(B, N or 2N - 1, ...)``."""
        now = [imagined[:, :-1], windows.decision, y, windows.reward, weight]
        if self.encoded > 0.0:
            again = self.encoded * windows.mask
            first = torch.cat([weight[:, :1] + again[:, :1], weight[:, 1:]], 1)
            later = [latent[:, 1:-1], windows.decision[:, 1:], y[:, 1:], windows.reward[:, 1:], again[:, 1:]]
            now = [torch.cat([a, b], 1) for a, b in zip([*now[:4], first], later, strict=True)]
        return now[0], now[1], now[2], now[3], now[4]


@dataclass(frozen=True)
class ActorLoss:
    """- Q(h, pi(h)) + alpha KL(pi(h) || p(s)), weighted by rho^t.

    Attributes:
        states: the latents h the policy improves at: ``imagined`` hhat_t (the paper), ``encoded`` E(s_t), or
            ``first``: Q at E(s_0) with a fresh sample per t and the KL at E(s_t) (the released implementation).
        rho: as above.
        limit: of one state's KL, beyond which it gives no gradient.
    """

    states: ActorStates = "imagined"
    rho: float = 0.5
    limit: float = 100.0

    def __call__(
        self,
        windows: Windows,
        model: LatentModel,
        rollout: Rollout,
        prior: TanhNormal | None,
        alpha: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, Metrics]:
        """Scalar to minimise (times 1/N), the mean KL (detached), metrics."""
        n = windows.mask.shape[1]
        weight = self.rho ** torch.arange(n, device=windows.mask.device) * windows.mask
        latent = rollout.imagined if self.states == "imagined" else rollout.encoded
        policy: TanhNormal = model.policy_head(latent)
        judged, judges = policy, latent
        if self.states == "first":
            judged = TanhNormal(policy.mean[:, :1].expand_as(policy.mean), policy.std[:, :1].expand_as(policy.std))
            judges = latent[:, :1].expand_as(latent)
        q = model.q(judges, judged.rsample(generator)).amin(0)
        gain = (weight * q).sum(1).mean()
        metrics = {"q": q.mean(), "entropy": policy.entropy().mean()}
        kl = torch.zeros((), device=q.device)
        if prior is not None:
            per_state = policy.kl(prior).clamp(max=self.limit)
            gain = gain - alpha * (weight * per_state).sum(1).mean()
            kl = (per_state * windows.mask).sum() / windows.mask.sum()
            metrics["kl_prior"] = kl
        loss = -gain / n
        return loss, kl.detach(), {"actor_loss": loss.detach()} | {k: v.detach() for k, v in metrics.items()}
