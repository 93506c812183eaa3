import copy
import shutil

import numpy as np
import pytest
import torch
from skimo_samples import SPEC, H, N, Plan, Z, make_agent, make_skill_windows, make_windows
from smbrl_plugins.agents.latent_mpc import LatentMPC
from smbrl_plugins.encoders.mlp import MLPEncoder
from smbrl_plugins.skills.skimo_vae import SkiMoVAE

from smbrl.errors import SmbrlError
from smbrl.nn.precision import resolve
from smbrl.testing import assert_conforms


def modules_of(agent):
    return agent.model.encoder, agent.model.dynamics, agent.model.heads, agent.model.policy_head


def test_keeps_its_contract_as_skimo_and_flat():
    assert_conforms(LatentMPC, lambda spec: make_agent(planner=Plan))
    assert_conforms(LatentMPC)


def test_maze_networks_have_the_papers_parameter_counts():
    agent = LatentMPC(SPEC, encoder=MLPEncoder, skills=SkiMoVAE)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (*modules_of(agent), agent.decoder)]
    assert sizes == [17_152, 83_840, 67_713 + 135_426, 68_628, 34_056]
    assert sum(sizes) + sum(p.numel() for p in agent.skills.parameters()) == 562_999


def test_online_update_moves_model_policy_and_temperature_but_not_prior_and_skills(generator):
    agent = make_agent()
    agent.start_online()
    before = {n: v.clone() for n, v in agent.state_dict().items()}
    for seed in range(2):
        agent.update(make_windows(seed=seed), generator)
    moved = {".".join(n.split(".")[:2]) for n, v in agent.state_dict().items() if not torch.equal(v, before[n])}
    assert "log_alpha" in moved
    assert {"model.encoder", "model.dynamics", "model.heads", "model.policy_head"} <= moved
    assert {"target.encoder", "target.heads"} <= moved
    assert not {m for m in moved if m.startswith(("prior", "skills", "decoder"))}


def test_prior_is_frozen_where_pre_training_left_it(generator):
    agent = make_agent()
    obs = torch.rand(5, 4) * 40

    def prior(agent):
        return agent.act(obs, agent.initial_memory(5), mode="prior", step=0, generator=torch.Generator().manual_seed(0))

    agent.pretrain(make_skill_windows(), generator)
    first = prior(agent)[0]
    agent.start_online()
    assert torch.equal(first, prior(agent)[0])
    agent.update(make_windows(), generator)
    assert torch.equal(first, prior(agent)[0])


def test_policy_acts_where_there_is_no_planner():
    agent = make_agent(planner=None)
    obs = torch.rand(3, 4) * 40
    memory = agent.initial_memory(3)
    mode, _ = agent.act(obs, memory, mode="evaluate", step=0, generator=torch.Generator())
    torch.testing.assert_close(mode, agent.policy_mode(obs))
    noisy, _ = agent.act(obs, memory, mode="explore", step=0, generator=torch.Generator().manual_seed(0))
    policy = agent.model.policy(agent.model.state(obs))
    torch.testing.assert_close(noisy, policy.rsample(torch.Generator().manual_seed(0)).detach())


def test_planner_remembers_its_plan():
    agent = make_agent(planner=Plan)
    obs, memory = torch.rand(3, 4) * 40, agent.initial_memory(3)
    assert memory.shape == (3, 1 + N * Z)
    _, after = agent.act(obs, memory, mode="explore", step=0, generator=torch.Generator().manual_seed(0))
    assert bool((after[:, 0] == N).all())


def test_low_level_follows_the_skills_it_learned(generator):
    agent = make_agent()
    obs, skill = (np.random.rand(3, 4) * 40).astype(np.float32), np.random.rand(3, Z).astype(np.float32)  # noqa: NPY002

    def torch_says():
        with torch.no_grad():
            return agent.skills.act(torch.from_numpy(obs), torch.from_numpy(skill)).numpy()

    first = agent.low_level(obs, skill)
    np.testing.assert_allclose(first, torch_says(), atol=1e-5)
    for _ in range(5):
        agent.pretrain(make_skill_windows(), generator)
    np.testing.assert_allclose(agent.low_level(obs, skill), torch_says(), atol=1e-5)
    assert not np.allclose(agent.low_level(obs, skill), first, atol=1e-5)
    other = make_agent()
    other.low_level(obs, skill)
    other.load_state_dict(agent.state_dict())
    np.testing.assert_allclose(other.low_level(obs, skill), agent.low_level(obs, skill), atol=1e-6)


def test_actions_of_a_flat_agent_are_its_decisions():
    agent = LatentMPC(SPEC, latent=16, hidden=16, layers=2, window=N)
    assert (agent.horizon, agent.decision, agent.pretrains) == (1, 2, False)
    decision = np.ones((3, 2), np.float32)
    assert agent.low_level(np.zeros((3, 4), np.float32), decision) is decision


@pytest.mark.parametrize("phase", ["pretrain", "online"])
def test_resumed_updates_are_identical(phase, generator):
    agent, other = make_agent(lower_bound=True), make_agent(lower_bound=True)
    batches = [make_skill_windows(seed=i) if phase == "pretrain" else make_windows(seed=i) for i in range(6)]
    if phase == "online":
        agent.start_online()

    def step(agent, batch, seed):
        return getattr(agent, "pretrain" if phase == "pretrain" else "update")(
            batch, torch.Generator().manual_seed(seed)
        )

    for i in range(3):
        step(agent, batches[i], i)
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    other.load_training_state(copy.deepcopy(agent.training_state()))
    for i in range(3, 6):
        mine, theirs = step(agent, batches[i], i), step(other, batches[i], i)
        assert {k: float(v) for k, v in mine.items()} == {k: float(v) for k, v in theirs.items()}
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in agent.state_dict().items())


def test_two_agents_with_one_seed_learn_the_same():
    results = []
    for _ in range(2):
        agent = make_agent()
        g = torch.Generator().manual_seed(0)
        agent.pretrain(make_skill_windows(), g)
        agent.start_online()
        results.append([float(v) for v in agent.update(make_windows(), g).values()])
    assert results[0] == results[1]


def test_bfloat16_update_stays_near_float32():
    """Same weights, same batch: the losses agree to a few per cent."""
    agents = [make_agent(), make_agent()]
    agents[1].prepare(resolve("cpu", "bfloat16"))
    found = []
    for agent in agents:
        g = torch.Generator().manual_seed(0)
        metrics = agent.pretrain(make_skill_windows(), g)
        agent.start_online()
        found.append(metrics | agent.update(make_windows(), g))
    for name in ("bc", "kl_unit", "reconstruction", "consistency", "reward_error", "kl_prior"):
        assert float(found[1][name]) == pytest.approx(float(found[0][name]), rel=0.1, abs=0.01), name


def test_views_decode_what_they_encode(generator):
    agent = make_agent()
    windows = make_skill_windows()
    for _ in range(300):
        agent.pretrain(windows, generator)
    obs = windows.obs[2:, 0]
    error = (agent.decode(agent.encode(obs)) - obs)[:, :2].abs().mean()
    assert float(error) < 6.0  # of 40
    skill = agent.infer(windows.obs[:, :H], windows.actions[:, :H])
    assert skill.shape == (6, Z)
    assert agent.imagine(agent.encode(obs), skill[2:]).shape == (4, 16)
    assert agent.state_value(obs).shape == (4,)


def test_a_temperature_of_zero_is_refused_in_one_line():
    with pytest.raises(SmbrlError, match="above 0"):
        make_agent(alpha=0.0)


class Careless(LatentMPC):
    """Makes a tensor where PyTorch makes them by default."""

    def update(self, windows, generator):
        return super().update(windows, generator) | {"share": torch.tensor(0.5)}


def test_a_tensor_on_another_device_is_found_without_a_gpu():
    with pytest.raises(AssertionError, match=r"share of update on the agent's device; found cpu"):
        assert_conforms(Careless)


def learned(device, compile, updates):
    """Metrics of some updates, and a decision planned after them."""
    agent = make_agent(planner=Plan)
    agent.prepare(resolve(device, "float32", compile))
    g = torch.Generator(device).manual_seed(0)
    skill, online = [
        type(w)(**{name: x.to(device) for name, x in vars(w).items()}) for w in (make_skill_windows(), make_windows())
    ]
    metrics = [agent.pretrain(skill, g) for _ in range(updates)][-1]
    agent.start_online()
    metrics |= [agent.update(online, g) for _ in range(updates)][-1]
    obs = torch.rand(2, 4, generator=torch.Generator().manual_seed(0)).to(device) * 40
    decision, _ = agent.act(obs, agent.initial_memory(2), mode="evaluate", step=0, generator=g)
    return {name: float(value) for name, value in metrics.items()}, decision.cpu()


@pytest.mark.parametrize(
    "device",
    [
        pytest.param("cpu", marks=pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")),
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
            ],
        ),
    ],
)
def test_compiled_equals_eager(device):
    eager, compiled = learned(device, "off", 2), learned(device, "on", 2)
    for name, value in eager[0].items():
        assert compiled[0][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    torch.testing.assert_close(eager[1], compiled[1], atol=1e-3, rtol=0)
