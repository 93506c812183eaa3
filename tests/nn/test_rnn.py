import pytest
import torch

from smbrl.nn import kernels
from smbrl.nn.precision import autocast, resolve
from smbrl.nn.rnn import GRU, gated


def twins() -> tuple[GRU, torch.nn.GRUCell]:
    torch.manual_seed(0)
    gru, cell = GRU(6, 16), torch.nn.GRUCell(6, 16)
    names = {"weight_ih": "input_weight", "weight_hh": "state_weight", "bias_ih": "input_bias", "bias_hh": "state_bias"}
    gru.load_state_dict({mine: cell.state_dict()[theirs] for theirs, mine in names.items()})
    return gru, cell


def test_a_step_and_its_gradient_equal_pytorchs_cell():
    gru, cell = twins()
    x, h = torch.randn(5, 6, requires_grad=True), torch.randn(5, 16, requires_grad=True)
    mine, theirs = gru(gru(x, h)[:, :6], h), cell(cell(x, h)[:, :6], h)
    torch.testing.assert_close(mine, theirs)
    weight = torch.randn(5, 16)
    mine_grads = torch.autograd.grad((mine * weight).sum(), [x, h, *gru.parameters()])
    theirs_grads = torch.autograd.grad(
        (theirs * weight).sum(), [x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    )
    for a, b in zip(mine_grads, theirs_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_leading_dims_are_any():
    gru, _ = twins()
    x, h = torch.randn(2, 3, 6), torch.randn(2, 3, 16)
    torch.testing.assert_close(gru(x, h)[1, 2], gru(x[1, 2], h[1, 2]))


def test_bfloat16_stays_near_float32_over_many_steps():
    gru, _ = twins()
    x, h, rough = torch.randn(5, 6), torch.zeros(5, 16), torch.zeros(5, 16)
    for _ in range(50):
        h = gru(x, h)
        with autocast(resolve("cpu", "bfloat16")):
            rough = gru(x, rough)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, h, atol=0.03, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_equal_pytorchs_operators(dtype, monkeypatch):
    torch.manual_seed(0)
    x, h = (
        (4 * torch.randn(7, 3 * 20)).to(dtype).requires_grad_(),
        (4 * torch.randn(7, 3 * 20)).to(dtype).requires_grad_(),
    )
    state, weight = torch.randn(7, 20, requires_grad=True), torch.randn(7, 20)
    found = []
    for usable in (kernels.usable, lambda *_: False):
        monkeypatch.setattr(kernels, "usable", usable)
        out = gated(x, h, state)
        found.append([out, *torch.autograd.grad((out * weight).sum(), [x, h, state])])
        with torch.no_grad():
            torch.testing.assert_close(gated(x, h, state), out.detach())
    for mine, theirs in zip(*found, strict=True):
        # the operators round each step of a bfloat16 gradient, the kernel rounds it once
        torch.testing.assert_close(mine, theirs, rtol=1e-4 if dtype == torch.float32 else 2e-2, atol=1e-5)


def test_saturated_gates_stay_finite():
    huge = torch.tensor([[1e4, -1e4, 1e4]])
    for x in (huge, -huge, 0 * huge):
        out = gated(x, 0 * x, torch.tensor([[0.5]]))
        assert bool(torch.isfinite(out).all())
        assert float(out.abs().max()) <= 1.0
