import pytest
import torch
from skimo_samples import SPEC, H, Skills, Z
from smbrl_plugins.encoders.fourier import FourierEncoder
from smbrl_plugins.skills.skimo_vae import LSTMSkiMoVAE, SkiMoVAE

from smbrl.errors import SmbrlError
from smbrl.testing import assert_conforms


def batch(n=3):
    g = torch.Generator().manual_seed(0)
    return torch.rand(6, n, H, 4, generator=g) * 40, torch.rand(6, n, H, 2, generator=g) * 2 - 1


@pytest.mark.parametrize("part", [SkiMoVAE, LSTMSkiMoVAE])
def test_skill_models_keep_their_contract(part):
    assert_conforms(part)


def test_loss_is_weighted_cloning_error_plus_kl():
    torch.manual_seed(0)
    model = Skills(SPEC)
    obs, actions = batch()
    mask = torch.ones(6, 3)
    mask[0, 1:] = 0
    losses = model.loss(obs, actions, mask, torch.Generator().manual_seed(3))
    posterior = model.posterior(obs, actions)
    torch.testing.assert_close(losses.skill, posterior.rsample(torch.Generator().manual_seed(3)))
    error, kl, count = 0.0, 0.0, 0
    for b in range(6):
        for n in range(3):
            if mask[b, n]:
                count += 1
                kl += float(0.5 * (posterior.std[b, n] ** 2 + posterior.mean[b, n] ** 2 - 1).sum())
                kl -= float(posterior.std[b, n].log().sum())
                for t in range(H):
                    played = model.act(obs[b, n, t], losses.skill[b, n])
                    error += float(((played - actions[b, n, t]) ** 2).mean()) / H
    assert float(losses.total) == pytest.approx(2.0 * error / count + 1e-4 * kl / count, rel=1e-4)


def test_posterior_reads_the_first_state_and_all_actions():
    torch.manual_seed(0)
    model = Skills(SPEC)
    obs, actions = batch()
    later = obs.clone()
    later[..., 1:, :] += 1.0
    assert torch.equal(model.posterior(obs, actions).mean, model.posterior(later, actions).mean)
    other = actions.clone()
    other[..., -1, :] *= -1
    assert not torch.equal(model.posterior(obs, actions).mean, model.posterior(obs, other).mean)


def test_lstm_posterior_reads_later_states_too():
    torch.manual_seed(0)
    model = LSTMSkiMoVAE(SPEC, skill=Z, horizon=H, latent=16, hidden=16)
    obs, actions = batch()
    later = obs.clone()
    later[..., 1:, :] += 1.0
    assert not torch.equal(model.posterior(obs, actions).mean, model.posterior(later, actions).mean)


def test_parameter_counts_are_the_papers():
    maze = SkiMoVAE(SPEC)
    assert sum(p.numel() for p in maze.encoder.parameters()) == 17_152
    assert sum(p.numel() for p in maze.inference.parameters()) == 71_188
    assert sum(p.numel() for p in maze.policy.parameters()) == 67_844
    kitchen = LSTMSkiMoVAE(type(SPEC).plain(30, 9), latent=256)
    assert sum(p.numel() for p in kitchen.inference.parameters()) == 204_820


def test_cloning_some_steps_has_the_expectation_of_cloning_all():
    torch.manual_seed(0)
    full = SkiMoVAE(SPEC, horizon=10, hidden=16, layers=1, kl_weight=0.0)
    some = SkiMoVAE(SPEC, horizon=10, hidden=16, layers=1, kl_weight=0.0, cloned_steps=3)
    some.load_state_dict(full.state_dict())
    with torch.no_grad():  # no noise in the skill: only the choice of steps is random
        for model in (full, some):
            model.inference.mlp.linears[-1].bias[10:] = -20.0
    g = torch.Generator().manual_seed(0)
    obs = (torch.rand(64, 5, 10, 4, generator=g) * 40) * torch.linspace(0.2, 1, 10).view(1, 1, 10, 1)
    actions = torch.rand(64, 5, 10, 2, generator=g) * torch.linspace(-1, 1, 10).view(1, 1, 10, 1)
    mask = torch.ones(64, 5)
    exact = float(full.loss(obs, actions, mask, g).total)
    sampled = torch.stack([some.loss(obs, actions, mask, g).total.detach() for _ in range(60)])
    assert float(sampled.mean()) == pytest.approx(exact, abs=4 * float(sampled.std()) / 60**0.5 + 1e-5)


def test_an_impossible_number_of_cloned_steps_is_one_line():
    with pytest.raises(SmbrlError, match=r"cloned_steps is 11; expected 1 to 10"):
        SkiMoVAE(SPEC, cloned_steps=11)


@pytest.mark.parametrize("encoder", [None, FourierEncoder])
def test_fast_policy_equals_act(encoder):
    torch.manual_seed(0)
    model = SkiMoVAE(SPEC) if encoder is None else SkiMoVAE(SPEC, encoder=encoder)
    obs, skill = torch.rand(7, 4) * 40, torch.rand(7, 10) * 2 - 1
    fast = model.fast_policy()
    for rows in (slice(0, 1), slice(None)):
        played = torch.from_numpy(fast(obs[rows].numpy(), skill[rows].numpy()))
        torch.testing.assert_close(played, model.act(obs[rows], skill[rows]).detach(), atol=1e-5, rtol=0)


def test_cloning_leaves_the_policys_spread_alone():
    model = Skills(SPEC)
    obs, actions = batch()
    total = model.loss(obs, actions, torch.ones(6, 3), torch.Generator()).total
    (grad,) = torch.autograd.grad(total, [model.policy.mlp.linears[-1].weight])
    assert bool(grad[:2].any())
    assert not grad[2:].any()
