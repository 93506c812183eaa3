"""The CALVIN task against a stand-in for the simulator, which is not on PyPI."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_calvin import Simulator, install
from gymnasium.utils.env_checker import check_env
from smbrl_cli import main
from smbrl_plugins.tasks.calvin import Calvin
from smbrl_plugins.tasks.calvin_env import CONDITIONS, ORDER, CalvinEnv, holds
from smbrl_plugins.tasks.calvin_play import SKILLS, Player, begin, chosen

from smbrl.data import store
from smbrl.errors import SmbrlError
from smbrl.testing import check

STILL = np.zeros(7, np.float32)


@pytest.fixture
def composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    return install(tmp_path / "checkout", monkeypatch)


def scene(**changed: float) -> np.ndarray[Any, Any]:
    values = np.zeros(24)
    for name, value in changed.items():
        values[["slider", "drawer", "button", "switch", "bulb", "led"].index(name)] = value
    return values


def fake(env: CalvinEnv) -> Simulator:
    found = env.simulator._simulator
    assert isinstance(found, Simulator)
    return found


@pytest.mark.usefixtures("composed")
def test_the_environment_is_one() -> None:
    check_env(CalvinEnv(render_mode="rgb_array"))
    assert CalvinEnv(blocks=True).observation_space.shape == (39,)


def test_nothing_but_the_wanted_scene_is_asked_for_and_nothing_is_printed(
    composed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    env = CalvinEnv(scene="calvin_scene_B")
    env.close()
    assert composed == [["cameras=no_cameras", "scene=calvin_scene_B"]]
    assert capsys.readouterr() == ("", "")
    simulator = fake(env)
    simulator.close()
    assert simulator.closed == 1, "upstream closes once more when it is collected"


@pytest.mark.usefixtures("composed")
def test_subtasks_pay_in_order_and_only_then() -> None:
    env = CalvinEnv()
    env.reset(seed=0)
    simulator = fake(env)
    simulator.state[4] = 1.0  # the bulb, before its turn
    assert env.step(STILL)[1:4] == (0.0, False, False)
    simulator.state[3], simulator.state[1] = 0.088, 0.1199
    assert env.step(STILL)[1] == 0.0
    simulator.state[1] = 0.1201
    _, reward, terminated, _, info = env.step(STILL)
    assert (reward, terminated, info["subtasks"]) == (2.0, False, ("open drawer", "bulb on"))
    simulator.state[1] = 0.0
    simulator.state[0] = 0.1501
    assert env.step(STILL)[1] == 1.0
    simulator.state[5] = 1.0
    _, reward, terminated, truncated, info = env.step(STILL)
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)


@pytest.mark.usefixtures("composed")
def test_time_runs_out_after_360_steps() -> None:
    env = CalvinEnv()
    env.reset(seed=0)
    over = [env.step(STILL)[2:4] for _ in range(360)]
    assert over[-1] == (False, True)
    assert True not in [flag for flags in over[:-1] for flag in flags]


@pytest.mark.usefixtures("composed")
def test_observation_and_action_are_calvins() -> None:
    env = CalvinEnv(blocks=True)
    state = scene(slider=0.1, drawer=0.2, led=1.0)
    observation, _ = env.reset(seed=0, options={"scene": state})
    np.testing.assert_allclose(observation[15:], state)
    before = env.simulator.target
    observation, *_ = env.step(np.array([1, -1, 2, 0.5, 0, 0, 0], np.float32))
    moved = env.simulator.target - before
    np.testing.assert_allclose(moved, [0.02, -0.02, 0.02, 0.025, 0, 0], atol=1e-12)
    assert observation[14] == 1.0
    assert env.step(np.array([0, 0, 0, 0, 0, 0, -0.01], np.float32))[0][14] == -1.0


@pytest.mark.usefixtures("composed")
def test_an_episode_depends_on_its_seed_alone() -> None:
    env = CalvinEnv(blocks=True)
    first, _ = env.reset(seed=5)
    env.step(np.ones(7, np.float32))
    other, _ = env.reset(seed=6)
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[21:], other[21:])
    blocks = first[21:].reshape(3, 6)[:, :3]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(blocks) for b in blocks[:i]) > 0.1
    asked = [name for name, _ in fake(env).p.asked]
    assert asked.count("restoreState") == 3
    assert asked.index("setPhysicsEngineParameter") < asked.index("saveState")


@pytest.mark.usefixtures("composed")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"subtasks": ("open drawr",)}, "did you mean 'open drawer'"),
        ({"subtasks": ()}, "Calvin.subtasks is empty"),
        ({"scene": "calvin_scene_E"}, "Calvin.scene is 'calvin_scene_E'"),
        ({"time_limit": 0}, "Calvin.time_limit is 0"),
        ({"trajectories": 0}, "Calvin.trajectories is 0"),
        ({"longest": 0}, "Calvin.longest is 0"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SmbrlError, match=says):
        Calvin(**settings)


@pytest.mark.usefixtures("composed")
def test_wrong_resets_and_actions_are_refused() -> None:
    env = CalvinEnv()
    with pytest.raises(Exception, match="call reset before step"):
        env.step(STILL)
    with pytest.raises(SmbrlError, match="did you mean 'scene'"):
        env.reset(options={"scenes": 1})
    with pytest.raises(SmbrlError, match=r"reset option robot has shape \(3,\): give 15"):
        env.reset(options={"robot": [1, 2, 3]})
    env.reset()
    with pytest.raises(ValueError, match="7 finite numbers"):
        env.step(np.full(7, np.nan, np.float32))


def test_without_the_simulator_one_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "calvin_env", None)
    with pytest.raises(SmbrlError, match=r"calvin_env is not installed: git clone .* && pip install -e"):
        Calvin().make()
    with pytest.raises(SystemExit) as caught:
        main(["data", "generate", "--task", "Calvin", "--workers", "1"])
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: calvin_env is not installed: git clone")
    assert store.names() == []


def test_a_half_installation_is_one_line(
    composed: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkout" / "conf").rmdir()
    with pytest.raises(SmbrlError, match="without its folder conf"):
        CalvinEnv()
    monkeypatch.delitem(sys.modules, "calvin_env.envs.play_table_env")
    monkeypatch.setitem(sys.modules, "calvin_env.envs", None)
    with pytest.raises(SmbrlError, match=r"calvin_env needs calvin_env\.envs"):
        CalvinEnv()


@pytest.mark.usefixtures("composed")
@pytest.mark.parametrize("skill", SKILLS)
def test_every_skill_does_what_it_is_called(skill: str) -> None:
    env = CalvinEnv(blocks=True, time_limit=10_000)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        observation = begin(env, rng)
        while skill != "wander" and holds(observation, skill):
            observation = begin(env, rng)
        player = Player(env, observation, rng)
        assert player.perform(skill), (skill, seed, player.seen[15:21])
        assert np.abs(player.actions).max() <= 1.0


@pytest.mark.usefixtures("composed")
def test_play_has_something_to_do_and_shows_no_task() -> None:
    env = CalvinEnv(time_limit=10_000)
    rng = np.random.default_rng(0)
    seen: set[tuple[str, str]] = set()
    for _ in range(30):
        player = Player(env, begin(env, rng), rng)
        before = None
        for skill in chosen(player, rng, 5):
            assert skill == "wander" or not holds(player.seen, skill)
            player.perform(skill)
            if before is not None:
                seen.add((before, skill))
            before = skill
    assert len(seen) > 40
    assert {name for pair in seen for name in pair} == set(SKILLS)


@pytest.mark.usefixtures("composed")
def test_data_depend_on_the_seed_alone_and_are_stored() -> None:
    task = Calvin(trajectories=3, length=2, longest=120)
    first, again = (list(task.episodes(seed=1)) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.obs, b.obs)
        np.testing.assert_array_equal(a.actions, b.actions)
        assert len(a.actions) <= 120
    dataset = store.ensure(task, seed=1)
    assert dataset.id.startswith("smbrl/calvin-")
    np.testing.assert_array_equal(dataset.arrays.obs, np.concatenate([episode.obs for episode in first]))


@pytest.mark.usefixtures("composed")
def test_the_task_conforms() -> None:
    check(Calvin)
    task = Calvin()
    assert task.subtasks == ORDER == tuple(name for name in ORDER if name in CONDITIONS)
    env = task.make()
    observation, _ = env.reset(seed=0)
    seen = observation * np.array(task.spec.scale) + np.array(task.spec.shift)
    assert np.abs(seen).max() < 1.5
