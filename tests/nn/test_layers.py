"""The compiled kernels say what PyTorch's own operators say."""

import pytest
import torch
import torch.nn.functional as F

from smbrl.nn import kernels, layers

needs_kernels = pytest.mark.skipif(kernels.library()[0] is None, reason=kernels.library()[1])


def results(function, *inputs):
    """Output and gradients."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    weights = torch.linspace(-1, 1, y.numel()).view_as(y).to(y.dtype)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), leaves)]


@needs_kernels
@pytest.mark.parametrize("groups", [1, 5])
def test_linear_elu_and_its_gradients(monkeypatch, groups):
    torch.manual_seed(0)
    inputs = torch.randn(20, 7), torch.randn(33, 7), torch.randn(groups, 33)
    mine = results(layers.linear_elu, *inputs)
    assert all(g.is_contiguous() for g in mine)  # fused Adam relies on it
    monkeypatch.setattr(kernels, "usable", lambda x: False)
    for a, b in zip(mine, results(layers.linear_elu, *inputs), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@needs_kernels
def test_batched_linear_elu_and_its_gradients(monkeypatch):
    torch.manual_seed(0)
    inputs = torch.randn(3, 20, 7), torch.randn(3, 7, 33), torch.randn(3, 33)
    mine = results(layers.batched_linear_elu, *inputs)
    monkeypatch.setattr(kernels, "usable", lambda x: False)
    for a, b in zip(mine, results(layers.batched_linear_elu, *inputs), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@needs_kernels
def test_norm_tanh_and_its_gradients(monkeypatch):
    torch.manual_seed(0)
    inputs = torch.randn(20, 3, 33), torch.randn(3, 33), torch.randn(3, 33)
    mine = results(layers.norm_tanh, *inputs)
    monkeypatch.setattr(kernels, "usable", lambda x: False)
    for a, b in zip(mine, results(layers.norm_tanh, *inputs), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


@needs_kernels
def test_elu_is_exact_to_rounding_and_lets_nan_through():
    x = torch.cat([torch.linspace(-100, 10, 10_001), -torch.logspace(-8, 1, 1001), torch.tensor([torch.inf])])
    y = x.view(1, -1).clone()
    kernels.call("smbrl_bias_elu", y, torch.zeros(1, y.numel()), 1, 1, y.numel())
    torch.testing.assert_close(y[0], F.elu(x.double()).float(), atol=1e-6, rtol=1e-3)
    y = torch.tensor([[torch.nan, -torch.inf]])
    kernels.call("smbrl_bias_elu", y, torch.zeros(1, 2), 1, 1, 2)
    assert bool(y[0, 0].isnan())
    assert float(y[0, 1]) == pytest.approx(-1.0)


def test_kernels_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("SMBRL_NO_KERNELS", "1")
    assert kernels.library.__wrapped__() == (None, "switched off by SMBRL_NO_KERNELS")


def test_a_missing_compiler_is_said_and_survived(monkeypatch):
    monkeypatch.delenv("SMBRL_NO_KERNELS", raising=False)
    monkeypatch.setenv("CC", "no-such-compiler-7")
    loaded, line = kernels.library.__wrapped__()
    assert loaded is None
    assert "no-such-compiler-7" in line
    assert "\n" not in line
