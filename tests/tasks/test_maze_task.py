import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from matplotlib.figure import Figure
from smbrl_plugins.tasks.maze import Maze
from smbrl_plugins.tasks.maze_data import Demonstrations, Driver, generate_episodes
from smbrl_plugins.tasks.maze_env import MazeEnv

from smbrl.data.files import Arrays, Episode, read_arrays
from smbrl.errors import SmbrlError


def make(seed: int = 0, workers: int = 1, trajectories: int = 20) -> list[Episode]:
    what = Maze(trajectories=trajectories, longest=200).demonstrations
    return list(generate_episodes(what, seed=seed, workers=workers))


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return make()


def test_normalisation_is_the_papers() -> None:
    spec = Maze().spec
    obs = np.array([10.0, 30.0, 5.0, -5.0])
    np.testing.assert_allclose(obs * spec.scale + spec.shift, [10 / 40 - 0.5, 30 / 40 - 0.5, 0.5, -0.5])
    assert (spec.observation, spec.action, spec.position, spec.time_limit) == (4, 2, (0, 1), 2000)
    assert Maze(size=20).spec.scale[0] == pytest.approx(1 / 20)


def test_settings_reach_the_environment() -> None:
    env = Maze(layout="umaze", reward=1.0, time_limit=7, radius=0.3).make()
    assert (env.reward, env.time_limit, env.problem.radius) == (1.0, 7, 0.3)
    assert env.render_mode is None
    assert Maze().make("rgb_array").render_mode == "rgb_array"


def test_the_drawing_shows_start_and_goal() -> None:
    axes = Figure().add_subplot()
    Maze().draw(axes)
    assert len(axes.patches) == 111 + 2
    assert axes.get_xlim() == pytest.approx((-0.7, 41.3))


def test_data_do_not_depend_on_the_number_of_processes(episodes: list[Episode]) -> None:
    seen: list[tuple[int, int]] = []
    what = Maze(trajectories=20, longest=200).demonstrations
    by_two = list(generate_episodes(what, seed=0, workers=2, progress=lambda *at: seen.append(at)))
    assert Arrays.of(by_two).content_hash() == Arrays.of(episodes).content_hash()
    assert seen[-1] == (20, 20)


def test_processes_end_when_their_parent_is_killed() -> None:
    program = """
from smbrl_plugins.tasks.maze_data import generate_episodes
from smbrl_plugins.tasks.maze import Maze
if __name__ == "__main__":
    for _ in generate_episodes(Maze().demonstrations, seed=0, workers=2):
        print("started", flush=True)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline().strip() == b"started"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert not psutil.wait_procs(children, timeout=20)[1]


def test_data_depend_on_the_seed_and_a_longer_set_begins_with_the_shorter(episodes: list[Episode]) -> None:
    assert Arrays.of(make(seed=1)).content_hash() != Arrays.of(episodes).content_hash()
    longer = make(trajectories=24)
    assert Arrays.of(longer[:20]).content_hash() == Arrays.of(episodes).content_hash()


def test_trajectories_are_what_the_environment_does(episodes: list[Episode]) -> None:
    env = MazeEnv()
    for episode in episodes[:4]:
        env.reset(options={"position": episode.obs[0, :2]})
        replayed = [env.step(action)[0] for action in episode.actions]
        np.testing.assert_array_equal(np.array(replayed), episode.obs[1:])


def test_actions_are_the_papers_controller() -> None:
    driver = Driver(Demonstrations("##########\n#OOOOOOOO#\n##########", 1, 400, 1))
    obs, actions = driver._drive(np.array([1.0, 1.0], np.float32), [[1.0, 4.0]])
    raw = 10 * (np.array([1.0, 4.0]) - obs[:-1, :2]) - obs[:-1, 2:]
    np.testing.assert_allclose(actions, np.clip(raw, -1, 1), atol=1e-5)
    assert np.hypot(*(obs[-1, :2] - [1.0, 4.0])) < 0.1
    assert np.hypot(*(obs[-2, :2] - [1.0, 4.0])) >= 0.1


def test_lengths_keep_their_bounds() -> None:
    for episode in make(trajectories=12):
        assert 51 <= len(episode.actions) <= 200
        assert len(episode.obs) == len(episode.actions) + 1
        assert np.abs(episode.actions).max() <= 1.0


def test_generate_writes_a_data_folder(tmp_path: Path) -> None:
    task = Maze(trajectories=3, longest=120)
    task.generate(tmp_path / "data", seed=0, workers=1)
    assert len(read_arrays(tmp_path / "data").lengths) == 3


def test_start_and_goal_do_not_change_the_data_wanted() -> None:
    request = Maze().dataset()
    assert Maze(start=(5.0, 5.0), goal=(30.0, 35.0), time_limit=9).dataset() == request
    assert Maze(layout_seed=1).dataset() != request
    assert Maze(trajectories=9).dataset() != request


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"trajectories": 0}, "0 trajectories"), ({"shortest": 300, "longest": 200}, "300 to 200 steps")],
)
def test_impossible_data_are_one_line(settings: dict[str, int], says: str) -> None:
    with pytest.raises(SmbrlError, match=says):
        Maze(**settings)


def test_a_layout_too_small_for_any_trajectory_is_one_line() -> None:
    with pytest.raises(SmbrlError, match="no way in this maze layout lasts 51 steps"):
        list(generate_episodes(Demonstrations("####\n#OO#\n####", 2), seed=0))


@pytest.mark.parametrize(("seed", "workers", "says"), [(-1, 1, "seed is -1"), (0, 0, "0 workers")])
def test_wrong_generator_arguments(seed: int, workers: int, says: str) -> None:
    with pytest.raises(SmbrlError, match=says):
        make(seed=seed, workers=workers)
