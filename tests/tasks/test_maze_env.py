import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from smbrl_plugins.tasks.maze_env import MazeEnv

from smbrl.errors import SmbrlError
from smbrl.registry import load_plugins

OPEN = "#" * 12 + "\n" + ("#" + "O" * 10 + "#\n") * 10 + "#" * 12


def force(x: float, y: float) -> np.ndarray:
    return np.array([x, y], np.float32)


def test_gymnasium_makes_it_and_its_checker_finds_nothing() -> None:
    load_plugins()
    for settings in ({}, {"layout": "umaze"}):
        env = gymnasium.make("smbrl/Maze-v0", render_mode="rgb_array", **settings).unwrapped
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env)
        env.close()


def test_a_step_changes_velocity_as_in_the_papers_data() -> None:
    env = MazeEnv(layout=OPEN)
    for action, velocity in [((1.0, -0.5), (0.0, 0.0)), ((0.0, 0.0), (4.0, -2.0)), ((0.3, 1.0), (-1.0, 3.0))]:
        env.reset(options={"position": (5.0, 5.0), "velocity": velocity})
        obs, *_ = env.step(force(*action))
        expected = np.array(velocity) + 0.238 * np.array(action) - 0.0024 * np.array(velocity)
        np.testing.assert_allclose(obs[2:], expected, atol=1.5e-3)
        np.testing.assert_allclose(obs[:2], 5.0 + 0.01 * obs[2:], atol=1e-6)  # semi-implicit Euler


def test_velocity_is_clipped_before_the_physics_step() -> None:
    env = MazeEnv(layout=OPEN)
    env.reset(options={"position": (5.0, 5.0), "velocity": (50.0, -50.0)})
    obs, *_ = env.step(force(0.0, 0.0))
    np.testing.assert_allclose(obs[2:], [5.0 - 0.0024 * 5, -5.0 + 0.0024 * 5], atol=1.5e-3)
    env.reset(options={"position": (1.0, 5.0)})
    fastest = max(float(env.step(force(1.0, 0.0))[0][2]) for _ in range(150))
    assert 5.2 < fastest < 5.24  # one step's force above the clip


def test_forces_beyond_the_range_are_clipped() -> None:
    env = MazeEnv(layout=OPEN)
    ends = []
    for strength in (1.0, 30.0):
        env.reset(options={"position": (5.0, 5.0)})
        ends.append(env.step(force(strength, -strength))[0])
    np.testing.assert_array_equal(*ends)


def test_walls_cannot_be_crossed() -> None:
    env = MazeEnv()
    walls = env.problem.layout
    rng = np.random.default_rng(0)
    free = walls.free
    region = walls.distances(free[0])
    for _ in range(25):
        cell = free[rng.integers(len(free))]
        env.reset(options={"position": (cell[0] - 0.2, cell[1] - 0.2)})
        connected = region[cell] >= 0
        action = rng.uniform(-1, 1, 2)
        for step in range(400):
            if step % 40 == 0:
                action = np.sign(rng.uniform(-1, 1, 2))  # full force, long enough to hit walls at full speed
            obs, *_ = env.step(action.astype(np.float32))
            x, y = float(obs[0]), float(obs[1])
            # the ball's surface may press a few millimetres into a wall, its middle never gets there
            assert walls.is_free(x, y), (x, y)
        if connected:
            assert region[int(np.floor(x + 0.7)), int(np.floor(y + 0.7))] >= 0


def test_a_ball_pressed_against_a_wall_stays_in_front_of_it() -> None:
    env = MazeEnv(layout=OPEN)
    env.reset(options={"position": (5.0, 5.0)})
    for _ in range(500):
        obs, *_ = env.step(force(1.0, 0.0))
    # free cells end at 10.3, the ball's radius is 0.1
    assert 10.15 < obs[0] < 10.21
    assert abs(obs[2]) < 1e-2


def test_the_goal_terminates_with_reward_and_success() -> None:
    env = MazeEnv()
    env.reset(options={"position": (18.0, 5.99 - 0.05), "velocity": (0.0, 5.0)})
    obs, reward, terminated, truncated, info = env.step(force(0.0, 1.0))
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)
    while not terminated:
        obs, reward, terminated, truncated, info = env.step(force(0.0, 1.0))
    assert np.hypot(obs[0] - 18, obs[1] - 8) <= 2.0
    assert (reward, truncated, info["success"]) == (100.0, False, True)


def test_the_time_limit_truncates_without_success() -> None:
    env = MazeEnv(time_limit=5)
    env.reset(seed=0)
    outcomes = [env.step(force(0.0, 0.0))[1:] for _ in range(5)]
    assert [o[2] for o in outcomes] == [False] * 4 + [True]
    assert outcomes[-1] == (0.0, False, True, {"success": False})


def test_the_default_time_limit_is_2000_steps() -> None:
    env = MazeEnv()
    env.reset(seed=3)
    steps = 1
    while not env.step(force(0.0, 0.0))[3]:
        steps += 1
    assert steps == 2000


def test_reaching_the_goal_on_the_last_step_is_no_truncation() -> None:
    env = MazeEnv(time_limit=1)
    env.reset(options={"position": (18.0, 8.0)})
    assert env.step(force(0.0, 0.0))[2:4] == (True, False)


def rollout(env: MazeEnv, seed: int) -> np.ndarray:
    obs, _ = env.reset(seed=seed)
    rng = np.random.default_rng(7)
    return np.array([obs, *(env.step(rng.uniform(-1, 1, 2).astype(np.float32))[0] for _ in range(300))])


def test_seed_and_actions_determine_everything() -> None:
    used = MazeEnv()
    rollout(used, 5)
    np.testing.assert_array_equal(rollout(used, 11), rollout(MazeEnv(), 11))
    assert (rollout(used, 12)[0] != rollout(used, 11)[0]).any()


def test_rendering_changes_nothing() -> None:
    env = MazeEnv(render_mode="rgb_array")
    env.reset(seed=1)
    plain = MazeEnv()
    plain.reset(seed=1)
    for _ in range(20):
        env.render()
        np.testing.assert_array_equal(env.step(force(1, 1))[0], plain.step(force(1, 1))[0])


def test_starts_are_uniform_around_the_papers_start() -> None:
    env = MazeEnv()
    starts = np.array([env.reset(seed=seed)[0] for seed in range(400)])
    assert starts[:, 0].min() > 7.8
    assert starts[:, 0].max() < 12.2
    np.testing.assert_allclose(starts[:, :2].mean(0), [10.0, 24.0], atol=0.25)
    np.testing.assert_allclose(starts[:, :2].std(0), 4 / np.sqrt(12), atol=0.12)


def test_clear_starts_never_lie_in_walls() -> None:
    clear, paper = MazeEnv(clear=True), MazeEnv()
    inside = {True: 0, False: 0}
    for env, key in ((clear, True), (paper, False)):
        for seed in range(200):
            obs, _ = env.reset(seed=seed)
            inside[key] += not env.problem.layout.is_free(float(obs[0]), float(obs[1]))
    assert inside[True] == 0
    assert inside[False] > 20  # as in the paper's task


def test_observations_are_float32_and_inside_their_space() -> None:
    env = MazeEnv(layout="medium")
    obs, _ = env.reset(seed=0)
    for _ in range(300):
        assert obs.dtype == np.float32
        assert env.observation_space.contains(obs)
        obs, *_ = env.step(env.action_space.sample())


@pytest.mark.parametrize("action", [[1.0, 0.0], None, np.zeros(3, np.float32), np.array([np.nan, 0.0], np.float32)])
def test_wrong_actions_are_refused(action: Any) -> None:
    env = MazeEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="array of two finite numbers"):
        env.step(action)


def test_step_before_reset_is_refused() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        MazeEnv().step(force(0, 0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"start": (12.0, 24.0)}, "start .* is cell \\(12, 24\\), a wall"),
        ({"goal": (99.0, 1.0)}, "outside the layout of 42 x 42"),
        ({"start": (float("nan"), 1.0)}, "two finite numbers"),
        ({"layout": "#####\n#S#G#\n#####"}, "no way leads"),
        ({"noise": -1.0}, "start noise is -1.0"),
        ({"radius": 0.0}, "goal radius is 0.0"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"renderer": "opengl"}, "renderer is 'opengl'"),
        ({"render_mode": "human"}, "render_mode is 'human'"),
    ],
)
def test_impossible_mazes_are_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SmbrlError, match=says):
        MazeEnv(**settings)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"positon": (1, 1)}, "'positon' is unknown"),
        ({"position": (1, 1, 1)}, "position is .* two finite"),
        ({"velocity": (1, 1)}, "needs position"),
    ],
)
def test_wrong_reset_options_are_one_line(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SmbrlError, match=says):
        MazeEnv().reset(options=options)
