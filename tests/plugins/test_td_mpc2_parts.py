"""TD-MPC2's parts, each against its definition."""

import math

import pytest
import torch
import torch.nn.functional as F
from smbrl_plugins.dynamics.simnorm import SimNormDynamics
from smbrl_plugins.encoders.simnorm import SimNormEncoder
from smbrl_plugins.heads.plain import PlainHeads
from smbrl_plugins.heads.td_mpc2 import TDMPC2Heads

from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec
from smbrl.nn.normed import NormedEnsemble, NormedMLP
from smbrl.nn.simnorm import SimNorm
from smbrl.testing import assert_conforms

SPEC = TaskSpec(4, 2, (-0.5, -0.5, 0.0, 0.0), (0.025, 0.025, 0.1, 0.1), position=(0, 1), time_limit=100)


@pytest.mark.parametrize("part", [SimNormEncoder, SimNormDynamics, TDMPC2Heads, PlainHeads])
def test_keeps_its_contract(part):
    assert_conforms(part)


def test_a_steady_policy_keeps_its_contract():
    assert_conforms(PlainHeads, lambda *sizes: PlainHeads(*sizes, policy_std=0.05))


def test_simnorm_is_a_softmax_in_every_group():
    x = torch.tensor([[0.0, math.log(3.0), 1.0, 1.0]])
    torch.testing.assert_close(SimNorm(2)(x), torch.tensor([[0.25, 0.75, 0.5, 0.5]]))
    y = SimNorm(8)(10 * torch.randn(5, 3, 64))
    torch.testing.assert_close(y.view(5, 3, 8, 8).sum(-1), torch.ones(5, 3, 8))


def test_encoded_and_imagined_latents_are_made_of_simplices():
    encoder, dynamics = SimNormEncoder(SPEC, 32), SimNormDynamics(32, 2, hidden=16)
    state = encoder(torch.rand(5, 4) * 40)
    for _ in range(3):
        torch.testing.assert_close(state.view(5, 4, 8).sum(-1), torch.ones(5, 4))
        state = dynamics.step(state, torch.rand(5, 2))


def test_groups_that_do_not_fit_are_refused_in_one_line():
    with pytest.raises(SmbrlError, match=r"SimNormEncoder\.group is 8, which does not divide the latent of 30"):
        SimNormEncoder(SPEC, 30)
    with pytest.raises(SmbrlError, match=r"SimNormDynamics\.group is 7"):
        SimNormDynamics(32, 2, group=7)


def test_fourier_features_reach_a_simnorm_encoder():
    encoder = SimNormEncoder(SPEC, 32, octaves=6)
    assert encoder.mlp.layers[0].in_features == 4 + 2 * 6 * 2


def test_normed_mlp_by_hand():
    torch.manual_seed(0)
    mlp = NormedMLP((3, 2), [8], 4)
    a, b = torch.randn(5, 3), torch.randn(5, 2)
    x = torch.cat([a, b], -1)
    hidden = F.mish(F.layer_norm(mlp.layers[0](x), (8,)))
    torch.testing.assert_close(mlp(a, b), mlp.layers[1](hidden))
    torch.testing.assert_close(mlp(a[:1], b)[0], mlp(a, b)[0])  # leading dims broadcast
    normed = NormedMLP(3, [8], 4, norm_last=True)(a)
    torch.testing.assert_close(normed.mean(-1), torch.zeros(5), atol=1e-5, rtol=0)
    assert float(mlp.layers[0].weight.detach().abs().max()) <= 0.04


def test_an_ensembles_networks_are_separate_and_equal_loops():
    torch.manual_seed(0)
    ensemble = NormedEnsemble(3, (4, 2), 8, 2, 5)
    with torch.no_grad():
        for parameter in ensemble.parameters():
            parameter.normal_()
    z, a = torch.randn(7, 4), torch.randn(7, 2)
    out = ensemble(z, a)
    for m in range(3):
        x = torch.cat([z, a], -1)
        for w, b, g, s in zip(
            ensemble.weights, ensemble.biases, ensemble.norm_weights, ensemble.norm_biases, strict=True
        ):
            x = F.mish(F.layer_norm(x @ w[m] + b[m], (8,), g[m, 0], s[m, 0]))
        torch.testing.assert_close(out[m], x @ ensemble.last_weight[m] + ensemble.last_bias[m], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ensemble(z, a, heads=slice(1, None)), out[1:])


def test_dropout_is_drawn_from_the_generator_and_spares_the_reward():
    ensemble = NormedEnsemble(3, (4,), 64, 1, 2, dropout=0.5, undropped=1)
    with torch.no_grad():
        ensemble.last_weight.normal_()
    z = torch.randn(7, 4)
    plain = ensemble(z)
    first, second = (ensemble(z, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(first, second)
    torch.testing.assert_close(first[0], plain[0])
    assert not torch.allclose(first[1:], plain[1:])
    x = torch.ones(3, 1000, 64)
    kept = ensemble.dropped(x, range(3), torch.Generator().manual_seed(0))
    assert float(kept[1:].mean()) == pytest.approx(1.0, abs=0.02)
    torch.testing.assert_close(kept[0], x[0])


def test_rewards_and_values_start_at_zero_and_their_error_is_a_cross_entropy():
    scalars = TDMPC2Heads(16, 3, 32, 2, 5).scalars()
    z, a = torch.randn(4, 16), torch.rand(4, 3)
    raw = scalars.raw(z, a)
    assert raw.shape == (6, 4, 101)
    assert not scalars(z, a).any()
    # equal logits: ln 101, whatever the target
    torch.testing.assert_close(scalars.error(raw, torch.randn(4) * 50), torch.full((6, 4), math.log(101.0)))
    # the target symlog(e - 1) = 1 is the sixth bin above the middle (bins are 0.2 apart): sure of it, the error is 0
    sure = torch.full((1, 1, 101), -50.0)
    sure[..., 55] = 50.0
    assert float(scalars.error(sure, torch.tensor([math.e - 1.0]))) == pytest.approx(0.0, abs=1e-4)
    assert float(scalars.decode(sure)) == pytest.approx(math.e - 1.0, rel=1e-4)


def test_two_random_critics_speak():
    heads = TDMPC2Heads(16, 3, 32, 2, 5)
    values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]).view(5, 1)
    pairs = {values[i, 0].item() + values[j, 0].item() for i in range(5) for j in range(i)}
    seen = set()
    for seed in range(100):
        g = torch.Generator().manual_seed(seed)
        low = heads.pessimistic(values, torch.Generator().manual_seed(seed)).item()
        mean = heads.expected(values, g).item()
        assert low <= mean
        assert 2.0 * mean in pairs
        assert low == min(pair for pair in values[:, 0].tolist() if 2.0 * mean - pair in values[:, 0].tolist())
        seen.add(mean)
    assert len(seen) == 10


def test_the_policys_log_deviation_stays_between_its_bounds():
    policy = TDMPC2Heads(16, 3, 32, 2, 5).policy()
    found = policy(torch.randn(6, 16))
    raw = policy.mlp(torch.zeros(1, 16)).chunk(2, -1)[1]
    expected = (-10.0 + 0.5 * 12.0 * (torch.tanh(raw) + 1.0)).exp()
    torch.testing.assert_close(policy(torch.zeros(1, 16)).std, expected)
    assert bool((found.std >= math.exp(-10.0)).all() & (found.std <= math.exp(2.0)).all())
    with torch.no_grad():
        policy.mlp.layers[-1].bias[3:] = 100.0
    assert float(policy(torch.randn(1, 16)).std.detach().max()) == pytest.approx(math.exp(2.0), rel=1e-4)


def test_the_end_is_predicted_only_where_wanted():
    assert TDMPC2Heads(16, 3, 32, 2, 5).termination() is not None
    assert TDMPC2Heads(16, 3, 32, 2, 5, ends=False).termination() is None
    assert PlainHeads(16, 3, 32, 2, 2).termination() is None


def test_plain_heads_take_the_smallest_critic_and_draw_nothing():
    heads, g = PlainHeads(16, 3, 32, 2, 2), torch.Generator().manual_seed(0)
    before = g.get_state()
    values = torch.tensor([[3.0, 1.0], [2.0, 4.0]])
    assert heads.pessimistic(values, g).tolist() == [2.0, 1.0]
    assert heads.expected(values, g).tolist() == [2.0, 1.0]
    assert torch.equal(before, g.get_state())
