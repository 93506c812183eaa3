import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from dreamer_samples import MODERN, Discrete, N, make_dreamer, make_windows
from smbrl_plugins.agents.dreamer_losses import ActorLoss, Outlook, lambda_returns, value_loss
from smbrl_plugins.agents.dreamer_world import Balance, Dream
from smbrl_plugins.dynamics.rssm import Followed

from smbrl.interfaces import TanhNormal
from smbrl.nn.regression import NormalHead


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- returns -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_lambda_return_equals_its_sum(lam):
    steps = 5
    reward, value = torch.randn(steps, 3, generator=seeded(1)), torch.randn(steps, 3, generator=seeded(2))
    discount = torch.rand(steps, 3, generator=seeded(3))
    returns = lambda_returns(reward, value, discount, lam)
    for b in range(3):
        for t in range(steps):
            total, weight = 0.0, 1.0
            for n in range(1, steps - t + 1):  # n-step returns, weighted (1 - lam) lam^(n - 1), the last with the rest
                gone, sum_n = 1.0, 0.0
                for k in range(t, t + n):
                    sum_n += gone * float(reward[k, b])
                    gone *= float(discount[k, b])
                sum_n += gone * float(value[t + n - 1, b])
                total += (weight if t + n == steps else weight * (1 - lam)) * sum_n
                weight *= lam
            assert float(returns[t, b]) == pytest.approx(total, rel=1e-4, abs=1e-5)
    torch.testing.assert_close(returns[-1], reward[-1] + discount[-1] * value[-1])


def test_lambda_return_by_hand():
    returns = lambda_returns(torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0]), torch.tensor([0.9, 0.5]), 0.75)
    # V_1 = 2 + 0.5 * 20 = 12, V_0 = 1 + 0.9 (0.25 * 10 + 0.75 * 12)
    torch.testing.assert_close(returns, torch.tensor([11.35, 12.0]))


def test_outlook_counts_nothing_after_an_imagined_end():
    reward, goes_on = torch.tensor([5.0, 1.0, 7.0, 9.0]), torch.tensor([0.3, 0.0, 1.0, 1.0])
    value = torch.tensor([0.0, 3.0, 4.0, 6.0])
    returns, weight = Outlook(0.9, 1.0)(reward, goes_on, value)
    # the start is real and goes on, whatever is predicted; the state after it pays 1 and ends
    torch.testing.assert_close(returns[:2], torch.tensor([5.0 + 0.9 * 1.0, 1.0]))
    torch.testing.assert_close(weight, torch.tensor([1.0, 0.9, 0.0]))


def test_outlook_without_ends_weighs_by_the_discount():
    ones = torch.ones(5, 2)
    returns, weight = Outlook(0.5, 0.95)(ones, ones, 2.0 * ones)  # every value is right, so lambda does not matter
    torch.testing.assert_close(returns, torch.full((4, 2), 2.0))
    torch.testing.assert_close(weight[:, 0], torch.tensor([1.0, 0.5, 0.25, 0.125]))


# -- policy and value --------------------------------------------------------------------------------
def dream_of(mean: torch.Tensor, std: torch.Tensor, decision: torch.Tensor) -> Dream:
    return Dream(torch.zeros(len(mean) + 1, 1), decision, TanhNormal(mean, std))


def test_policy_loss_through_the_dynamics_is_the_weighted_return():
    returns, weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 1.0], [0.5, 0.0]])
    dream = dream_of(torch.zeros(2, 2, 1), torch.ones(2, 2, 1), torch.zeros(2, 2, 1))
    loss = ActorLoss()(dream, returns, 0 * returns, weight, torch.tensor(2.0))
    assert float(loss) == pytest.approx(-(1 + 2 + 1.5) / 2 / 4)


def test_policy_loss_of_log_probabilities_by_hand():
    mean, std = torch.zeros(1, 1, 1, requires_grad=True), torch.ones(1, 1, 1)
    raw = 0.5
    dream = dream_of(mean, std, torch.tanh(torch.full((1, 1, 1), raw)))
    loss = ActorLoss(reinforce=1.0, entropy=0.1)(
        dream, torch.tensor([[5.0]]), torch.tensor([[2.0]]), torch.tensor([[0.5]]), torch.tensor(3.0)
    )
    log_prob = -0.5 * raw**2 - 0.5 * math.log(2 * math.pi) - math.log(1 - math.tanh(raw) ** 2)
    entropy = float(dream.policy.squashed_entropy().detach())
    assert float(loss.detach()) == pytest.approx(-0.5 * (log_prob * (5 - 2) / 3 + 0.1 * entropy), rel=1e-5)
    # a policy in the middle of the box is as undecided as can be: its entropy does not move its mean
    (grad,) = torch.autograd.grad(loss, mean)
    assert float(grad) == pytest.approx(-0.5 * raw * 1.0, rel=1e-5)  # d log_prob / d mean = raw - mean


def test_value_loss_is_half_the_weighted_squared_error():
    head, latent = NormalHead(3, [4]), torch.randn(2, 5, 3)
    returns, weight = torch.randn(2, 5), torch.rand(2, 5)
    expected = (weight * 0.5 * (head(latent) - returns) ** 2).mean()
    torch.testing.assert_close(value_loss(head, head.mlp(latent), returns, weight), expected)


# -- KL ----------------------------------------------------------------------------------------------
def beliefs(model, scale=1.0):
    torch.manual_seed(3)
    shape = (2, 3, model.belief.raw)
    prior, posterior = (scale * torch.randn(shape, requires_grad=True) for _ in range(2))
    return Followed(torch.zeros(2, 3, model.state), prior, posterior)


def test_equal_weights_have_the_gradient_of_the_plain_kl():
    model = make_dreamer().world.dynamics
    seen, real = beliefs(model), torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    loss, kl = Balance(1.0, 1.0, free=0.0)(model, seen, real)
    plain = (model.belief.kl(seen.posterior, seen.prior) * real).sum() / 5
    torch.testing.assert_close(kl, plain.detach())
    torch.testing.assert_close(loss, 2 * plain)
    inputs = [seen.prior, seen.posterior]
    for mine, theirs in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(plain, inputs), strict=True):
        torch.testing.assert_close(mine, theirs)
        assert float(mine[0, 2].abs().max()) == 0.0


def test_balancing_scales_each_sides_gradient():
    model = make_dreamer(dynamics=Discrete).world.dynamics
    seen, real = beliefs(model), torch.ones(2, 3)
    inputs = [seen.prior, seen.posterior]
    plain = torch.autograd.grad(model.belief.kl(seen.posterior, seen.prior).mean(), inputs)
    balanced = torch.autograd.grad(Balance(1.0, 0.1, free=0.0, averaged=False)(model, seen, real)[0], inputs)
    torch.testing.assert_close(balanced[0], plain[0])
    torch.testing.assert_close(balanced[1], 0.1 * plain[1])


@pytest.mark.parametrize("averaged", [True, False])
def test_below_the_free_nats_nothing_is_learned(averaged):
    model = make_dreamer().world.dynamics
    seen, real = beliefs(model, scale=0.1), torch.ones(2, 3)
    loss, kl = Balance(1.0, 1.0, free=3.0, averaged=averaged)(model, seen, real)
    assert float(kl) < 3.0
    assert float(loss.detach()) == 6.0
    assert all(float(g.abs().max()) == 0 for g in torch.autograd.grad(loss, [seen.prior, seen.posterior]))


def test_free_nats_are_each_states_or_the_averages():
    model = make_dreamer().world.dynamics
    prior, posterior = torch.zeros(1, 2, model.belief.raw), torch.zeros(1, 2, model.belief.raw)
    posterior[0, 0, 0] = 2.0  # one state far from its prior, one at it
    seen = Followed(torch.zeros(1, 2, model.state), prior, posterior)
    far = float(model.belief.kl(posterior, prior)[0, 0])
    assert far > 1.0
    each, _ = Balance(1.0, 0.0, free=1.0, averaged=False)(model, seen, torch.ones(1, 2))
    average, _ = Balance(1.0, 0.0, free=1.0, averaged=True)(model, seen, torch.ones(1, 2))
    assert float(each) == pytest.approx((far + 1.0) / 2)
    assert float(average) == pytest.approx(max(1.0, far / 2))


# -- world model -------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{}, MODERN | {"dynamics": Discrete}])
def test_world_loss_equals_loops(options):
    world, w = make_dreamer(**options).world, make_windows()
    loss, seen, metrics = world.loss(w, seeded(4))
    followed = world.dynamics.follow(world.encoder(w.obs), w.decision, seeded(4))
    torch.testing.assert_close(seen.states, followed.states.detach())
    rec, rew, con, n_obs, n_rew = 0.0, 0.0, 0.0, 0, 0
    for b in range(6):
        length = int(w.mask[b].sum())
        for t in range(length + 1):
            feature = followed.states[b, t]
            rec = rec + world.decoder.nll(feature, world.encoder.normalise(w.obs[b, t]))
            n_obs += 1
            if t:  # the reward of a decision belongs to the state it leads to
                rew = rew + world.reward.nll(feature, target=w.reward[b, t - 1])
                if world.goes_on is not None:
                    goes_on = torch.sigmoid(world.goes_on(feature))[0]
                    con = con - torch.log(1 - goes_on if w.terminated[b, t - 1] else goes_on)
                n_rew += 1
    real = F.pad(w.mask, (1, 0), value=1.0)
    divergence, kl = world.balance(world.dynamics, followed, real)
    torch.testing.assert_close(loss, rec / n_obs + (rew + con) / n_rew + divergence, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(metrics["kl"], kl)


def test_decisions_are_imagined_from_where_they_can_be_made():
    w = make_windows()
    _, seen, _ = make_dreamer().world.loss(w, seeded())
    assert seen.alive[0].tolist() == [1, 1, 0, 0, 0, 0]  # terminated by its second decision
    assert seen.alive[1].tolist() == [1, 1, 1, 1, 0, 0]  # out of time after its third: goes on where it ended
    assert bool((seen.alive[2:] == 1).all())


@pytest.mark.parametrize("options", [{}, MODERN | {"dynamics": Discrete}])
def test_what_lies_past_the_episodes_end_has_no_influence(options):
    w = make_windows()
    obs, reward, decision = w.obs.clone(), w.reward.clone(), w.decision.clone()
    obs[0, 3:] += 5.0
    reward[0, 2:] += 9.0
    decision[0, 2:] *= -1.0
    terminated = w.terminated.clone()
    terminated[0, 2:] = 1.0
    obs[1, 4:] += 5.0
    other = replace(w, obs=obs, reward=reward, decision=decision, terminated=terminated)
    results = []
    for windows in (w, other):
        agent = make_dreamer(**options)
        for seed in range(2):
            metrics = agent.update(windows, seeded(seed))
        results.append((metrics, agent.state_dict()))
    for name, value in results[0][0].items():
        torch.testing.assert_close(value, results[1][0][name], msg=name, rtol=1e-4, atol=1e-5)
    for name, value in results[0][1].items():
        torch.testing.assert_close(value, results[1][1][name], msg=name, rtol=1e-3, atol=2e-5)


def test_decision_t_is_paired_with_the_observation_it_leads_to():
    """After learning, the model predicts better from the decision that was made than from the one after it."""
    g = seeded()
    agent = make_dreamer(free_nats=0.5, world_learning_rate=3e-3)

    def windows(batch):
        w = make_windows(batch=batch)
        decision = torch.rand(batch, N, 2, generator=g) * 2 - 1
        place = [torch.full((batch, 4), 20.0)]
        for t in range(N):
            place.append(torch.cat([(place[-1][:, :2] + 8 * decision[:, t]), place[-1][:, 2:]], -1))
        ones = torch.ones(batch, N)
        return replace(w, obs=torch.stack(place, 1), decision=decision, reward=0 * ones, mask=ones, terminated=0 * ones)

    for _ in range(60):
        loss, _, _ = agent.world.loss(windows(32), g)
        agent.optimisers["world"].minimise(loss)
    w = windows(200)
    state = agent.encode(w.obs[:, 0])
    aligned = agent.decode(agent.imagine(state, w.decision[:, 0])) - w.obs[:, 1]
    misaligned = agent.decode(agent.imagine(state, w.decision[:, 1])) - w.obs[:, 1]
    assert float(aligned.square().mean()) < 0.3 * float(misaligned.square().mean())
