"""The kitchen: its state, its reward rule, its noise, against hand-made states."""

import gymnasium
import numpy as np
import pytest
from smbrl_plugins.tasks.kitchen import Kitchen, KitchenMisaligned
from smbrl_plugins.tasks.kitchen_env import KITCHEN, MISALIGNED, KitchenEnv, KitchenMisalignedEnv
from smbrl_plugins.tasks.kitchen_physics import GOALS, HIGHEST, LOWEST, NOISE, START, goal_vector, holds

from smbrl.errors import SmbrlError
from smbrl.testing import assert_conforms

STILL = np.zeros(9, np.float32)


def achieved(*names: str) -> np.ndarray:
    """The starting state with these sub-tasks at their goals."""
    qpos = START.copy()
    for name in names:
        elements, goal = GOALS[name]
        qpos[list(elements)] = goal
    return qpos


@pytest.mark.parametrize("name", GOALS)
def test_a_goal_state_holds_for_its_sub_task_alone(name: str):
    assert holds(achieved(name), name)
    assert not holds(START, name)
    assert [other for other in GOALS if holds(achieved(name), other)] == [name]


def test_the_threshold_is_an_euclidean_distance_of_three_tenths():
    qpos = START.copy()
    qpos[22] = -0.75 + 0.29
    assert holds(qpos, "microwave")
    qpos[22] = -0.75 + 0.31
    assert not holds(qpos, "microwave")
    qpos = achieved("hinge cabinet")
    qpos[20:22] += -0.22  # 0.311 together
    assert not holds(qpos, "hinge cabinet")


def test_sub_tasks_pay_in_their_order_only():
    env = KitchenEnv()
    env.reset(seed=0, options={"qpos": achieved("light switch", "bottom burner")})
    _, reward, terminated, _, info = env.step(STILL)
    assert (reward, terminated, info["subtasks"]) == (0.0, False, ())
    env.reset(seed=0, options={"qpos": achieved("microwave", "bottom burner", "light switch")})
    _, reward, terminated, _, info = env.step(STILL)
    assert (reward, terminated, info["subtasks"]) == (1.0, False, ("microwave",))
    env.data.qpos[:] = achieved("kettle", "bottom burner", "light switch")  # the microwave is closed again
    _, reward, terminated, truncated, info = env.step(STILL)
    assert (reward, terminated, truncated) == (3.0, True, False)
    assert info == {"success": True, "subtasks": KITCHEN}


def test_the_misaligned_kitchen_has_its_own_order():
    env = KitchenMisalignedEnv()
    env.reset(seed=0, options={"qpos": achieved("microwave", "kettle", "light switch", "slide cabinet")})
    _, reward, terminated, _, info = env.step(STILL)
    assert (reward, terminated, info["subtasks"]) == (3.0, False, MISALIGNED[:3])


def test_time_runs_out():
    env = KitchenEnv(time_limit=3)
    env.reset(seed=0)
    ends = [env.step(STILL)[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_observations_are_the_state_with_d4rls_noise():
    env = KitchenEnv()
    seen = np.stack([env.reset(seed=seed)[0] for seed in range(300)]).astype(np.float64) - START
    assert np.abs(seen).max(0) == pytest.approx(0.1 * NOISE, rel=0.15)
    assert np.all(np.abs(seen) <= 0.1 * NOISE + 1e-6)
    quiet = KitchenEnv(noise=0.0)
    np.testing.assert_allclose(quiet.reset(seed=1)[0], START, atol=1e-6)


def test_with_the_goal_the_observation_is_d4rls():
    env = KitchenEnv(goal=True)
    obs, _ = env.reset(seed=0)
    assert obs.shape == (60,)
    goal = goal_vector(KITCHEN)
    np.testing.assert_allclose(obs[30:], goal, atol=1e-6)
    assert goal[[11, 12, 17, 22, 24]].tolist() == [-0.88, -0.01, -0.69, -0.75, 0.75]
    assert not goal[:9].any()
    assert goal[19] == 0.0  # the slide cabinet is none of the sub-tasks


def test_an_action_moves_the_target_from_the_observed_joints():
    env = KitchenEnv(noise=1.0)
    obs, _ = env.reset(seed=3)
    action = np.array([0.5, -2.0, 0, 0, 0, 0, 0, 1.0, -1.0], np.float32)
    env.step(action)
    expected = obs[:9] + 0.16 * np.clip(action, -1, 1)
    np.testing.assert_allclose(env.data.ctrl, np.clip(expected, LOWEST, HIGHEST), atol=1e-6)


def test_bad_actions_options_and_settings_are_refused():
    env = KitchenEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(STILL)
    with pytest.raises(SmbrlError, match="'state' is unknown"):
        env.reset(options={"state": START})
    with pytest.raises(SmbrlError, match="shape \\(3,\\)"):
        env.reset(options={"qpos": [1, 2, 3]})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="9 finite numbers"):
        env.step(np.full(9, np.nan, np.float32))
    with pytest.raises(SmbrlError, match="did you mean 'kettle'"):
        Kitchen(subtasks=("ketle",))
    with pytest.raises(SmbrlError, match="noise is -1"):
        Kitchen(noise=-1.0)
    with pytest.raises(SmbrlError, match="at least 1 step"):
        Kitchen(time_limit=0)


@pytest.mark.parametrize("build", [Kitchen, KitchenMisaligned, lambda: Kitchen(goal=True, noise=0.0)])
def test_the_tasks_conform(build):
    assert_conforms(KitchenMisaligned if build is KitchenMisaligned else Kitchen, build)


def test_both_tasks_pre_train_on_the_same_data():
    assert Kitchen().dataset() == KitchenMisaligned().dataset()
    assert Kitchen(subtasks=("kettle",), time_limit=99).dataset() == Kitchen().dataset()
    assert Kitchen(noise=0.0).dataset() != Kitchen().dataset()


def test_gymnasium_knows_them():
    from smbrl.registry import load_plugins

    load_plugins()
    for name, kind in (("Kitchen", KitchenEnv), ("KitchenMisaligned", KitchenMisalignedEnv)):
        env = gymnasium.make(f"smbrl/{name}-v0")
        assert isinstance(env.unwrapped, kind)
        assert env.unwrapped.progress.names == (KITCHEN if name == "Kitchen" else MISALIGNED)


def test_pictures_show_the_mechanisms_by_day():
    env = KitchenEnv(render_mode="rgb_array", pixels=120)
    sky = env.model.tex_data.copy()
    pictures = []
    try:
        for qpos in (START, achieved("microwave")):
            env.reset(seed=0, options={"qpos": qpos})
            pictures.append(env.render())
    except SmbrlError as error:
        pytest.skip(str(error))  # no OpenGL on this machine
    finally:
        env.close()
    assert pictures[0].shape == (120, 160, 3)
    assert np.abs(pictures[1].astype(int) - pictures[0])[:, :80].max() > 60
    assert pictures[0][:25, -10:].min() > 200  # past the wall
    np.testing.assert_array_equal(env.model.tex_data, sky)  # all environments share it
