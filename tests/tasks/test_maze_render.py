import numpy as np
import pytest
from smbrl_plugins.tasks import maze_render
from smbrl_plugins.tasks.maze_env import MazeEnv

from smbrl.errors import SmbrlError


def at(env: MazeEnv, image: np.ndarray, x: float, y: float) -> tuple[int, ...]:
    """Colour of the picture at a position."""
    scale = image.shape[0] / env.problem.layout.columns
    return tuple(int(c) for c in image[image.shape[0] - 1 - int((y + 0.7) * scale), int((x + 0.7) * scale)])


def test_walls_goal_trail_and_agent_are_where_they_are() -> None:
    env = MazeEnv(render_mode="rgb_array")
    env.reset(options={"position": (10.8, 34.8)})
    for _ in range(200):
        env.step(np.array([-0.2, 0.0], np.float32))
    env.step(np.zeros(2, np.float32))
    image = env.render()
    assert image is not None
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    x, y = env.data.qpos.tolist()
    assert at(env, image, x, y) == maze_render.BALL
    assert at(env, image, 10.6, 34.8) == maze_render.TRAIL
    assert at(env, image, 20.0, 0.0) == maze_render.WALL
    assert at(env, image, 16.8, 7.2) == maze_render.GOAL
    assert at(env, image, 10.0, 23.0) == maze_render.START
    assert at(env, image, 38.0, 37.0) == maze_render.FLOOR


def test_a_new_episode_has_no_old_trail() -> None:
    env = MazeEnv(layout="umaze", render_mode="rgb_array", time_limit=50)
    env.reset(seed=1)
    first = env.render()
    for _ in range(50):
        env.step(np.array([0.0, 1.0], np.float32))
    assert (env.render() != first).any()
    env.reset(seed=1)
    np.testing.assert_array_equal(env.render(), first)


def test_the_picture_does_not_depend_on_how_often_it_is_drawn() -> None:
    often, once = (MazeEnv(layout="large", render_mode="rgb_array") for _ in range(2))
    for env in (often, once):
        env.reset(seed=2)
    for _ in range(60):
        often.step(np.array([1.0, 0.4], np.float32))
        often.render()
        once.step(np.array([1.0, 0.4], np.float32))
    np.testing.assert_array_equal(often.render(), once.render())


def test_without_a_render_mode_nothing_is_drawn() -> None:
    env = MazeEnv()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_mujoco_renders_or_says_what_is_missing() -> None:
    env = MazeEnv(render_mode="rgb_array", renderer="mujoco", pixels=120)
    env.reset(seed=0)
    try:
        image = env.render()
    except SmbrlError as error:
        assert "renderer 'topdown'" in str(error)  # noqa: PT017 - machines without OpenGL end here
    else:
        assert image is not None
        assert image.shape == (120, 120, 3)
        assert image.std() > 10
    finally:
        env.close()


def test_a_missing_opengl_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco

    def fail(*_: object) -> None:
        raise RuntimeError("no context")

    monkeypatch.setattr(mujoco, "MjrContext", fail)
    env = MazeEnv(render_mode="rgb_array", renderer="mujoco", pixels=64)
    env.reset(seed=0)
    with pytest.raises(SmbrlError, match=r"cannot render here.*topdown.*egl"):
        env.render()
