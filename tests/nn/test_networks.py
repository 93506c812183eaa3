"""Whole networks in bfloat16 say what PyTorch's own operators say, and never use old weights."""

import copy

import pytest
import torch

from smbrl.nn import kernels, networks
from smbrl.nn.heads import ScalarEnsemble
from smbrl.nn.mlp import MLP
from smbrl.nn.target import move_towards

pytestmark = pytest.mark.skipif(not kernels.networks(), reason="no C compiler or a processor without AVX512-BF16")

SHAPES = [((6, 3), [32, 16], 5), ((7,), [48], 1), ((130, 10), [128] * 4, 20), ((3,), [33, 70], 18)]


def bfloat16():
    return torch.autocast("cpu", torch.bfloat16)


def results(module, inputs, **options):
    """Output and gradients of inputs and parameters."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    with bfloat16():
        y = module(*leaves, **options)
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    found = torch.autograd.grad((y.float() * weights).sum(), [*leaves, *module.parameters()])
    return [y.detach().float(), *found]


def close(mine, theirs, share=0.03):
    for a, b in zip(mine, theirs, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype == torch.float32
        assert float((a - b).norm()) <= share * float(b.norm()) + 1e-6


def exact(module, inputs, **options):
    """In float32 by PyTorch."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    with networks.disabled():
        y = module(*leaves, **options)
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), [*leaves, *module.parameters()])]


def perturbed(module):
    """So that every parameter matters."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 25, 200])
def test_an_mlp_and_its_gradients(shape, rows):
    torch.manual_seed(0)
    module = perturbed(MLP(*shape))
    inputs = [torch.randn(rows, size) for size in shape[0]]
    close(results(module, inputs), exact(module, inputs))


@pytest.mark.parametrize("heads", [slice(None), slice(1, None), slice(0, 1)])
@pytest.mark.parametrize("rows", [1, 97])
def test_an_ensemble_and_its_gradients(heads, rows):
    torch.manual_seed(0)
    module = perturbed(ScalarEnsemble(3, (20, 3), 32, 3))
    inputs = [torch.randn(rows, 20), torch.randn(rows, 3)]
    close(results(module, inputs, heads=heads), exact(module, inputs, heads=heads))


def test_inputs_that_broadcast_and_their_gradients():
    torch.manual_seed(0)
    module = perturbed(MLP((6, 3, 2), [32, 32], 4))
    inputs = [torch.randn(5, 10, 6), torch.randn(5, 1, 3), torch.randn(1, 2)]
    close(results(module, inputs), exact(module, inputs))


def test_no_rows_are_no_error():
    module = MLP(4, [16], 2)
    with bfloat16():
        assert module(torch.zeros(0, 4)).shape == (0, 2)


def test_inputs_may_be_bfloat16():
    module, x = MLP(6, [32], 4), torch.randn(30, 6).bfloat16()
    with bfloat16(), torch.no_grad():
        assert torch.equal(module(x), module(x.float()))


def test_is_used_in_bfloat16_only():
    module, x = MLP(6, [32], 4), torch.randn(30, 6)
    assert not networks.usable([x])
    with bfloat16():
        assert networks.usable([x])
        with networks.disabled():
            assert not networks.usable([x])
            assert module(x).dtype == torch.float32


def test_too_wide_a_network_is_left_to_pytorch():
    module, x = MLP(6, [600], 4), torch.randn(30, 6)
    assert not networks.Network(module.described()).fits
    with bfloat16():
        close([module(x).detach()], [exact(module, [x])[0]])


@pytest.mark.parametrize("change", ["step", "load", "lerp", "assign"])
def test_changed_weights_are_seen(change):
    torch.manual_seed(0)
    module, other, x = MLP(6, [32], 4), MLP(6, [32], 4), torch.randn(30, 6)
    with bfloat16(), torch.no_grad():
        before = module(x)
    if change == "step":
        for parameter in module.parameters():
            parameter.grad = torch.ones_like(parameter)
        torch.optim.Adam(module.parameters(), lr=0.1, fused=True).step()
    elif change == "lerp":
        move_towards(module, other, 0.2)
    else:
        module.load_state_dict(other.state_dict(), assign=change == "assign")
    with bfloat16(), torch.no_grad():
        after = module(x)
        fresh = copy.deepcopy(module)(x)
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh)


def test_weights_changed_before_the_backward_pass_are_an_error():
    module = MLP(6, [32], 4)
    with bfloat16():
        loss = module(torch.randn(30, 6)).sum()
    with torch.no_grad():
        module.layers[0].weight.mul_(2.0)
    with pytest.raises(RuntimeError, match="changed between"):
        torch.autograd.grad(loss, list(module.parameters()))


def test_parameters_of_another_type_are_an_error_not_garbage():
    module = MLP(6, [32], 4).double()
    with bfloat16(), pytest.raises(RuntimeError, match="contiguous float32"):
        module(torch.randn(3, 6))


def test_nan_goes_through():
    module = MLP(6, [32, 32], 4)
    x = torch.randn(3, 6)
    x[1, 2] = torch.nan
    with bfloat16(), torch.no_grad():
        y = module(x)
    assert y[1].isnan().all()
    assert not y[[0, 2]].isnan().any()


def test_threads_give_the_same_numbers():
    torch.manual_seed(0)
    module = perturbed(MLP((6, 3), [32, 32], 4))
    inputs = [torch.randn(1000, 4, 6), torch.randn(1000, 1, 3)]
    alone = results(module, inputs)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        together, again = results(module, inputs), results(module, inputs)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(alone[0], together[0])
    for a, b, c in zip(alone, together, again, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
        assert torch.equal(b, c)
