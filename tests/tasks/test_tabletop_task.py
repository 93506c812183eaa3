from pathlib import Path

import numpy as np
import pytest
from smbrl_plugins.tasks.tabletop import Tabletop
from smbrl_plugins.tasks.tabletop_data import Hand, Play
from smbrl_plugins.tasks.tabletop_env import ORDER, TabletopEnv
from smbrl_plugins.tasks.tabletop_moves import Over
from smbrl_plugins.tasks.tabletop_play import SKILLS, Player, start

from smbrl.data.files import Arrays, Episode, read_arrays
from smbrl.errors import SmbrlError
from smbrl.testing import assert_conforms

SHORT_TASK = Tabletop(trajectories=6, shortest=40, longest=90)
SHORT = Play(trajectories=6, shortest=40, longest=90)


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return list(SHORT_TASK.episodes(seed=0))


def test_the_conformance_kit_finds_nothing() -> None:
    assert_conforms(Tabletop)


def test_normalised_observations_are_about_one() -> None:
    for blocks, size in ((False, 21), (True, 39)):
        task = Tabletop(blocks=blocks)
        assert (task.spec.observation, task.spec.action, task.spec.time_limit) == (size, 7, 360)
        env = task.make()
        rng = np.random.default_rng(0)
        for _ in range(5):
            obs = start(env, rng)
            assert np.abs(obs * task.spec.scale + task.spec.shift).max() < 1.6
    np.testing.assert_allclose(np.array([0.24, 0.0]) * task.spec.scale[15] + task.spec.shift[15], [1.0, -1.0])


def test_settings_reach_the_environment() -> None:
    task = Tabletop(subtasks=("LED on", "bulb on"), blocks=True, time_limit=9, noise=0.0)
    env = task.make()
    assert (task.subtasks, env.progress.names) == (("LED on", "bulb on"),) * 2
    assert (env.size, env.time_limit, env.noise, env.render_mode) == (39, 9, 0.0, None)
    assert task.make("rgb_array").render_mode == "rgb_array"


def test_completions_are_found_in_observations() -> None:
    obs = np.zeros((7, 39), np.float32)
    obs[:, 16] = [0.0, 0.119, 0.121, 0.2, 0.09, 0.079, 0.13]  # drawer
    obs[:, 15] = [0.24, 0.2, 0.1, 0.08, 0.0, 0.0, 0.0]  # door
    obs[4:, 20] = 1.0
    obs[6:, 19] = 1.0
    expected = [("open drawer", 2), ("slider right", 3), ("LED on", 4), ("close drawer", 5)]
    assert Tabletop().completions(obs) == [*expected, ("open drawer", 6), ("bulb on", 6)]


def test_what_pays_does_not_change_the_data_wanted() -> None:
    request = Tabletop().dataset()
    assert Tabletop(subtasks=("LED on",), time_limit=9, noise=0.0).dataset() == request
    assert Tabletop(blocks=True).dataset() != request
    assert Tabletop(trajectories=9).dataset() != request


def test_data_depend_on_the_seed_and_not_on_the_processes(episodes: list[Episode]) -> None:
    seen: list[tuple[int, int]] = []
    by_two = list(SHORT_TASK.episodes(seed=0, workers=2, progress=lambda *at: seen.append(at)))
    assert Arrays.of(by_two).content_hash() == Arrays.of(episodes).content_hash()
    assert seen[-1] == (6, 6)
    other = Hand(SHORT).trajectory(1, 0)
    assert Arrays.of([other]).content_hash() != Arrays.of(episodes[:1]).content_hash()
    assert Arrays.of([Hand(SHORT).trajectory(0, 2)]).content_hash() == Arrays.of(episodes[2:3]).content_hash()


def test_trajectories_are_play(episodes: list[Episode]) -> None:
    for episode in episodes:
        assert 40 <= len(episode.actions) <= 90
        assert episode.obs.shape == (len(episode.actions) + 1, 21)
        assert np.abs(episode.actions).max() <= 1.0
        assert set(np.unique(episode.actions[:, 6])) <= {-1.0, 1.0}
    assert len({len(episode.actions) for episode in episodes}) > 3


def test_with_blocks_the_same_play_is_seen() -> None:
    with_blocks = Hand(Play(1, 40, 60, blocks=True)).trajectory(0, 0)
    without = Hand(Play(1, 40, 60)).trajectory(0, 0)
    assert with_blocks.obs.shape[1] == 39
    np.testing.assert_array_equal(with_blocks.obs[:, :21], without.obs)
    np.testing.assert_array_equal(with_blocks.actions, without.actions)


def test_no_trajectory_completes_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand(Play(1, 30, 30))
    monkeypatch.setattr(TabletopEnv, "holds", lambda self, subtask: True)
    with pytest.raises(SmbrlError, match="every time"):
        hand.trajectory(0, 0)


def test_generate_writes_a_data_folder_and_goes_on(tmp_path: Path) -> None:
    task = Tabletop(trajectories=3, shortest=20, longest=30)
    task.generate(tmp_path / "data", seed=0, workers=1)
    whole = read_arrays(tmp_path / "data")
    parts = sorted((tmp_path / "parts").glob("*/*.npz"))
    assert len(whole.lengths) == 3
    assert len(parts) == 1
    (tmp_path / "again").mkdir()
    (tmp_path / "parts").rename(tmp_path / "again" / "parts")
    task.generate(tmp_path / "again" / "data", seed=0, workers=1)
    assert read_arrays(tmp_path / "again" / "data").content_hash() == whole.content_hash()


@pytest.mark.parametrize("skill", SKILLS)
def test_skills_do_what_they_are_for(skill: str) -> None:
    """3 of 3 here; success over 200 seeds each is in docs/tabletop.md."""
    before = {"close drawer": {"drawer": 0.17}, "slider right": {"slider": 0.21}, "bulb off": {"switch": 0.08}}
    env = TabletopEnv(ORDER, blocks=True, time_limit=10**6)
    blocks = [[-0.08, -0.09, 0.1], [0.03, -0.09, 0.0], [0.14, -0.09, -0.2]]
    for seed in range(3):
        options = {"blocks": blocks, **before.get(skill, {})}
        obs, _ = env.reset(seed=seed, options=options)
        player = Player(env, np.random.default_rng(seed), obs)
        assert player.play(skill)
        assert len(player.done) < 140


def test_a_player_stops_in_time_and_knows_its_skills() -> None:
    env = TabletopEnv(ORDER, blocks=True, time_limit=10**6)
    player = Player(env, np.random.default_rng(0), env.reset(seed=0)[0], steps=12)
    with pytest.raises(Over):
        player.play("open drawer")
    assert len(player.episode().actions) == 12
    with pytest.raises(SmbrlError, match="known"):
        player.play("juggle")
    assert "open drawer" in player.sensible()
    assert "close drawer" not in player.sensible()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"trajectories": 0}, "at least 1"),
        ({"shortest": 9, "longest": 8}, "shortest <= longest"),
        ({"subtasks": ()}, "at least one"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, int], says: str) -> None:
    with pytest.raises(SmbrlError, match=says):
        Tabletop(**settings)  # type: ignore[arg-type]
