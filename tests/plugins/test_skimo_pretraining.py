import math

import pytest
import torch
from skimo_samples import H, N, make_agent, make_skill_windows
from torch.distributions import Normal


def loss_of(agent, windows, seed=2):
    return agent.offline.loss(windows, torch.Generator().manual_seed(seed))


@torch.no_grad()
def by_hand(agent, windows, seed=2):
    """Equation 5 with loops."""
    model, w = agent.model, windows
    steps, actions = w.obs[:, :-1].view(6, N, H, 4), w.actions.view(6, N, H, 2)
    q = agent.skills.posterior(steps, actions)
    z = q.rsample(torch.Generator().manual_seed(seed))
    rec = cons = prior = skills = 0.0
    states = 0
    for b in range(6):
        h = model.encoder(w.obs[b, 0])
        for i in range(N + 1):
            if i == 0 or w.mask[b, i - 1]:
                s = w.obs[b, i * H]
                mean, std = agent.decoder(model.encoder(s))
                rec -= float(Normal(mean, std).log_prob(model.encoder.normalise(s)).sum())
                states += 1
        for i in range(N):
            h = model.dynamics.step(h, z[b, i])
            if w.mask[b, i]:
                goal = agent.target.encoder(w.obs[b, (i + 1) * H])
                cons += 0.5**i * float(((h - goal) ** 2).mean())
                p = model.policy_head(model.encoder(w.obs[b, i * H]))
                kl = torch.distributions.kl_divergence(Normal(q.mean[b, i], q.std[b, i]), Normal(p.mean, p.std))
                prior += float(kl.sum())
                skills += 1
    return rec / states, cons / 6, prior / skills


def test_every_term_equals_its_definition():
    agent, windows = make_agent(), make_skill_windows()
    with torch.no_grad():  # so that target and online differ
        for parameter in agent.target.encoder.parameters():
            parameter.mul_(0.9)
    total, metrics = loss_of(agent, windows)
    rec, cons, prior = by_hand(agent, windows)
    assert float(metrics["reconstruction"]) == pytest.approx(rec, rel=1e-4)
    assert float(metrics["consistency"]) == pytest.approx(cons, rel=1e-4)
    assert float(metrics["kl_prior"]) == pytest.approx(prior, rel=1e-4)
    vae = 2 * metrics["bc"] + 1e-4 * metrics["kl_unit"]
    assert float(total.detach()) == pytest.approx(float(vae) + prior + (rec + 2 * cons) / N, rel=1e-4)


def test_what_lies_past_the_episodes_end_has_no_influence():
    agent, windows = make_agent(), make_skill_windows()
    changed = windows.obs.clone()
    changed[0, 2 * H + 1 :] += 7.0
    changed[1, H + 1 :] -= 3.0
    actions = windows.actions.clone()
    actions[0, 2 * H :] *= -1
    other = type(windows)(changed, actions, windows.mask)
    torch.testing.assert_close(loss_of(agent, windows)[0], loss_of(agent, other)[0])


ROUTES = {  # which networks each loss may train (jointly, and apart)
    "bc": ("skills.encoder", "skills.inference", "skills.policy"),
    "kl_unit": ("skills.encoder", "skills.inference"),
    "reconstruction": ("model.encoder", "decoder"),
    "consistency": ("skills.encoder", "skills.inference", "model.encoder", "model.dynamics"),
    "prior": ("model.encoder", "model.policy_head"),
}
APART = {"consistency": ("model.encoder", "model.dynamics"), "prior": ("model.policy_head",)}


def losses_apart(agent, windows):
    """Each term alone, with its graph."""
    p, model, mask = agent.offline.terms, agent.model, windows.mask
    steps, actions = windows.obs[:, :-1].view(6, N, H, 4), windows.actions.view(6, N, H, 2)
    found = agent.skills.loss(steps, actions, mask, torch.Generator().manual_seed(2))
    played = agent.skills.act(steps, found.skill.unsqueeze(-2))
    latent = model.encoder(windows.obs[:, ::H])
    skill = found.skill if p.joint else found.skill.detach()
    goal = agent.target.encoder(windows.obs[:, H::H])
    return {
        "bc": (played - actions).square().mean(),
        "kl_unit": found.posterior.kl_unit().mean(),
        "reconstruction": p.reconstruction_error(agent.decoder, model.encoder, windows.obs[:, ::H], latent, mask),
        "consistency": p.consistency_error(model, latent[:, 0], skill, goal, mask),
        "prior": p.prior_error(model, found.posterior, latent[:, :-1], mask),
    }


@pytest.mark.parametrize("joint", [True, False])
def test_gradients_flow_where_the_paper_says(joint):
    agent = make_agent(joint=joint)
    names = [n for n, p in agent.named_parameters() if p.requires_grad]
    parameters = [p for p in agent.parameters() if p.requires_grad]
    for term, loss in losses_apart(agent, make_skill_windows()).items():
        grads = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
        reached = {n for n, g in zip(names, grads, strict=True) if g is not None and bool(g.any())}
        allowed = ROUTES[term] if joint else APART.get(term, ROUTES[term])
        assert {n for n in reached if not n.startswith(allowed)} == set(), term
        for prefix in allowed:
            assert any(n.startswith(prefix) for n in reached), f"{term} does not reach {prefix}"


def test_reward_and_critics_stay_as_they_are_and_the_target_follows(generator):
    agent = make_agent()
    heads = [p.detach().clone() for p in agent.model.heads.parameters()]
    before = agent.target.encoder.mlp.linears[0].weight.clone()
    agent.pretrain(make_skill_windows(), generator)
    assert torch.equal(before, agent.target.encoder.mlp.linears[0].weight)  # every second update only
    online = agent.model.encoder.mlp.linears[0].weight
    agent.pretrain(make_skill_windows(seed=1), generator)
    torch.testing.assert_close(
        agent.target.encoder.mlp.linears[0].weight, 0.99 * before + 0.01 * online.detach(), atol=1e-7, rtol=0
    )
    assert all(torch.equal(a, b) for a, b in zip(heads, agent.model.heads.parameters(), strict=True))


def test_validation_does_not_train(generator):
    agent = make_agent()
    before = {n: v.clone() for n, v in agent.state_dict().items()}
    metrics = agent.validate(make_skill_windows(), generator)
    assert all(torch.equal(v, before[n]) for n, v in agent.state_dict().items())
    assert math.isfinite(float(metrics["loss"]))


def test_pre_training_reduces_every_error(generator):
    agent = make_agent()
    windows = make_skill_windows()
    first = agent.validate(windows, torch.Generator().manual_seed(0))
    for _ in range(150):
        agent.pretrain(windows, generator)
    last = agent.validate(windows, torch.Generator().manual_seed(0))
    assert float(last["bc"]) < 0.5 * float(first["bc"])
    assert float(last["reconstruction"]) < float(first["reconstruction"]) - 1.0
    assert float(last["consistency"]) < 0.5


def test_pretrained_state_moves_between_agents(generator):
    agent, other = make_agent(), make_agent(planner=None, lower_bound=True)
    agent.pretrain(make_skill_windows(), generator)
    assert agent.pretrain_key() == other.pretrain_key()
    assert agent.pretrain_key() != make_agent(joint=False).pretrain_key()
    other.load_pretrained(agent.pretrained_state())
    windows = make_skill_windows(seed=5)
    torch.testing.assert_close(loss_of(agent, windows)[0], loss_of(other, windows)[0])


def test_anothers_pretrained_state_is_refused_in_one_line():
    from smbrl.errors import SmbrlError

    with pytest.raises(SmbrlError, match="does not fit"):
        make_agent().load_pretrained(make_agent(latent=8).pretrained_state())
