import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from dreamer_samples import (
    MODERN,
    SPEC,
    Discrete,
    H,
    N,
    Skills,
    Z,
    make_dreamer,
    make_skill_windows,
    make_windows,
)
from smbrl_plugins.agents.dreamer import Dreamer
from smbrl_plugins.encoders.deep import DeepEncoder
from smbrl_plugins.skills.skimo_vae import SkiMoVAE

from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec
from smbrl.nn import networks
from smbrl.nn.precision import resolve
from smbrl.testing import assert_conforms

KINDS = [{}, {"skills": Skills}, MODERN | {"dynamics": Discrete}, {"reinforce": 0.5, "continuation": True}]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learn(agent, count=2, first=0):
    found = {}
    for seed in range(first, first + count):
        found = agent.update(make_windows(agent.decision, seed=seed), seeded(seed))
    return found


@pytest.mark.parametrize("options", KINDS)
def test_keeps_its_contract(options):
    assert_conforms(Dreamer, lambda spec: make_dreamer(**options))


def test_encoders_keep_theirs():
    assert_conforms(DeepEncoder)
    assert_conforms(DeepEncoder, lambda spec, latent: DeepEncoder(spec, latent, symlog=True))


def test_networks_have_the_published_parameter_counts():
    agent = Dreamer(TaskSpec.plain(4, 2))
    world = agent.world
    parts = [world.encoder, world.dynamics, world.decoder, world.reward, agent.policy, agent.value]
    sizes = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert sizes == [132_864, 403_520, 126_984, 253_201, 575_204, 413_601]


def test_policy_starts_with_a_deviation_of_five():
    policy = Dreamer(TaskSpec.plain(4, 2)).policy(torch.zeros(230))
    torch.testing.assert_close(policy.std, torch.full((2,), 5.0), atol=1e-3, rtol=0)


# -- acting ------------------------------------------------------------------------------------------
def test_memory_is_the_models_state_and_the_last_decision():
    agent = make_dreamer()
    obs, memory = torch.rand(3, 4) * 40, agent.initial_memory(3)
    assert bool((memory == 0).all())
    decision, memory = agent.act(obs, memory, mode="evaluate", step=0, generator=seeded())
    torch.testing.assert_close(memory[:, :-2], agent.encode(obs))
    torch.testing.assert_close(memory[:, -2:], decision)
    state = memory[:, :-2]
    _, later = agent.act(obs + 1, memory, mode="evaluate", step=0, generator=seeded())
    expected = agent.world.dynamics.observe(state, decision, agent.world.encoder(obs + 1))
    torch.testing.assert_close(later[:, :-2], expected.detach())


@pytest.mark.parametrize("mode", ["explore", "prior"])
def test_memory_goes_on_whatever_decides(mode):
    agent = make_dreamer(skills=Skills)
    obs = torch.rand(3, 4) * 40
    decision, memory = agent.act(obs, agent.initial_memory(3), mode=mode, step=0, generator=seeded())
    torch.testing.assert_close(memory[:, -Z:], decision)
    assert float(memory[:, :-Z].abs().max()) > 0


def test_exploring_adds_noise_to_a_sample_of_the_policy():
    agent = make_dreamer(noise=0.3)
    with torch.no_grad():  # a policy that is certain of (0, 0)
        agent.policy.mlp.linears[-1].weight.zero_()
        agent.policy.mlp.linears[-1].bias.copy_(torch.tensor([0.0, 0.0, -30.0, -30.0]))
    obs = torch.rand(5000, 4) * 40
    decision, _ = agent.act(obs, agent.initial_memory(5000), mode="explore", step=0, generator=seeded())
    assert float(decision.std()) == pytest.approx(0.3, abs=0.01)
    certain, _ = agent.act(obs, agent.initial_memory(5000), mode="evaluate", step=0, generator=seeded())
    assert float(certain.abs().max()) == 0.0


def test_warm_up_is_at_random_or_by_the_skill_prior():
    obs = torch.rand(2000, 4) * 40
    flat = make_dreamer()
    decision, _ = flat.act(obs, flat.initial_memory(2000), mode="prior", step=0, generator=seeded())
    assert float(decision.std()) == pytest.approx(1 / 3**0.5, abs=0.02)  # uniform on [-1, 1]
    skilled = make_dreamer(skills=Skills)
    decision, _ = skilled.act(obs, skilled.initial_memory(2000), mode="prior", step=0, generator=seeded())
    prior = skilled.skills.prior(obs)
    assert float((decision - prior.mode).detach().mean().abs()) < 0.05
    assert decision.shape == (2000, Z)


# -- learning ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", KINDS)
def test_an_update_moves_what_learns_online_and_nothing_else(options):
    agent = make_dreamer(**options)
    agent.start_online()
    before = {n: v.clone() for n, v in agent.state_dict().items()}
    learn(agent)
    moved = {n.split(".")[0] for n, v in agent.state_dict().items() if not torch.equal(v, before[n])}
    assert moved >= {"world", "policy", "value"}
    assert "skills" not in moved
    assert ("slow_value" in moved) == ("scale" in moved) == ("slow_weight" in options)


def test_policy_learns_without_moving_the_model_and_the_value():
    """Each loss has its own parameters: the policy's passes through the model, and leaves it alone."""
    agent = make_dreamer()
    agent.optimisers["world"].minimise = lambda loss: torch.zeros(())  # type: ignore[method-assign]
    agent.optimisers["value"].minimise = lambda loss: torch.zeros(())  # type: ignore[method-assign]
    before = {n: v.clone() for n, v in agent.state_dict().items()}
    learn(agent)
    moved = {n.split(".")[0] for n, v in agent.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {"policy"}
    assert all(p.requires_grad for p in (*agent.world.parameters(), *agent.value.parameters()))


def test_one_decisions_gradient_equals_a_finite_difference():
    agent = make_dreamer(imagination=1, discount=0.9)
    w = make_windows()
    _, seen, _ = agent.world.loss(w, seeded())
    bias = agent.policy.mlp.linears[-1].bias
    with torch.no_grad():  # a value that says something
        agent.value.mlp.linears[-1].weight.mul_(20)

    def loss():
        return agent._policy_loss(w, seen, agent._dream(seen, seeded(2)))[0]

    (grad,) = torch.autograd.grad(loss(), bias)
    for i in range(len(bias)):
        around = []
        for sign in (1, -1):
            with torch.no_grad():
                bias[i] += sign * 0.05
                around.append(float(loss().detach()))
                bias[i] -= sign * 0.05
        assert float(grad[i]) == pytest.approx((around[0] - around[1]) / 0.1, rel=0.05, abs=2e-4)


def test_the_values_loss_is_its_error_at_the_imagined_states():
    agent = make_dreamer()
    w = make_windows()
    _, seen, _ = agent.world.loss(w, seeded())
    dreamt = agent._dream(seen, seeded(2))
    loss, parameters = agent._value_loss(dreamt), list(agent.value.parameters())
    states, returns = dreamt.dream.states[:-1].detach(), dreamt.returns.detach()
    expected = (dreamt.weight * 0.5 * (agent.value(states) - returns) ** 2).mean()
    torch.testing.assert_close(loss, expected)
    for mine, theirs in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_policy_is_held_to_the_prior():
    w = make_windows(Z)
    free, held = make_dreamer(skills=Skills, alpha=0.0), make_dreamer(skills=Skills, alpha=0.5)
    losses = [agent.update(w, seeded()) for agent in (free, held)]
    kl = losses[0]["kl_prior"]
    torch.testing.assert_close(losses[1]["policy_loss"], losses[0]["policy_loss"] + 0.5 * kl)
    # by hand, over the states where a decision can be made
    agent = make_dreamer(skills=Skills)
    _, seen, _ = agent.world.loss(w, seeded())
    policy, prior = agent.policy(seen.states), agent.skills.prior(w.obs)
    total, count = 0.0, 0
    for b in range(6):
        for t in range(N + 1):
            if seen.alive[b, t]:
                total += float(policy[b, t].kl(prior[b, t]).detach().clamp(max=100.0))
                count += 1
    mine = agent._divergence(w.obs, policy_flat(policy), seen.alive)
    assert float(mine.detach()) == pytest.approx(total / count, rel=1e-4)


def policy_flat(policy):
    return type(policy)(policy.mean.flatten(0, 1), policy.std.flatten(0, 1))


def test_skills_are_pre_trained_as_elsewhere():
    agent, other = make_dreamer(skills=Skills), make_dreamer(skills=Skills, hidden=24, imagination=2)
    for seed in range(3):
        agent.pretrain(make_skill_windows(seed=seed), seeded(seed))
    assert agent.pretrain_key() == other.pretrain_key()
    other.load_pretrained(agent.pretrained_state())
    obs, skill = np.full((2, 4), 3.0, np.float32), np.full((2, Z), 0.5, np.float32)
    np.testing.assert_allclose(agent.low_level(obs, skill), other.low_level(obs, skill))
    assert (agent.horizon, agent.decision, agent.offline_window) == (H, Z, 1)


def test_a_skill_model_without_a_prior_is_refused_in_one_line():
    with pytest.raises(SmbrlError, match="no prior of its own"):
        Dreamer(SPEC, skills=SkiMoVAE)


@pytest.mark.parametrize(("name", "value"), [("imagination", 0), ("reinforce", 1.5)])
def test_impossible_settings_are_refused_in_one_line(name, value):
    with pytest.raises(SmbrlError, match=f"Dreamer.{name} is {value}"):
        make_dreamer(**{name: value})


# -- checkpoints, precision --------------------------------------------------------------------------
@pytest.mark.parametrize("options", KINDS)
def test_resumed_updates_are_identical(options):
    agent, other = make_dreamer(**options), make_dreamer(**options)
    for a in (agent, other):
        a.start_online()
    learn(agent, 3)
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    other.load_training_state(copy.deepcopy(agent.training_state()))
    mine, theirs = learn(agent, 2, first=3), learn(other, 2, first=3)
    assert {k: float(v) for k, v in mine.items()} == {k: float(v) for k, v in theirs.items()}
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in agent.state_dict().items())


def test_two_agents_with_one_seed_learn_the_same():
    found = [{k: float(v) for k, v in learn(make_dreamer()).items()} for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize("kernels", [nullcontext, networks.disabled])
def test_bfloat16_update_stays_near_float32(kernels):
    exact, rough = make_dreamer(), make_dreamer()
    rough.prepare(resolve("cpu", "bfloat16"))
    mine = exact.update(make_windows(), seeded())
    with kernels():
        theirs = rough.update(make_windows(), seeded())
    for name in ("world_grad_norm", "value_grad_norm"):
        assert float(theirs[name]) == pytest.approx(float(mine[name]), rel=0.2), name
    for name in ("reconstruction", "reward_error", "kl", "world_loss", "imagined_return", "value_error"):
        assert float(theirs[name]) == pytest.approx(float(mine[name]), rel=0.1, abs=0.02), name


def test_views_decode_what_they_encode():
    agent = make_dreamer(world_learning_rate=3e-3, free_nats=0.5)
    for seed in range(100):
        loss, _, _ = agent.world.loss(make_windows(batch=32, seed=seed), seeded(seed))
        agent.optimisers["world"].minimise(loss)
    obs = make_windows(batch=50, seed=1000).obs[:, 0]
    error = (agent.decode(agent.encode(obs)) - obs)[:, :2].abs().mean()
    assert float(error) < 7.0  # of 40; half the range at random is 10
    assert agent.imagine(agent.encode(obs), torch.zeros(50, 2)).shape == (50, 20)
    assert agent.state_value(obs).shape == (50,)
    assert agent.policy_mode(obs).shape == (50, 2)
    assert agent.infer(obs[:, None], torch.ones(50, 1, 2)).shape == (50, 2)


def test_symlog_observations_are_reconstructed_in_their_own_units():
    encoder = DeepEncoder(SPEC, 8, symlog=True)
    obs = torch.rand(5, 4) * 40
    seen = encoder.normalise(obs)
    plain = obs * encoder.scale + encoder.shift
    torch.testing.assert_close(seen, torch.sign(plain) * torch.log1p(plain.abs()))
    torch.testing.assert_close(encoder.denormalise(seen), obs, rtol=1e-4, atol=1e-4)


def learned(device, compile):
    """Metrics of an update, and a decision after it."""
    agent = make_dreamer(continuation=True)
    agent.prepare(resolve(device, "float32", compile))
    g = torch.Generator(device).manual_seed(0)
    windows = type(make_windows())(**{name: x.to(device) for name, x in vars(make_windows()).items()})
    metrics = [agent.update(windows, g) for _ in range(2)][-1]
    obs = torch.full((3, 4), 5.0, device=device)
    decision, _ = agent.act(obs, agent.initial_memory(3), mode="evaluate", step=0, generator=g)
    return {name: float(value) for name, value in metrics.items()}, decision.cpu()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_compiled_equals_eager_on_cuda():
    eager, compiled = learned("cuda", "off"), learned("cuda", "on")
    for name, value in eager[0].items():
        assert compiled[0][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    torch.testing.assert_close(eager[1], compiled[1], atol=1e-3, rtol=0)
