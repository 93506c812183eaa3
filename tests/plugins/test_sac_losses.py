"""Each loss against values computed by hand."""

import math

import pytest
import torch
from smbrl_plugins.agents.latent_mpc_losses import Targets
from smbrl_plugins.agents.sac_losses import (
    Critics,
    Divergence,
    actor_loss,
    critic_loss,
    goals,
    surprise,
    temperature_loss,
)
from torch.distributions import Normal, kl_divergence

from smbrl.interfaces import TanhNormal, TaskSpec, Windows

SPEC = TaskSpec(2, 1, (0.5, 0.0), (2.0, 1.0))


def windows(terminated=(0.0, 1.0)):
    n = len(terminated)
    return Windows(
        obs=torch.tensor([[[0.0, 0.0], [1.0, -1.0]]]).expand(n, 2, 2),
        decision=torch.zeros(n, 1, 1),
        reward=torch.full((n, 1), 3.0),
        terminated=torch.tensor(terminated)[:, None],
        mask=torch.ones(n, 1),
        lower_bound=torch.full((n, 1), -torch.inf),
    )


def policy(obs):
    return TanhNormal(obs[..., :1], torch.full_like(obs[..., :1], 0.5))


class Sums(torch.nn.Module):
    """Q_1 = sum of the observation + decision, Q_2 = that + 1."""

    def forward(self, obs, decision):
        q = obs.sum(-1) + decision[..., 0]
        return torch.stack([q + 1.0, q])


def test_log_density_of_a_sample_is_that_of_the_squashed_normal():
    mean, std = torch.tensor([0.3, -1.0, 4.0]), torch.tensor([0.5, 1.0, 0.2])
    action, found = TanhNormal(mean, std).rsample_with_log_prob(torch.Generator().manual_seed(0))
    raw = (mean + std * torch.randn(3, generator=torch.Generator().manual_seed(0))).double()
    torch.testing.assert_close(action.double(), torch.tanh(raw), atol=1e-6, rtol=0)
    # density of the normal over the derivative of tanh
    wanted = (Normal(mean.double(), std.double()).log_prob(raw) - torch.log(1 - torch.tanh(raw) ** 2)).sum()
    assert float(found) == pytest.approx(float(wanted), abs=1e-4)


def test_a_saturated_sample_keeps_its_density_and_its_gradient():
    mean = torch.tensor([12.0], requires_grad=True)
    _, found = TanhNormal(mean, torch.tensor([0.1])).rsample_with_log_prob(torch.Generator().manual_seed(0))
    # the density of tanh(x) grows like exp(2 x) there
    assert float(torch.autograd.grad(found, mean)[0]) == pytest.approx(2.0, abs=1e-3)


def test_cost_with_a_prior_is_the_closed_form_kl():
    prior = TanhNormal(torch.tensor([0.2]), torch.tensor([1.5]))
    here = policy(torch.tensor([1.0, 0.0]))
    _, found = Divergence(lambda obs: prior)(here, torch.zeros(2), torch.Generator().manual_seed(0))
    assert float(found) == pytest.approx(float(kl_divergence(Normal(1.0, 0.5), Normal(0.2, 1.5))), rel=1e-5)


def test_a_divergence_beyond_the_limit_gives_no_gradient():
    prior = TanhNormal(torch.zeros(1), torch.full((1,), 1e-2))
    mean = torch.tensor([3.0], requires_grad=True)
    _, found = Divergence(lambda obs: prior)(TanhNormal(mean, torch.ones(1)), torch.zeros(2), torch.Generator())
    assert float(found.detach()) == 100.0
    assert float(torch.autograd.grad(found, mean)[0]) == 0.0


@pytest.mark.parametrize("cost", [surprise, Divergence(lambda obs: TanhNormal(obs[..., :1] * 0, torch.ones(1)))])
def test_target_is_reward_plus_soft_value_unless_terminated(cost):
    w, alpha = windows(), torch.tensor(0.7)
    y = goals(
        w,
        policy=policy,
        critics=Sums(),
        cost=cost,
        alpha=alpha,
        targets=Targets(0.9),
        generator=torch.Generator().manual_seed(0),
    )
    following = w.obs[:, 1:]
    action, price = cost(policy(following), following, torch.Generator().manual_seed(0))
    value = float(following[0, 0].sum() + action[0, 0, 0] - 0.7 * price[0, 0])  # of the smaller critic
    assert y.shape == (2, 1)
    assert float(y[0]) == pytest.approx(3.0 + 0.9 * value, rel=1e-5)
    assert float(y[1]) == 3.0  # terminated: nothing comes after; a time-out is not marked, and bootstraps


def test_critic_loss_is_half_the_squared_errors_of_real_decisions():
    q = torch.tensor([[[1.0, 9.0]], [[2.0, 9.0]]])
    assert float(critic_loss(q, torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0]]))) == 0.5 * (4.0 + 1.0)


def test_actor_loss_weighs_the_cost_against_the_smaller_critic():
    q = torch.tensor([[[1.0], [5.0]], [[2.0], [4.0]]])
    price = torch.tensor([[10.0], [20.0]])
    found = actor_loss(q, price, torch.tensor(0.5), torch.ones(2, 1))
    assert float(found) == ((0.5 * 10.0 - 1.0) + (0.5 * 20.0 - 4.0)) / 2


@pytest.mark.parametrize(("price", "rises"), [(7.0, True), (3.0, False)])
def test_temperature_rises_while_the_cost_exceeds_its_target(price, rises):
    log_alpha = torch.tensor(math.log(2.0), requires_grad=True)
    loss = temperature_loss(log_alpha, 5.0, torch.tensor(price))
    assert float(loss.detach()) == pytest.approx(2.0 * (5.0 - price))
    gradient = float(torch.autograd.grad(loss, log_alpha)[0])
    assert gradient == pytest.approx(2.0 * (5.0 - price))
    assert (gradient < 0) == rises


def test_critics_see_normalised_observations():
    torch.manual_seed(0)
    critics = Critics(SPEC, 1, 2, None, 16, 16, 2)
    obs, z = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.1]])
    torch.testing.assert_close(critics(obs, z), critics.heads(torch.tensor([[6.5, 4.0]]), z))
    assert critics(obs, z).shape == (2, 1)
