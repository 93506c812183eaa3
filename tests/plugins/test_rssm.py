import math

import pytest
import torch
from dreamer_samples import Discrete, Normal
from smbrl_plugins.dynamics.rssm import RSSM
from smbrl_plugins.dynamics.rssm_beliefs import CategoricalBelief, GaussianBelief

from smbrl.errors import SmbrlError
from smbrl.testing import assert_conforms


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def softplus_inverse(x: float) -> float:
    return math.log(math.expm1(x))


def test_keeps_its_contract_with_either_belief():
    assert_conforms(RSSM)
    assert_conforms(RSSM, lambda latent, decision: RSSM(latent, decision, stochastic=6, classes=4))


def test_sizes_are_the_papers():
    model = RSSM(256, 2)
    assert (model.state, model.latent_size) == (230, 230)
    assert sum(p.numel() for p in model.parameters()) == 403_520
    assert RSSM(256, 2, deterministic=512, stochastic=32, classes=32).state == 512 + 1024


# -- beliefs -----------------------------------------------------------------------------------------
def test_kl_of_normals_by_hand():
    belief = GaussianBelief(2, floor=0.1)
    spread = [softplus_inverse(s - 0.1) for s in (0.5, 1.0, 2.0, 1.0)]
    mine, theirs = torch.tensor([1.0, 0.0, *spread[:2]]), torch.tensor([0.0, 0.0, *spread[2:]])
    # ln(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2, the second dimension adds nothing
    expected = math.log(2.0 / 0.5) + (0.25 + 1.0) / 8.0 - 0.5
    assert float(belief.kl(mine, theirs)) == pytest.approx(expected, rel=1e-5)


def test_kl_of_categoricals_with_unimix_by_hand():
    belief = CategoricalBelief(1, 2, unimix=0.1)
    mine, theirs = torch.tensor([math.log(3.0), 0.0]), torch.tensor([0.0, 0.0])
    p = 0.9 * 0.75 + 0.05
    expected = p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5)
    assert float(belief.kl(mine, theirs)) == pytest.approx(expected, rel=1e-5)
    # two groups add up, and no certainty makes it infinite
    two = CategoricalBelief(2, 2, unimix=0.1)
    assert float(two.kl(mine.repeat(2), theirs.repeat(2))) == pytest.approx(2 * expected, rel=1e-5)
    assert torch.isfinite(two.kl(torch.tensor([99.0, -99.0, 99.0, -99.0]), torch.tensor([-99.0, 99.0, -99.0, 99.0])))


def test_normal_draws_have_the_beliefs_moments():
    belief = GaussianBelief(1)
    raw = torch.tensor([2.0, softplus_inverse(0.4)]).expand(20_000, 2)
    drawn = belief.draw(raw, belief.noise(20_000, generator=seeded(), device=raw.device))
    assert float(drawn.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.02)
    assert float(belief.draw(raw[0], None)) == 2.0


def test_categorical_draws_have_the_beliefs_frequencies_and_its_gradient():
    belief = CategoricalBelief(1, 3, unimix=0.01)
    raw = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    noise = belief.noise(20_000, generator=seeded(), device=raw.device)
    drawn = belief.draw(raw.expand(20_000, 3), noise)
    torch.testing.assert_close(drawn.detach().sum(-1), torch.ones(20_000))
    assert float((drawn.detach().amax(-1) - 1).abs().max()) < 1e-6
    probabilities = belief.probabilities(raw)[0]
    torch.testing.assert_close(drawn.mean(0), probabilities, atol=0.02, rtol=0)
    # straight through: as if the probabilities themselves had been returned
    weight = torch.tensor([0.3, -1.0, 2.0])
    (mine,) = torch.autograd.grad((belief.draw(raw, noise[0]) * weight).sum(), raw)
    (theirs,) = torch.autograd.grad((belief.probabilities(raw)[0] * weight).sum(), raw)
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(belief.draw(raw, None).detach(), torch.tensor([0.0, 0.0, 1.0]))


# -- the model ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [Normal, Discrete])
def test_following_a_sequence_equals_observing_step_by_step(kind):
    torch.manual_seed(0)
    model = kind(8, 3)
    latent, decision = torch.randn(4, 6, 8), torch.rand(4, 5, 3)
    seen = model.follow(latent, decision, seeded(5))
    noise = model.belief.noise(6, 4, generator=seeded(5), device=latent.device)
    state, previous = model.blank(4), torch.zeros(4, 3)
    for t in range(6):
        h = model._recur(state, previous)
        torch.testing.assert_close(seen.prior[:, t], model.prior(h), atol=1e-5, rtol=1e-4)
        raw = model.posterior(h, latent[:, t])
        torch.testing.assert_close(seen.posterior[:, t], raw, atol=1e-5, rtol=1e-4)
        state = torch.cat([h, model.belief.draw(raw, noise[t])], -1)
        torch.testing.assert_close(seen.states[:, t], state, atol=1e-5, rtol=1e-4)
        previous = decision[:, t] if t < 5 else previous


@pytest.mark.parametrize("kind", [Normal, Discrete])
def test_a_step_draws_from_the_prior_and_an_observation_from_the_posterior(kind):
    torch.manual_seed(0)
    model = kind(8, 3)
    state, decision, latent = torch.randn(4, model.state), torch.rand(4, 3), torch.randn(4, 8)
    h = model._recur(state, decision)
    for mine, raw in (
        (model.step(state, decision, seeded(1)), model.prior(h)),
        (model.observe(state, decision, latent, seeded(1)), model.posterior(h, latent)),
    ):
        noise = model.belief.noise(4, generator=seeded(1), device=raw.device)
        torch.testing.assert_close(mine, torch.cat([h, model.belief.draw(raw, noise)], -1))
    assert not torch.equal(model.step(state, decision, seeded(1)), model.step(state, decision, seeded(2)))


def test_an_observation_that_says_nothing_has_no_kl():
    """A posterior that ignores the observation and copies the prior."""
    model = Normal(8, 3)
    with torch.no_grad():
        first = model.posterior.linears[0].weight
        first.zero_()[:, :16] = model.prior.linears[0].weight
        model.posterior.linears[0].bias.copy_(model.prior.linears[0].bias)
        model.posterior.linears[1].load_state_dict(model.prior.linears[1].state_dict())
    seen = model.follow(torch.randn(4, 6, 8), torch.rand(4, 5, 3), seeded())
    kl = model.belief.kl(seen.posterior, seen.prior)
    torch.testing.assert_close(kl, torch.zeros(4, 6), atol=1e-5, rtol=0)


def test_the_future_has_no_influence_on_the_past():
    model = Normal(8, 3)
    latent, decision = torch.randn(4, 6, 8), torch.rand(4, 5, 3)
    other, later = latent.clone(), decision.clone()
    other[:, 4:] += 1.0
    later[:, 3:] += 1.0
    mine, theirs = model.follow(latent, decision, seeded()), model.follow(other, later, seeded())
    assert torch.equal(mine.states[:, :4], theirs.states[:, :4])
    assert not torch.equal(mine.states[:, 4], theirs.states[:, 4])


def test_one_class_is_refused_in_one_line():
    with pytest.raises(SmbrlError, match="at least 2"):
        RSSM(8, 3, classes=1)
