"""What sits on a latent: policies, rewards and values, decoders."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smbrl.interfaces import Scalars, TanhNormal
from smbrl.nn import networks
from smbrl.nn.layers import batched_linear_elu, joined, norm_tanh
from smbrl.nn.mlp import MLP
from smbrl.nn.precision import network_weight


def tanh_normal(raw: Tensor, *, log_std: bool = True) -> TanhNormal:
    """A tanh-normal from 2n unbounded numbers ``(..., 2n)``, float32.

    The mean before tanh is 5 tanh(m / 5). The deviation is exp(clamp(s, -10, 2)) + 1e-4, about 1 at
    initialisation, or where ``log_std`` is False softplus(s + ln(e^5 - 1)) + 1e-4, 5 at initialisation.
    """
    mean, spread = raw.float().chunk(2, -1)
    mean = 5.0 * torch.tanh(mean / 5.0)
    if log_std:
        return TanhNormal(mean, spread.clamp(-10.0, 2.0).exp() + 1e-4)
    return TanhNormal(mean, F.softplus(spread + math.log(math.expm1(5.0))) + 1e-4)


class TanhNormalHead(nn.Module):
    """An MLP that returns a tanh-normal over ``size`` dims: policies, priors, skill posteriors."""

    def __init__(self, inputs: int | Sequence[int], hidden: Sequence[int], size: int, *, log_std: bool = True) -> None:
        super().__init__()
        self.mlp = MLP(inputs, hidden, 2 * size)
        self.log_std = log_std

    def forward(self, *inputs: Tensor) -> TanhNormal:
        """``(..., input)`` each -> distribution over ``(..., size)``."""
        return tanh_normal(self.mlp(*inputs), log_std=self.log_std)


class SteadyPolicy(nn.Module):
    """An MLP that returns a tanh-normal of fixed deviation: tanh(mean + std * noise)."""

    def __init__(self, inputs: int | Sequence[int], hidden: Sequence[int], size: int, std: float) -> None:
        super().__init__()
        self.mlp = MLP(inputs, hidden, size)
        self.std = std

    def forward(self, *inputs: Tensor) -> TanhNormal:
        """``(..., input)`` each -> distribution over ``(..., size)``."""
        mean = self.mlp(*inputs)
        return TanhNormal(mean, torch.full_like(mean, self.std))


class GaussianDecoder(nn.Module):
    """Latent -> a Gaussian over normalised observations with a learned deviation in [0.1, 1.5]."""

    def __init__(self, latent: int, hidden: Sequence[int], size: int) -> None:
        super().__init__()
        self.mlp = MLP(latent, hidden, 2 * size)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """``(..., latent)`` -> mean, std ``(..., size)``, float32."""
        mean, spread = self.mlp(latent).float().chunk(2, -1)
        return mean, 0.7 * (torch.tanh(spread) + 1.0) + 0.1

    def nll(self, latent: Tensor, target: Tensor) -> Tensor:
        """- log density of ``target (..., size)``, summed over its dims, ``(...)``."""
        mean, std = self.forward(latent)
        return (0.5 * ((target - mean) / std) ** 2 + std.log() + 0.5 * math.log(2 * math.pi)).sum(-1)


class ScalarEnsemble(Scalars):
    """M scalar heads of the same shape on the same input, computed as one.

    Each head: Linear, LayerNorm, tanh, then an MLP with ELU and a last layer of gain 0.01. The first layers
    are one wide matrix, the others one batched product. The first layer starts as PyTorch starts it (uniform
    in +-1/sqrt(inputs)), the others orthogonal. The last product is float32 always: bfloat16 resolves a
    value of 100 to 0.5 only.

    Args:
        heads: M.
        inputs: sizes of the inputs, concatenated.
        width, layers: width and number of hidden layers.
    """

    def __init__(self, heads: int, inputs: Sequence[int], width: int, layers: int) -> None:
        super().__init__()
        self.heads = heads
        self.width = width
        size = sum(inputs)
        bound = 1.0 / math.sqrt(size)
        self.first_weight = nn.Parameter(torch.empty(heads, width, size).uniform_(-bound, bound))
        self.first_bias = nn.Parameter(torch.empty(heads, width).uniform_(-bound, bound))
        self.norm_weight = nn.Parameter(torch.ones(heads, width))
        self.norm_bias = nn.Parameter(torch.zeros(heads, width))
        self.weights = nn.ParameterList(nn.Parameter(_orthogonal(heads, width, width)) for _ in range(layers - 1))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(heads, width)) for _ in range(layers - 1))
        self.last_weight = nn.Parameter(_orthogonal(heads, width, 1, gain=0.01))
        self.last_bias = nn.Parameter(torch.zeros(heads, 1))

    def forward(self, *inputs: Tensor, heads: slice = slice(None)) -> Tensor:
        """``(..., input)`` each, leading dims broadcasting -> ``(M, ...)`` float32; ``heads`` picks some."""
        if networks.usable(inputs):
            network = networks.network(self, self.first_weight, self.described)
            if network.fits:
                return networks.run(network, inputs, heads).squeeze(-1)
        count = len(range(self.heads)[heads])
        x, lead = self.first_layer(inputs, heads)
        x = norm_tanh(x.view(-1, count, self.width), self.norm_weight[heads], self.norm_bias[heads])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = batched_linear_elu(x, network_weight(weight)[heads], bias[heads])
        with torch.autocast(x.device.type, enabled=False):
            # one column a head: a batched product would be ten times slower
            last = zip(x.float(), self.last_weight[heads, :, 0], self.last_bias[heads], strict=True)
            y = torch.stack([torch.addmv(b, rows, w) for rows, w, b in last])
        return y.view(count, *lead)

    def raw(self, *inputs: Tensor, heads: slice = slice(None), generator: torch.Generator | None = None) -> Tensor:
        """The scalars themselves; nothing is drawn."""
        return self(*inputs, heads=heads)  # type: ignore[no-any-return]

    def described(self) -> list[list[networks.Layer]]:
        """Head by head, for ``networks``."""
        hidden = list(zip(self.weights, self.biases, strict=True))
        return [
            [
                networks.Layer(
                    networks.NORM_TANH, self.first_weight, self.first_bias, self.norm_weight, self.norm_bias, head=head
                ),
                *(networks.Layer(networks.ELU, w, b, transposed=True, head=head) for w, b in hidden),
                networks.Layer(networks.SCALAR, self.last_weight, self.last_bias, transposed=True, head=head),
            ]
            for head in range(self.heads)
        ]

    def first_layer(self, inputs: Sequence[Tensor], heads: slice) -> tuple[Tensor, torch.Size]:
        """The wide first product ``(rows, M * width)`` and the leading dims of the inputs."""
        size = self.first_weight.shape[-1]
        weight, bias = network_weight(self.first_weight)[heads].view(-1, size), self.first_bias[heads].flatten()
        x, weight, group_bias, lead = joined(inputs, weight, bias)
        if len(group_bias) == 1:
            return F.linear(x, weight, group_bias[0].to(x.dtype)), lead
        y = F.linear(x, weight).view(len(group_bias), -1, len(bias)) + group_bias.unsqueeze(1).to(x.dtype)
        return y, lead


def _orthogonal(heads: int, rows: int, columns: int, gain: float = 1.0) -> Tensor:
    return torch.stack([nn.init.orthogonal_(torch.empty(columns, rows), gain).t() for _ in range(heads)])
