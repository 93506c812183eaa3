"""SkiMo's skills: a variational autoencoder of action sequences with a closed-loop decoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from smbrl_plugins.encoders.mlp import MLPEncoder
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Encoder, FastPolicy, SkillLosses, SkillModel, TanhNormal, TaskSpec
from smbrl.nn.frozen import Array, FrozenLayers
from smbrl.nn.heads import TanhNormalHead, tanh_normal
from smbrl.nn.ranks import real_count


class SkiMoVAE(SkillModel):
    """q(z | s, a) and pi_L(a | s, z) of the paper on a low-level encoder of their own.

    The posterior is an MLP that reads the H actions and the embedding of the skill's first state. The policy
    plays the mode of a tanh-normal whose spread nothing trains (behaviour cloning is a squared error).

    L_VAE = bc_weight * mean (pi_L(s_t, z) - a_t)^2 + kl_weight * KL(q || tanh N(0, I)), KL in closed form.

    Args:
        spec: the task's shapes.
        skill: size of z.
        horizon: H, env steps that a skill lasts.
        encoder: the part that embeds states for posterior and policy.
        latent: size of its embedding.
        hidden, layers: width and number of hidden layers of posterior and policy.
        bc_weight: weight of the squared error (2 in the paper's settings).
        cloned_steps: clone only this many of each skill's H steps, drawn anew for each (stratified over the skill,
            so that the expected loss stays): decoding is most of the work. None clones all.
        kl_weight: beta, weight of the KL to the unit prior (1e-4 in the paper's settings).
    """

    def __init__(
        self,
        spec: TaskSpec,
        *,
        skill: int = 10,
        horizon: int = 10,
        encoder: type[Encoder] = MLPEncoder,
        latent: int = 128,
        hidden: int = 128,
        layers: int = 4,
        bc_weight: float = 2.0,
        kl_weight: float = 1e-4,
        cloned_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.skill = skill
        self.horizon = horizon
        self.bc_weight = bc_weight
        self.kl_weight = kl_weight
        self.cloned_steps = horizon if cloned_steps is None else cloned_steps
        if not 1 <= self.cloned_steps <= horizon:
            raise SmbrlError(f"SkiMoVAE.cloned_steps is {cloned_steps}; expected 1 to {horizon}; or None for all")
        self.encoder = encoder(spec, latent)
        self.inference = self.build_inference(spec.action, latent, hidden, layers)
        self.policy = TanhNormalHead((latent, skill), [hidden] * layers, spec.action)

    def build_inference(self, action: int, latent: int, hidden: int, layers: int) -> nn.Module:
        """The network behind ``infer``."""
        return TanhNormalHead((self.horizon * action, latent), [hidden] * layers, self.skill)

    def infer(self, embedding: Tensor, actions: Tensor) -> TanhNormal:
        """Embedded states ``(..., H, latent)``, actions ``(..., H, A)`` -> q(z | s, a)."""
        posterior: TanhNormal = self.inference(actions.flatten(-2), embedding[..., 0, :])
        return posterior

    def posterior(self, obs: Tensor, actions: Tensor) -> TanhNormal:
        """See the contract."""
        return self.infer(self.encoder(obs[..., :1, :]), actions)

    def act(self, obs: Tensor, skill: Tensor) -> Tensor:
        """See the contract."""
        policy: TanhNormal = self.policy(self.encoder(obs), skill)
        return policy.mode

    def loss(self, obs: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> SkillLosses:
        """See the contract. Every real action element weighs the same, as does every real skill."""
        posterior = self.posterior(obs, actions)
        if self.cloned_steps < self.horizon:
            obs, actions = self.some_steps(obs, actions, generator)
        skill = posterior.rsample(generator)
        # one skill, H states: the policy multiplies it once
        played = self.act(obs, skill.unsqueeze(-2))
        real = mask / real_count(mask)
        cloning = (((played - actions) ** 2).mean((-1, -2)) * real).sum()
        kl = (posterior.kl_unit() * real).sum()
        total = self.bc_weight * cloning + self.kl_weight * kl
        metrics = {"bc": cloning.detach(), "kl_unit": kl.detach()}
        return SkillLosses(total, skill, posterior, metrics)

    def some_steps(self, obs: Tensor, actions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``cloned_steps`` of the H states and actions of every skill, one from each of as many equal parts."""
        k = self.cloned_steps
        part = self.horizon / k
        shape = (*obs.shape[:2], k)
        within = torch.rand(shape, generator=generator, device=obs.device) * part
        index = (within + part * torch.arange(k, device=obs.device)).long().clamp(max=self.horizon - 1).unsqueeze(-1)
        return (
            obs.gather(2, index.expand(-1, -1, -1, obs.shape[-1])),
            actions.gather(2, index.expand(-1, -1, -1, actions.shape[-1])),
        )

    def fast_policy(self) -> FastPolicy | None:
        """See the contract."""
        encode = self.encoder.fast()
        return None if encode is None else _FastSkills(encode, self.policy)


class _FastSkills(FastPolicy):
    def __init__(self, encode: Callable[[Array], Array], policy: TanhNormalHead) -> None:
        self.encode = encode
        self.layers = FrozenLayers(policy.mlp.linears)
        # the spread's half of the last layer is of no use here
        size = self.layers.biases[-1].shape[0] // 2
        self.layers.weights[-1] = np.ascontiguousarray(self.layers.weights[-1][:, :size])
        self.layers.biases[-1] = self.layers.biases[-1][:size]

    def __call__(self, obs: NDArray[np.float32], skill: NDArray[np.float32]) -> NDArray[np.float32]:
        raw = self.layers(np.concatenate([self.encode(obs), skill], -1))
        raw *= 0.2
        np.tanh(raw, out=raw)
        raw *= 5.0
        return np.tanh(raw, out=raw)


class LSTMSkiMoVAE(SkiMoVAE):
    """The same skills inferred by an LSTM over the H pairs of action and embedded state.

    The paper's choice where the state has much to say during a skill (kitchen, CALVIN). The last output goes
    through one linear layer; both keep PyTorch's initialisation.
    """

    def build_inference(self, action: int, latent: int, hidden: int, layers: int) -> nn.Module:
        """The LSTM and its output layer."""
        return _LSTMInference(action + latent, hidden, self.skill)

    def infer(self, embedding: Tensor, actions: Tensor) -> TanhNormal:
        """Embedded states ``(..., H, latent)``, actions ``(..., H, A)`` -> q(z | s, a)."""
        posterior: TanhNormal = self.inference(torch.cat([actions, embedding.float()], -1))
        return posterior

    def posterior(self, obs: Tensor, actions: Tensor) -> TanhNormal:
        """See the contract."""
        return self.infer(self.encoder(obs), actions)


class _LSTMInference(nn.Module):
    def __init__(self, inputs: int, hidden: int, skill: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2 * skill)

    def forward(self, sequence: Tensor) -> TanhNormal:
        lead = sequence.shape[:-2]
        # a recurrent state of its own type: autocast would mix two inside the cell
        with torch.autocast(sequence.device.type, enabled=False):
            output, _ = self.lstm(sequence.reshape(-1, *sequence.shape[-2:]))
        return tanh_normal(self.out(output[:, -1]).view(*lead, -1))
