"""An exported policy of every method acts as the agent it was exported from, and stands alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gin
import numpy as np
import pytest
import torch
from exported import SEED, exported, observations, played, stir

import smbrl
from smbrl import config
from smbrl.discovery import Source
from smbrl.errors import SmbrlError
from smbrl.interfaces import TaskSpec
from smbrl.registry import Registry

METHODS = {
    "SkiMo": (["skimo_maze"], ["CEM.samples=32", "CEM.elites=8"]),
    "SkiMo without planner": (["skimo_maze", "ablations/no_cem"], []),
    "SkiMo with single steps": (["skimo_single_step_maze"], ["CEM.samples=16", "CEM.elites=4"]),
    "SkiMo + SAC": (["skimo_sac_maze"], []),
    "SPiRL": (["spirl_maze"], []),
    "SPiRL + TD-MPC": (["spirl_tdmpc_maze"], ["CEM.samples=32", "CEM.elites=8"]),
    "SPiRL + Dreamer": (["spirl_dreamer_maze"], []),
    "SAC": (["sac_pendulum"], []),
    "TD-MPC": (["tdmpc_pendulum"], []),
    "TD-MPC2": (["tdmpc_pendulum", "modern/td_mpc2"], []),
    "Dreamer": (["dreamer_pendulum"], []),
    "DreamerV3": (["dreamer_pendulum", "modern/dreamer_v3"], []),
    "DADS": (["dads_maze"], []),
    "LSP": (["lsp_maze"], []),
}
FOREIGN = (
    "gymnasium",
    "mujoco",
    "mlflow",
    "minari",
    "h5py",
    "rich",
    "typer",
    "pandas",
    "matplotlib",
    "scipy",
    "psutil",
)
UNASKED = ("smbrl.training", "smbrl.tracking", "smbrl.analysis", "smbrl.data", "smbrl.exporting", "smbrl_plugins.tasks")


@pytest.fixture(autouse=True)
def _own_gin() -> None:
    gin.clear_config()


@pytest.fixture(scope="module")
def skimo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object, TaskSpec]:
    return exported(tmp_path_factory.mktemp("skimo"), *METHODS["SkiMo"])


@pytest.mark.parametrize("method", METHODS)
def test_it_acts_exactly_as_the_agent(tmp_path: Path, method: str) -> None:
    path, agent, spec = exported(tmp_path, *METHODS[method])
    seen = observations(spec, 2 * agent.horizon + 3, 3)
    expected = played(agent, seen)
    assert np.ptp(expected) > 0  # a constant would prove nothing
    policy = smbrl.load(path, seed=SEED)
    np.testing.assert_array_equal([policy.act(obs) for obs in seen], expected)
    assert policy.horizon == agent.horizon
    assert policy.decision.shape == (3, agent.decision)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_left_out_is_what_acting_does_not_read(tmp_path: Path, method: str) -> None:
    """And imagining neither: nothing that comes out is NaN, which is what a policy has in the place of it."""
    path, _, spec = exported(tmp_path, *METHODS[method])
    policy = smbrl.load(path)
    for name in policy.about["left_out"]:
        value = policy.agent.state_dict()[name]
        assert not value.is_floating_point() or bool(value.isnan().all())
    obs = observations(spec, 2, 3)
    for mode in ("evaluate", "explore", "prior"):
        policy.reset()
        assert np.isfinite(policy.act(obs[0], mode=mode)).all()
    if policy.dynamics is not None:
        state = policy.dynamics.encode(obs[0])
        ahead = policy.dynamics.imagine(state, np.zeros((3, 4, policy.dynamics.decision)))
        assert ahead.shape == (3, 4, state.shape[-1])
        assert bool(ahead.isfinite().all())
    if policy.skills is not None:
        windows = observations(spec, 3, policy.horizon)
        actions = np.zeros((3, policy.horizon, spec.action))
        assert policy.skills.posterior(windows, actions).mode.shape == (3, policy.skills.size)
        assert bool(policy.skills.prior(obs).mean.isfinite().all())
        assert policy.skills.act(obs, np.zeros(policy.skills.size)).shape == (2, 3, spec.action)


def test_methods_have_the_skills_and_the_model_that_they_have(tmp_path: Path) -> None:
    has = {
        "SkiMo": (True, True),
        "SPiRL": (True, False),
        "SAC": (False, False),
        "Dreamer": (False, True),
        "DADS": (False, True),
    }
    for method, expected in has.items():
        (tmp_path / method).mkdir()
        policy = smbrl.load(exported(tmp_path / method, *METHODS[method])[0])
        assert (policy.skills is not None, policy.dynamics is not None) == expected, method


def test_nothing_of_the_training_stack_is_imported(tmp_path: Path) -> None:
    path, agent, spec = exported(tmp_path, *METHODS["SkiMo"])
    seen = observations(spec, 13, 2)
    np.save(tmp_path / "seen.npy", seen)
    script = tmp_path / "act.py"
    script.write_text(
        "import sys\n"
        "import numpy as np\n"
        "import torch\n"
        "torch.set_num_threads(1)\n"
        "import smbrl\n"
        f"policy = smbrl.load({str(path)!r}, seed={SEED})\n"
        f"np.save({str(tmp_path / 'acted.npy')!r}, [policy.act(o) for o in np.load({str(tmp_path / 'seen.npy')!r})])\n"
        "policy.skills.prior(np.zeros(4)), policy.dynamics.encode(np.zeros(4)), policy.value(np.zeros(4))\n"
        f"print(sorted(set(sys.modules) & set({FOREIGN + UNASKED!r})))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    np.testing.assert_array_equal(np.load(tmp_path / "acted.npy"), played(agent, seen))
    torch.set_num_threads(threads)


def test_one_environment_and_several_are_the_same_to_it(skimo: tuple[Path, object, TaskSpec]) -> None:
    path, _, spec = skimo
    policy, seen = smbrl.load(path, seed=SEED), observations(spec, 12, 1)
    together = [policy.act(obs) for obs in seen]
    policy.reset(seed=SEED)
    alone = [policy.act(obs[0]) for obs in seen]
    assert alone[0].shape == (spec.action,)
    np.testing.assert_array_equal(np.stack(together)[:, 0], alone)
    policy.reset(seed=SEED)
    np.testing.assert_array_equal(policy.act(seen[0].tolist()), together[0])
    policy.reset(seed=SEED)
    np.testing.assert_array_equal(policy.act(torch.from_numpy(seen[0])), together[0])


def test_an_episode_can_begin_while_others_go_on(skimo: tuple[Path, object, TaskSpec]) -> None:
    path, _, spec = skimo
    policy, seen = smbrl.load(path, seed=SEED), observations(spec, 20, 2)
    for obs in seen[:4]:
        policy.act(obs)
    before = policy.decision
    policy.reset([1])
    policy.act(seen[4])
    after = policy.decision
    np.testing.assert_array_equal(after[0], before[0])  # its skill lasts on
    assert not np.array_equal(after[1], before[1])
    for obs in seen[5:11]:
        policy.act(obs)
    assert not np.array_equal(policy.decision[0], before[0])
    np.testing.assert_array_equal(policy.decision[1], after[1])


def test_loading_leaves_the_process_as_it_was(skimo: tuple[Path, object, TaskSpec]) -> None:
    gin.parse_config("smbrl.Online.steps = 17")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first = smbrl.load(skimo[0])
    assert torch.equal(torch.rand(4), expected)
    assert gin.query_parameter("smbrl.Online.steps") == 17
    second = smbrl.load(skimo[0])
    obs = np.ones(first.spec.observation)
    np.testing.assert_array_equal(first.act(obs), second.act(obs))


@pytest.mark.parametrize(
    ("observation", "line"),
    [
        (np.zeros(3), r"has shape \(3,\); expected \(4,\), or \(E, 4\)"),
        (np.zeros((2, 2, 4)), r"has shape \(2, 2, 4\)"),
        (np.full(4, np.nan), "is not finite"),
    ],
)
def test_a_wrong_observation_is_one_line(
    skimo: tuple[Path, object, TaskSpec], observation: np.ndarray, line: str
) -> None:
    with pytest.raises(SmbrlError, match=line):
        smbrl.load(skimo[0]).act(observation)


def test_another_number_of_environments_needs_a_reset(skimo: tuple[Path, object, TaskSpec]) -> None:
    policy = smbrl.load(skimo[0])
    policy.act(np.zeros((2, 4)))
    with pytest.raises(SmbrlError, match="acts in 2 environments and was given 3 observations: call reset"):
        policy.act(np.zeros((3, 4)))
    policy.reset()
    assert policy.act(np.zeros((3, 4))).shape == (3, 2)


def copied(path: Path, to: Path, **changes: object) -> Path:
    """The folder again, with other entries in spec.json."""
    to.mkdir()
    for file in path.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    about = json.loads((to / "spec.json").read_text())
    (to / "spec.json").write_text(json.dumps({**about, **changes}))
    return to


def test_a_folder_that_cannot_be_loaded_is_one_line(skimo: tuple[Path, object, TaskSpec], tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match=r"does not exist: there is no spec.json; smbrl export RUN"):
        smbrl.load(tmp_path / "nowhere")
    with pytest.raises(SmbrlError, match=r"is no exported policy: it has no spec.json"):
        smbrl.load(tmp_path)
    with pytest.raises(SmbrlError, match=r"has format 99, written by smbrl 0.1.0; .* update smbrl"):
        smbrl.load(copied(skimo[0], tmp_path / "newer", format=99))
    damaged = copied(skimo[0], tmp_path / "damaged")
    model = damaged / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-4] + b"abcd")
    with pytest.raises(SmbrlError, match=r"model.safetensors is not what was exported \(its hash differs\)"):
        smbrl.load(damaged)
    model.unlink()
    with pytest.raises(SmbrlError, match=r"model.safetensors cannot be read \(No such file"):
        smbrl.load(damaged)


def test_a_part_that_is_not_installed_is_named(skimo: tuple[Path, object, TaskSpec], tmp_path: Path) -> None:
    parts = json.loads((skimo[0] / "spec.json").read_text())["parts"]
    (dynamics,) = [part for part in parts if part["kind"] == "dynamics"]
    others = [part for part in parts if part is not dynamics]
    lost = {**dynamics, "module": "smbrl_lost.parts", "distribution": "smbrl-lost", "version": "2.1"}
    with pytest.raises(
        SmbrlError, match=r"needs SkillDynamics of the plugin smbrl-lost 2.1, .* pip install smbrl-lost"
    ):
        smbrl.load(copied(skimo[0], tmp_path / "lost", parts=[*others, lost]))
    older = {**dynamics, "name": "NewDynamics", "version": "2.1"}
    with pytest.raises(SmbrlError, match=r"needs NewDynamics of smbrl 2.1: the installed .* has none"):
        smbrl.load(copied(skimo[0], tmp_path / "older", parts=[*others, older]))


def test_a_third_partys_part_is_taken_from_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import smbrl_plugins

    module = tmp_path / "calm_dynamics.py"
    module.write_text(
        "from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics\n"
        "class CalmDynamics(SkillDynamics):\n"
        "    '''Moves half as far.'''\n"
        "    def step(self, state, decision, generator=None):\n"
        "        return 0.5 * super().step(state, decision, generator)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from calm_dynamics import CalmDynamics

    registry = Registry()
    registry.add(smbrl_plugins, Source("builtin", "smbrl", "0.1.0"))
    registry.add_part(CalmDynamics, Source("calm", "smbrl-calm", "1.0"))
    assert not registry.problems
    monkeypatch.setattr(config, "load_plugins", lambda: registry)
    files, overrides = METHODS["SkiMo"]
    path, agent, spec = exported(tmp_path, files, [*overrides, "LatentMPC.dynamics=@CalmDynamics"])
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = observations(spec, 12, 2)
    policy = smbrl.load(path, seed=SEED)
    assert isinstance(policy.agent.get_submodule("model.dynamics"), CalmDynamics)
    assert "smbrl-calm==1.0" in (path / "README.md").read_text()
    np.testing.assert_array_equal([policy.act(obs) for obs in seen], played(agent, seen))


def test_other_weights_act_otherwise(tmp_path: Path) -> None:
    """The comparison with the agent can fail."""
    path, agent, spec = exported(tmp_path, *METHODS["SkiMo"])
    seen = observations(spec, 3, 2)
    policy = smbrl.load(path, seed=SEED)
    stir(agent)
    assert not np.array_equal([policy.act(obs) for obs in seen], played(agent, seen))
