import pytest
import torch

from smbrl.nn.precision import autocast, resolve
from smbrl.nn.regression import NormalHead, TwoHotHead, UnitDecoder, scalar_head


def test_a_normal_heads_loss_is_half_the_squared_error():
    head, x = NormalHead(4, [8]), torch.randn(5, 4)
    target = torch.randn(5)
    torch.testing.assert_close(head.nll(x, target=target), 0.5 * (head.mlp(x)[:, 0] - target) ** 2)


def test_a_two_hot_head_first_says_zero():
    head = TwoHotHead(4, [8])
    assert torch.equal(head(torch.randn(2, 3, 4)), torch.zeros(2, 3))


def test_a_two_hot_head_learns_numbers_of_any_size():
    torch.manual_seed(0)
    head, x = scalar_head("two_hot", 2, [32]), torch.eye(2)
    target = torch.tensor([3.0, 3000.0])
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(1000):
        optimiser.zero_grad()
        head.nll(x, target=target).sum().backward()
        optimiser.step()
    torch.testing.assert_close(head(x).detach(), target, rtol=0.1, atol=0.0)


def test_a_unit_decoders_loss_is_half_the_squared_error_summed():
    decoder, x = UnitDecoder(4, [8], 3), torch.randn(2, 5, 4)
    target = torch.randn(2, 5, 3)
    mean, std = decoder(x)
    torch.testing.assert_close(decoder.nll(x, target), 0.5 * ((mean - target) ** 2).sum(-1))
    assert torch.equal(std, torch.ones_like(mean))


@pytest.mark.parametrize("learns", [True, False])
def test_bfloat16_resolves_large_values_and_stays_near_float32(learns):
    """Where the processor has it, in networks of C; elsewhere by PyTorch's operators."""
    torch.manual_seed(0)
    head = NormalHead(32, [64, 64])
    with torch.no_grad():
        head.mlp.linears[-1].bias.fill_(100.0)
        head.mlp.linears[-1].weight.mul_(0.1)
    head.requires_grad_(learns)
    x = torch.randn(50, 32, requires_grad=True)
    exact = head(x)
    with autocast(resolve("cpu", "bfloat16")):
        rough = head(x)
    torch.testing.assert_close(rough, exact, atol=0.02, rtol=0)
    assert len(rough.unique()) > 25  # bfloat16 has steps of 0.5 there
    wanted = [x, *(p for p in head.parameters() if learns)]
    for a, b in zip(torch.autograd.grad(rough.sum(), wanted), torch.autograd.grad(exact.sum(), wanted), strict=True):
        torch.testing.assert_close(a, b, atol=0.05 * float(b.abs().max()), rtol=0)
