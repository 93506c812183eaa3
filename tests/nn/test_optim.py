import copy
import math

import pytest
import torch
from torch import nn

from smbrl.nn.optim import Optimiser, held
from smbrl.nn.schedules import cosine, linear
from smbrl.nn.target import move_towards


def test_steps_as_adam_with_clipping_does():
    torch.manual_seed(0)
    mine = nn.Linear(4, 3)
    theirs = copy.deepcopy(mine)
    optimiser = Optimiser(mine.parameters(), 1e-2, clip=0.5)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-2, eps=1e-7)
    for _ in range(5):
        x = 10 * torch.randn(8, 4)
        norm = optimiser.minimise(mine(x).square().mean())
        adam.zero_grad()
        theirs(x).square().mean().backward()
        expected = nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        adam.step()
        torch.testing.assert_close(norm, expected)
        assert float(norm) > 0.5
    torch.testing.assert_close(mine.weight, theirs.weight)


def test_leaves_other_networks_without_gradient():
    own, other = nn.Linear(2, 2), nn.Linear(2, 2)
    Optimiser(own.parameters(), 1e-3).minimise(other(own(torch.randn(3, 2))).sum())
    assert all(p.grad is None for p in [*own.parameters(), *other.parameters()])


def test_parameters_outside_the_loss_do_not_move():
    used, unused = nn.Linear(2, 2), nn.Linear(2, 2)
    before = unused.weight.detach().clone()
    optimiser = Optimiser([*used.parameters(), *unused.parameters()], 1e-1)
    for _ in range(3):
        optimiser.minimise(used(torch.randn(3, 2)).square().sum())
    assert torch.equal(unused.weight, before)


def test_state_round_trip_gives_the_same_steps():
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    optimiser = Optimiser(net.parameters(), 1e-2)
    data = torch.randn(6, 8, 3)
    for x in data[:3]:
        optimiser.minimise(net(x).square().sum())
    twin = copy.deepcopy(net)
    other = Optimiser(twin.parameters(), 1e-2)
    other.load_state(copy.deepcopy(optimiser.state()))
    for x in data[3:]:
        optimiser.minimise(net(x).square().sum())
        other.minimise(twin(x).square().sum())
    assert torch.equal(net.weight, twin.weight)


def test_reset_forgets_the_moments():
    net = nn.Linear(1, 1)
    optimiser = Optimiser(net.parameters(), 1e-2)
    optimiser.minimise(net(torch.ones(1)).sum())
    assert optimiser.state()
    optimiser.reset()
    assert not optimiser.state()


def test_target_moves_exactly_and_once():
    online, target = nn.Linear(3, 3), nn.Linear(3, 3)
    before = [p.detach().clone() for p in target.parameters()]
    move_towards(target, online, 0.99)
    for old, new, source in zip(before, target.parameters(), online.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), 0.99 * old + 0.01 * source.detach())


def test_linear_schedule():
    assert linear(0, 0.5, 0.01, 100) == 0.5
    assert linear(50, 0.5, 0.01, 100) == pytest.approx(0.255)
    assert linear(1000, 0.5, 0.01, 100) == pytest.approx(0.01)
    assert linear(0, 1, 10, 0) == 10


def test_cosine_schedule_holds_then_falls():
    assert cosine(299, 1000, 0.3, 0.03) == pytest.approx(1.0)
    assert cosine(650, 1000, 0.3, 0.03) == pytest.approx(0.03 + 0.97 / 2)
    assert cosine(1000, 1000, 0.3, 0.03) == pytest.approx(0.03)
    assert cosine(5000, 1000, 0.3, 0.03) == pytest.approx(0.03)
    assert math.isclose(cosine(0, 10, 0.0, 0.0), 1.0)


def test_what_is_held_is_differentiated_through_but_not_into():
    inner, outer = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    outer.bias.requires_grad_(False)
    x = torch.randn(3, 2)
    (expected,) = torch.autograd.grad(outer(inner(x)).sum(), [inner.weight])
    with held(outer):
        loss = outer(inner(x)).sum()
    loss.backward()
    torch.testing.assert_close(inner.weight.grad, expected)
    assert outer.weight.grad is None
    assert (outer.weight.requires_grad, outer.bias.requires_grad) == (True, False)
