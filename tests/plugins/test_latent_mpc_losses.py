from dataclasses import replace

import pytest
import torch
from skimo_samples import N, make_agent, make_windows
from smbrl_plugins.agents.latent_mpc_losses import ActorLoss, ModelLoss, Rollout, Targets

from smbrl.interfaces import TanhNormal


def test_target_is_reward_plus_discounted_value_unless_terminated():
    w = make_windows()
    value = torch.rand(6, N)
    y = Targets(0.9)(w, value)
    torch.testing.assert_close(y[2], w.reward[2] + 0.9 * value[2])
    torch.testing.assert_close(y[0, 1], w.reward[0, 1])  # terminated: nothing comes after
    torch.testing.assert_close(y[1, 2], w.reward[1, 2] + 0.9 * value[1, 2])  # out of time: bootstraps


def test_target_is_never_below_what_was_achieved():
    w = make_windows()
    bound = torch.full((6, N), -torch.inf)
    bound[3, 0], bound[3, 1] = 50.0, -50.0
    w = replace(w, lower_bound=bound)
    value = torch.rand(6, N)
    plain = Targets(0.9)(w, value)
    bounded = Targets(0.9, lower_bound=True)(w, value)
    assert bounded[3, 0] == 50.0
    bounded[3, 0] = plain[3, 0]
    torch.testing.assert_close(bounded, plain)


def test_target_stays_within_known_bounds():
    w = make_windows()
    y = Targets(0.9, low=0.0, high=1.2)(w, torch.full((6, N), 100.0))
    assert float(y.max()) == pytest.approx(1.2)
    torch.testing.assert_close(y[0, 1], w.reward[0, 1])
    # the value is clipped before it is discounted
    torch.testing.assert_close(Targets(0.5, high=1.0)(w, torch.full((6, N), 9.0))[2], (w.reward[2] + 0.5).clamp(max=1))


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_lambda_target_equals_its_sum(lam):
    w = make_windows()
    value = torch.rand(6, N)
    y = Targets(0.9, lam=lam)(w, value)
    for b in range(6):
        length = int(w.mask[b].sum())
        for t in range(length):
            # n-step returns from t, weighted (1 - lam) lam^(n-1), the last with what is left
            total, weight = 0.0, 1.0
            for n in range(1, length - t + 1):
                last = t + n - 1
                steps = sum(0.9 ** (k - t) * float(w.reward[b, k]) for k in range(t, last + 1))
                steps += 0.9**n * (1 - float(w.terminated[b, last])) * float(value[b, last])
                share = weight if n == length - t else weight * (1 - lam)
                total += share * steps
                weight *= lam
            assert float(y[b, t]) == pytest.approx(total, rel=1e-4)


def model_loss_by_hand(agent, w, encoded, y):
    model = agent.model
    total = torch.zeros(())
    for b in range(6):
        h = model.encoder(w.obs[b, 0])
        c = r = v = 0.0
        for t in range(N):
            if not w.mask[b, t]:
                break
            z = w.decision[b, t]
            for state, weight in ((h, 0.5**t), (model.encoder(w.obs[b, t]), encoded)):
                out = model.heads(state, z)
                r += weight * (out[0] - w.reward[b, t]) ** 2
                v += weight * ((out[1] - y[b, t]) ** 2 + (out[2] - y[b, t]) ** 2)
            h = model.dynamics.step(h, z)
            c += 0.5**t * ((h - agent.target.encoder(w.obs[b, t + 1])) ** 2).mean()
        total = total + 2.0 * c + 0.25 * r + 0.1 * v
    return total / 6 / N


@pytest.mark.parametrize("encoded", [0.0, 1.0])
def test_model_loss_and_its_gradient_equal_loops(encoded):
    agent, w = make_agent(), make_windows()
    with torch.no_grad():  # critics that say something
        agent.model.heads.last_weight.mul_(100)
        agent.target.heads.last_weight.mul_(50)
    loss = ModelLoss(Targets(0.99), encoded=encoded)
    total, rollout, metrics = loss(w, agent.model, agent.target, torch.Generator().manual_seed(4))
    # the target, written out
    following = agent.model.encoder(w.obs[:, 1:])
    action = agent.model.policy_head(following).rsample(torch.Generator().manual_seed(4))
    best = agent.target.q(following, action)
    y = (w.reward + 0.99 * (1 - w.terminated) * torch.minimum(best[0], best[1])).detach()
    expected = model_loss_by_hand(agent, w, encoded, y)
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-6)
    parameters = agent.optimisers["model"].parameters
    mine = torch.autograd.grad(total, parameters)
    theirs = torch.autograd.grad(expected, parameters)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert not rollout.imagined.requires_grad
    torch.testing.assert_close(rollout.imagined[:, 0], rollout.encoded[:, 0])
    assert all(not m.requires_grad for m in metrics.values())


def test_what_lies_past_the_episodes_end_has_no_influence():
    agent, w = make_agent(), make_windows()
    obs, reward = w.obs.clone(), w.reward.clone()
    obs[0, 3:] += 5.0
    reward[0, 2:] += 9.0
    obs[1, 4:] += 5.0
    other = replace(w, obs=obs, reward=reward)
    losses = [agent.model_loss(x, agent.model, agent.target, torch.Generator().manual_seed(4))[0] for x in (w, other)]
    torch.testing.assert_close(losses[0], losses[1])


def test_a_window_beyond_the_limit_gives_no_gradient():
    agent, w = make_agent(), make_windows()
    reward = w.reward.clone()
    reward[2:] = 1e4
    loss = ModelLoss(Targets(0.99), consistency=0.0)
    total, *_ = loss(replace(w, reward=reward), agent.model, agent.target, torch.Generator())
    first = replace(w, **{k: getattr(w, k)[:2] for k in ("obs", "decision", "reward", "terminated", "mask")})
    # only the first two windows, of six, still teach; noise differs, so compare the reward's gradient
    (mine,) = torch.autograd.grad(total, [agent.model.heads.last_bias])
    alone, *_ = loss(first, agent.model, agent.target, torch.Generator())
    (theirs,) = torch.autograd.grad(alone, [agent.model.heads.last_bias])
    torch.testing.assert_close(mine[0], theirs[0] / 3, rtol=1e-4, atol=1e-7)


def actor_by_hand(agent, w, latents, prior, alpha, noise, first=False):
    total = torch.zeros(())
    for b in range(6):
        for t in range(N):
            if w.mask[b, t]:
                h = latents[b, 0 if first else t]
                p = agent.model.policy_head(h)
                z = torch.tanh(p.mean + p.std * noise[b, t])
                own = agent.model.policy_head(latents[b, t])
                kl = own.kl(TanhNormal(prior.mean[b, t], prior.std[b, t]))
                total = total + 0.5**t * (alpha * kl - agent.model.q(h, z).amin(0))
    return total / 6 / N


@pytest.mark.parametrize("states", ["imagined", "encoded", "first"])
def test_actor_loss_and_its_gradient_equal_loops(states):
    agent, w = make_agent(), make_windows()
    with torch.no_grad():
        agent.model.heads.last_weight.mul_(100)
    torch.manual_seed(3)
    rollout = Rollout(torch.randn(6, N + 1, 16), torch.randn(6, N + 1, 16))
    prior = TanhNormal(torch.randn(6, N, 5), torch.rand(6, N, 5) + 0.5)
    g = torch.Generator().manual_seed(6)
    noise = torch.randn(6, N, 5, generator=torch.Generator().manual_seed(6))
    loss, kl, _ = ActorLoss(states)(w, agent.model, rollout, prior, torch.tensor(0.3), g)
    latents = (rollout.imagined if states == "imagined" else rollout.encoded)[:, :N]
    expected = actor_by_hand(agent, w, latents, prior, 0.3, noise, first=states == "first")
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    parameters = agent.optimisers["actor"].parameters
    for a, b in zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    expected_kl = (agent.model.policy_head(latents).kl(prior) * w.mask).sum() / w.mask.sum()
    torch.testing.assert_close(kl, expected_kl.detach())


def test_temperature_rises_while_the_policy_strays_too_far():
    agent = make_agent(alpha=0.5, target_kl=3.0)
    loss = agent.temperature_loss(torch.tensor(5.0))
    (grad,) = torch.autograd.grad(loss, [agent.log_alpha])
    assert float(loss.detach()) == pytest.approx(0.5 * (3 - 5))
    assert float(grad) == pytest.approx(0.5 * (3 - 5))
    before = float(agent.log_alpha.detach())
    agent.optimisers["alpha"].minimise(agent.temperature_loss(torch.tensor(5.0)))
    assert float(agent.log_alpha.detach()) == pytest.approx(before + 3e-4, rel=1e-3)
