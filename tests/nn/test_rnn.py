import torch

from smbrl.nn.precision import autocast, resolve
from smbrl.nn.rnn import GRU


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
