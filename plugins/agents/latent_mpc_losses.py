"""What a latent model and its policy learn online (the paper's L'_REC and L_RL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from smbrl_plugins.agents.latent_model import LatentModel, Target
from torch import Tensor

from smbrl.interfaces import Metrics, TanhNormal, Windows
from smbrl.nn.scaling import PercentileScale

ActorStates = Literal["imagined", "encoded", "first", "mixed"]
ConsistencyTarget = Literal["target", "online"]


class Rollout(NamedTuple):
    """What the model step leaves for the actor step; detached.

    Attributes:
        imagined: hhat_0 .. hhat_N as latents ``(B, N + 1, D)``.
        encoded: E(s_0) .. E(s_N) ``(B, N + 1, D)``.
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
        through_end: bootstrap where the MDP ended, too (the released TD-MPC does).
    """

    discount: float
    lam: float = 0.0
    lower_bound: bool = False
    low: float | None = None
    high: float | None = None
    through_end: bool = False

    def __call__(self, windows: Windows, next_value: Tensor) -> Tensor:
        """``next_value (B, N)``, of the state after each decision -> ``y (B, N)``."""
        next_value = self.clip(next_value)
        ended = torch.zeros_like(windows.terminated) if self.through_end else windows.terminated
        goes_on = self.discount * (1.0 - ended)
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
        follow: what the predicted latents follow: the ``target`` encoder or, held fixed, the ``online`` one.
        termination: of the cross-entropy of having ended, where the model has a head for it.
        limit: a window whose term exceeds this gives no gradient from it.
    """

    targets: Targets
    consistency: float = 2.0
    reward: float = 0.25
    value: float = 0.1
    rho: float = 0.5
    encoded: float = 1.0
    follow: ConsistencyTarget = "target"
    termination: float = 1.0
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
        error = model.dynamics.error(states[:, 1:], goal)
        consistency = (error * weight).sum(1)

        # imagined and encoded states in one batch; they are the same before the first decision
        inputs = self.stacked(windows, states, model.dynamics.initial(latent), y, weight)
        state, decision, wanted, reward, each = inputs
        reward_error, value_error = model.errors(state, decision, reward, wanted, generator)
        reward_error, value_error = (each * reward_error).sum(1), (each * value_error).sum(1)

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
        }
        if model.termination is not None:
            ending = self.termination_error(windows, model.termination(imagined[:, 1:]))
            total = total + self.termination * ending
            metrics["termination_error"] = ending
        metrics["model_loss"] = total
        return total, Rollout(imagined.detach(), latent.detach()), {name: v.detach() for name, v in metrics.items()}

    def termination_error(self, windows: Windows, logit: Tensor) -> Tensor:
        """Cross-entropy of having ended, of predicted states ``(B, N)``; mean over real decisions."""
        error = F.binary_cross_entropy_with_logits(logit.float(), windows.terminated, reduction="none")
        return (error * windows.mask).sum() / windows.mask.sum()

    @torch.no_grad()
    def goals(
        self, windows: Windows, model: LatentModel, target: Target, latent: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """y ``(B, N)`` from the real next observations, and the latents to predict ``(B, N, D)``."""
        following = latent[:, 1:]
        action = model.policy_head(following).rsample(generator)
        next_value = model.recipe.pessimistic(target.q(following, action), generator)
        goal = following if self.follow == "online" else target.encoder(windows.obs[:, 1:])
        return self.targets(windows, next_value), goal

    def stacked(
        self, windows: Windows, imagined: Tensor, encoded: Tensor, y: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """States, decisions, value targets, rewards and weights, ``(B, N or 2N - 1, ...)``."""
        now = [imagined[:, :-1], windows.decision, y, windows.reward, weight]
        if self.encoded > 0.0:
            again = self.encoded * windows.mask
            first = torch.cat([weight[:, :1] + again[:, :1], weight[:, 1:]], 1)
            later = [encoded[:, 1:-1], windows.decision[:, 1:], y[:, 1:], windows.reward[:, 1:], again[:, 1:]]
            now = [torch.cat([a, b], 1) for a, b in zip([*now[:4], first], later, strict=True)]
        return now[0], now[1], now[2], now[3], now[4]


@dataclass(frozen=True)
class ActorLoss:
    """- Q(h, pi(h)) + alpha KL(pi(h) || p(s)), weighted by rho^t.

    Attributes:
        states: the latents h the policy improves at: ``imagined`` hhat_t (the paper), ``encoded`` E(s_t), ``first``:
            Q at E(s_0) with a fresh sample per t and the KL at E(s_t) (the released SkiMo), or ``mixed``: Q at
            hhat_t and the KL at E(s_t) (the released SPiRL + TD-MPC).
        rho: as above.
        kl_rho: of the KL's weight; None: rho.
        last: improve at the state after the last decision, too (TD-MPC).
        entropy: weight of the policy's entropy after tanh (TD-MPC2: 1e-4).
        limit: of one state's KL, beyond which it gives no gradient.
    """

    states: ActorStates = "imagined"
    rho: float = 0.5
    kl_rho: float | None = None
    last: bool = False
    entropy: float = 0.0
    limit: float = 100.0

    def count(self, windows: Windows) -> int:
        """Number of states in a window at which the policy improves."""
        return windows.mask.shape[1] + self.last

    def __call__(
        self,
        windows: Windows,
        model: LatentModel,
        rollout: Rollout,
        prior: TanhNormal | None,
        alpha: Tensor,
        generator: torch.Generator,
        scale: PercentileScale | None = None,
    ) -> tuple[Tensor, Tensor, Metrics]:
        """Scalar to minimise (times 1/N), the mean KL (detached), metrics.

        ``prior`` is that of the first ``count`` states; ``scale`` divides values, and follows them.
        """
        n, m = windows.mask.shape[1], self.count(windows)
        mask = torch.cat([windows.mask, windows.mask[:, -1:] * (1.0 - windows.terminated[:, -1:])], 1)[:, :m]
        t = torch.arange(m, device=mask.device)
        imagined, encoded = rollout.imagined[:, :m], rollout.encoded[:, :m]
        latent = imagined if self.states == "imagined" else encoded
        policy: TanhNormal = model.policy_head(latent)
        judged, judges = policy, latent
        if self.states == "first":
            judged = TanhNormal(policy.mean[:, :1].expand_as(policy.mean), policy.std[:, :1].expand_as(policy.std))
            judges = latent[:, :1].expand_as(latent)
        elif self.states == "mixed":
            judged, judges = model.policy_head(imagined), imagined

        weight = self.rho**t * mask
        entropy: Tensor | None = None
        if self.entropy > 0.0:
            decision, log_prob = judged.rsample_with_log_prob(generator)
            entropy = -log_prob
        else:
            decision = judged.rsample(generator)
        q = model.recipe.expected(model.q(judges, decision), generator)
        metrics = {"q": q.mean(), "entropy": policy.entropy().mean()}
        gain = q
        if scale is not None:
            gain = q / scale.update(q[:, 0].detach())
            metrics["q_scale"] = scale.scale()
        if entropy is not None:
            gain = gain + self.entropy * entropy
        gain = (weight * gain).sum(1).mean()
        kl = torch.zeros((), device=q.device)
        if prior is not None:
            per_state = policy.kl(prior).clamp(max=self.limit)
            kl_weight = weight if self.kl_rho is None else self.kl_rho**t * mask
            gain = gain - alpha * (kl_weight * per_state).sum(1).mean()
            kl = (per_state * mask).sum() / mask.sum()
            metrics["kl_prior"] = kl
        loss = -gain / n
        return loss, kl.detach(), {"actor_loss": loss.detach()} | {k: v.detach() for k, v in metrics.items()}
