from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from smbrl.nn import networks
from smbrl.nn.mlp import MLP
from smbrl.nn.precision import autocast, resolve


def plain(mlp, x):
    layers = mlp.linears
    for layer in layers[:-1]:
        x = F.elu(F.linear(x, layer.weight, layer.bias))
    return F.linear(x, layers[-1].weight, layers[-1].bias)


def test_is_linear_layers_with_elu_between():
    mlp = MLP(7, [16, 8], 3)
    x = torch.randn(4, 5, 7)
    torch.testing.assert_close(mlp(x), plain(mlp, x))
    assert [tuple(layer.weight.shape) for layer in mlp.linears] == [(16, 7), (8, 16), (3, 8)]


def test_inputs_that_broadcast_equal_their_concatenation():
    mlp = MLP((6, 3), [16, 16], 2)
    state, skill = torch.randn(5, 10, 6), torch.randn(5, 1, 3)
    joined = torch.cat([state, skill.expand(-1, 10, -1)], -1)
    torch.testing.assert_close(mlp(state, skill), plain(mlp, joined))
    torch.testing.assert_close(mlp(joined[..., :6], joined[..., 6:]), plain(mlp, joined))


def test_gradients_equal_those_of_plain_layers():
    mlp = MLP((6, 3), [16, 16], 2)
    state, skill = torch.randn(5, 10, 6, requires_grad=True), torch.randn(5, 1, 3, requires_grad=True)
    wanted = [*mlp.parameters(), state, skill]
    mine = torch.autograd.grad(mlp(state, skill).square().sum(), wanted)
    theirs = torch.autograd.grad(plain(mlp, torch.cat([state, skill.expand(-1, 10, -1)], -1)).square().sum(), wanted)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_starts_orthogonal_with_zero_biases():
    mlp = MLP(32, [32], 32, last_gain=0.01)
    first, last = mlp.linears
    torch.testing.assert_close(first.weight @ first.weight.T, torch.eye(32), atol=1e-5, rtol=0)
    torch.testing.assert_close(last.weight @ last.weight.T, 1e-4 * torch.eye(32), atol=1e-8, rtol=0)
    assert not first.bias.any()


def test_bfloat16_stays_near_float32():
    torch.manual_seed(0)
    mlp = MLP((64, 10), [128] * 4, 64)
    x, z = torch.randn(256, 64), torch.rand(256, 10) * 2 - 1
    exact = mlp(x, z)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = mlp(x, z)
    assert rounded.dtype == torch.float32
    assert float((rounded - exact).std() / exact.std()) < 0.02


@pytest.mark.parametrize("kernels", [nullcontext, networks.disabled])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_fork_has_the_inputs_gradient_on_one_side_and_the_parameters_on_the_other(precision, kernels):
    torch.manual_seed(0)
    mlp, x = MLP((8, 4), [32, 32], 3), [torch.randn(5, 7, size, requires_grad=True) for size in (8, 4)]
    left, right = torch.randn(5, 7, 3), torch.randn(5, 7, 3)
    parameters = list(mlp.parameters())
    with kernels(), autocast(resolve("cpu", precision)):
        first, second = mlp.fork(*x)
        plain = mlp(*x)
    assert torch.equal(first, plain)
    assert torch.equal(second, plain)
    expected = torch.autograd.grad((plain * left).sum(), x, retain_graph=True)
    for mine, theirs in zip(torch.autograd.grad((first * left).sum(), x, retain_graph=True), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    expected = torch.autograd.grad((plain * right).sum(), parameters)
    for mine, theirs in zip(torch.autograd.grad((second * right).sum(), parameters), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    with kernels(), autocast(resolve("cpu", precision)):
        first, second = mlp.fork(*x)
    for out, others in ((first, parameters), (second, x)):
        if out.requires_grad:
            crossed = torch.autograd.grad(out.sum(), others, retain_graph=True, allow_unused=True)
            assert all(g is None or not g.any() for g in crossed)
