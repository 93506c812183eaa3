"""SPiRL's skills: the skill autoencoder and its prior."""

import pytest
import torch
from skimo_samples import SPEC
from smbrl_plugins.agents.offline import Pace, SkillsAlone
from smbrl_plugins.skills.spirl import LSTMSPiRLSkills, SPiRLSkills
from torch.distributions import Normal, kl_divergence

from smbrl.interfaces import Compute, SkillWindows
from smbrl.testing import assert_conforms

H, Z = 3, 5
BOTH = pytest.mark.parametrize("part", [SPiRLSkills, LSTMSPiRLSkills])


def make(part=SPiRLSkills, **settings):
    torch.manual_seed(0)
    return part(SPEC, **{"skill": Z, "horizon": H, "latent": 16, "hidden": 16, "layers": 2, **settings})


def batch(n=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    obs = torch.rand(n, 2, H, 4, generator=g) * 40
    mask = torch.ones(n, 2)
    mask[0, 1] = 0
    return obs, torch.rand(n, 2, H, 2, generator=g) * 2 - 1, mask


@BOTH
def test_keeps_its_contract(part):
    assert_conforms(part, lambda spec: part(spec, latent=16, hidden=16, layers=2))


@BOTH
def test_loss_equals_its_definition(part):
    skills = make(part, bc_weight=0.5, kl_weight=1e-2)
    obs, actions, mask = batch()
    with torch.no_grad():
        found = skills.loss(obs, actions, mask, torch.Generator().manual_seed(3))
        q = skills.posterior(obs, actions)
        z = q.rsample(torch.Generator().manual_seed(3))
        p = skills.prior(obs[:, :, 0])
    bc = unit = prior = 0.0
    for b in range(6):
        for i in range(2):
            if mask[b, i]:
                played = torch.stack([skills.act(obs[b, i, t], z[b, i]) for t in range(H)]).detach()
                bc += float(((played - actions[b, i]) ** 2).mean())
                here = Normal(q.mean[b, i], q.std[b, i])
                unit += float(kl_divergence(here, Normal(torch.zeros(Z), torch.ones(Z))).sum())
                prior += float(kl_divergence(here, Normal(p.mean[b, i], p.std[b, i])).sum())
    assert float(found.metrics["bc"]) == pytest.approx(bc / 11, rel=1e-4)
    assert float(found.metrics["kl_prior"]) == pytest.approx(prior / 11, rel=1e-4)
    assert float(found.total) == pytest.approx((0.5 * bc + 1e-2 * unit + prior) / 11, rel=1e-4)


def test_the_priors_loss_reaches_the_prior_only():
    skills = make(bc_weight=0.0, kl_weight=0.0)
    total = skills.loss(*batch(), torch.Generator().manual_seed(0)).total
    names, parameters = zip(*skills.named_parameters(), strict=True)
    grads = torch.autograd.grad(total, parameters, allow_unused=True)
    reached = {name.split(".")[0] for name, g in zip(names, grads, strict=True) if g is not None and bool(g.any())}
    assert reached == {"skill_prior"}


def scripted(count, generator):
    """Straight lines; which way depends on where one starts, left or right of the middle."""
    place = torch.rand(count, 2, generator=generator) * 40
    way = torch.where(place[:, :1] < 20.0, 1.0, -1.0) * torch.tensor([[1.0, 0.0]])
    way = way + 0.3 * torch.randn(count, 2, generator=generator)
    actions = way.clamp(-1, 1).unsqueeze(1).expand(count, H, 2)
    places = torch.cat([place[:, None], place[:, None] + actions.cumsum(1)], 1)
    obs = torch.cat([places, torch.zeros(count, H + 1, 2)], -1)
    return SkillWindows(obs, actions, torch.ones(count, 1))


@BOTH
def test_pre_training_lowers_its_losses_and_finds_what_is_done_where(part):
    skills, g = make(part), torch.Generator().manual_seed(0)
    offline = SkillsAlone(skills, Pace(learning_rate=3e-3))
    held_out = scripted(256, g)

    def losses():
        with torch.no_grad():
            return {n: float(v) for n, v in offline.loss(held_out, torch.Generator().manual_seed(1))[1].items()}

    first = losses()
    for done in range(300):
        offline.pretrain(scripted(64, g), g, Compute(), done)
    last = losses()
    assert last["bc"] < 0.2 * first["bc"]
    assert last["kl_prior"] < 0.85 * last["kl_unit"]  # untrained it is about the unit normal
    with torch.no_grad():
        left, right = torch.tensor([[8.0, 20.0, 0.0, 0.0]]), torch.tensor([[32.0, 20.0, 0.0, 0.0]])
        assert float(skills.act(left, skills.prior(left).mode)[0, 0]) > 0.3
        assert float(skills.act(right, skills.prior(right).mode)[0, 0]) < -0.3


def test_what_depends_on_the_skills_is_in_the_key_and_nothing_else():
    key = SkillsAlone(make(), Pace()).key()
    assert key == SkillsAlone(make(), Pace()).key()
    assert key != SkillsAlone(make(kl_weight=1e-3), Pace()).key()
    assert key != SkillsAlone(make(), Pace(decay_updates=9)).key()
