import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from smbrl.interfaces import TanhNormal
from smbrl.nn.heads import GaussianDecoder, ScalarEnsemble, TanhNormalHead, tanh_normal


def one_head(ensemble, j, x):
    """Head j written out."""
    w = ensemble.width
    x = F.linear(x, ensemble.first_weight[j], ensemble.first_bias[j])
    x = torch.tanh(F.layer_norm(x, (w,), ensemble.norm_weight[j], ensemble.norm_bias[j], eps=1e-5))
    for weight, bias in zip(ensemble.weights, ensemble.biases, strict=True):
        x = F.elu(x @ weight[j] + bias[j])
    return (x @ ensemble.last_weight[j] + ensemble.last_bias[j]).squeeze(-1)


@pytest.fixture
def ensemble():
    torch.manual_seed(0)
    ensemble = ScalarEnsemble(3, (6, 2), 16, 4)
    with torch.no_grad():  # so that every parameter matters
        for parameter in ensemble.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return ensemble


def test_heads_computed_as_one_equal_each_alone(ensemble):
    h, z = torch.randn(4, 5, 6), torch.randn(4, 5, 2)
    together = ensemble(h, z)
    assert together.shape == (3, 4, 5)
    for j in range(3):
        torch.testing.assert_close(together[j], one_head(ensemble, j, torch.cat([h, z], -1)), atol=1e-5, rtol=1e-4)


def test_some_heads_equal_those_of_all(ensemble):
    h, z = torch.randn(7, 6), torch.randn(7, 2)
    torch.testing.assert_close(ensemble(h, z, heads=slice(1, None)), ensemble(h, z)[1:])
    torch.testing.assert_close(ensemble(h, z, heads=slice(0, 1)), ensemble(h, z)[:1])


def test_one_state_with_many_decisions_broadcasts(ensemble):
    h, z = torch.randn(3, 1, 6), torch.randn(3, 50, 2)
    torch.testing.assert_close(ensemble(h, z), ensemble(h.expand(-1, 50, -1), z), atol=1e-5, rtol=1e-4)


def test_a_head_has_the_papers_parameter_count_and_starts_small():
    count = sum(p.numel() for p in ScalarEnsemble(2, (128, 10), 128, 4).parameters())
    assert count == 135_426
    torch.manual_seed(0)
    out = ScalarEnsemble(2, (128, 10), 128, 4)(torch.randn(100, 128), torch.randn(100, 10))
    assert float(out.detach().abs().max()) < 0.05


def test_values_of_a_hundred_are_resolved_in_bfloat16(ensemble):
    with torch.no_grad():
        ensemble.last_bias.fill_(100.0)
    h, z = torch.randn(200, 6), torch.randn(200, 2)
    with torch.autocast("cpu", torch.bfloat16):
        out = ensemble(h, z)
    assert out.dtype == torch.float32
    # bfloat16 itself knows 100 and 100.5 only
    assert float((out - ensemble(h, z)).abs().max()) < 0.05
    assert out.unique().numel() > 500


def test_tanh_normal_bounds_and_start():
    extreme = tanh_normal(torch.tensor([[1e6, -1e6, 1e6, -1e6]]))
    torch.testing.assert_close(extreme.mean, torch.tensor([[5.0, -5.0]]))
    torch.testing.assert_close(extreme.std, torch.tensor([[math.exp(2.0) + 1e-4, math.exp(-10.0) + 1e-4]]))
    torch.testing.assert_close(tanh_normal(torch.zeros(1, 2)).std, torch.tensor([[1.0001]]))
    torch.testing.assert_close(tanh_normal(torch.zeros(1, 2), log_std=False).std, torch.tensor([[5.0001]]))


def test_closed_form_kl_equals_torch_and_monte_carlo():
    torch.manual_seed(0)
    p = TanhNormalHead(4, [8], 3)(torch.randn(4))
    q = TanhNormalHead(4, [8], 3)(torch.randn(4))
    kl = p.kl(q)
    torch.testing.assert_close(kl, kl_divergence(Normal(p.mean, p.std), Normal(q.mean, q.std)).sum(-1))
    # of the squashed distributions, by sampling: tanh does not change it
    x = TanhNormal(p.mean.expand(200_000, 3), p.std.expand(200_000, 3)).rsample(torch.Generator().manual_seed(0))
    sampled = (p.log_prob(x) - q.log_prob(x)).mean()
    assert abs(float(sampled - kl)) < 0.03 * float(kl) + 0.01
    unit = TanhNormal(torch.zeros(3), torch.ones(3))
    torch.testing.assert_close(p.kl_unit(), p.kl(unit))


def test_kl_of_a_saturated_posterior_is_exact():
    wide = TanhNormal(torch.zeros(10), torch.full((10,), 7.4))
    assert float(wide.kl_unit()) == pytest.approx(248.8, abs=0.1)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 0.3), (-1.5, 0.1), (0.0, 2.0)])
def test_entropy_after_tanh_is_that_of_the_density_in_the_box(mean, std):
    policy = TanhNormal(torch.tensor([mean], dtype=torch.float64), torch.tensor([std], dtype=torch.float64))
    x = torch.linspace(-12.0, 12.0, 200_001, dtype=torch.float64)  # before tanh, where the density is smooth
    density = Normal(mean, std).log_prob(x)
    slope = math.log(2.0) * 2 - 2 * x - 2 * F.softplus(-2 * x)  # ln(1 - tanh(x)^2)
    entropy = -torch.trapezoid(density.exp() * (density - slope), x)
    assert float(policy.squashed_entropy()) == pytest.approx(float(entropy), abs=0.03)


def test_entropy_after_tanh_is_largest_for_a_policy_that_is_undecided():
    mean, std = torch.tensor([0.0, 0.0, 0.0, 3.0]).unsqueeze(-1), torch.tensor([0.1, 1.0, 5.0, 1.0]).unsqueeze(-1)
    entropy = TanhNormal(mean, std).squashed_entropy()
    assert int(entropy.argmax()) == 1
    assert float(entropy.max()) < math.log(2.0)


def test_decoder_nll_equals_torch():
    decoder = GaussianDecoder(8, [16, 16], 4)
    latent, target = torch.randn(5, 8), torch.randn(5, 4)
    mean, std = decoder(latent)
    assert bool(((std >= 0.1) & (std <= 1.5)).all())
    torch.testing.assert_close(decoder.nll(latent, target), -Normal(mean, std).log_prob(target).sum(-1))
