"""Scripted demonstrations of the kitchen: their chains, their skills, and that they can be made again."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from smbrl_plugins.tasks.kitchen import Kitchen
from smbrl_plugins.tasks.kitchen_arm import Arm, Style, facing
from smbrl_plugins.tasks.kitchen_data import Demonstrations, Driver, draw_chain
from smbrl_plugins.tasks.kitchen_env import KITCHEN, MISALIGNED, KitchenEnv
from smbrl_plugins.tasks.kitchen_physics import START
from smbrl_plugins.tasks.kitchen_skills import SKILLS

from smbrl.data.files import read_arrays
from smbrl.errors import SmbrlError


def test_the_papers_transitions_are_common_or_rare_and_no_chain_has_a_whole_task():
    rng = np.random.default_rng(0)
    chains = [draw_chain(rng, 4) for _ in range(600)]
    pairs = Counter(pair for chain in chains for pair in pairwise(chain))
    common = [pairs[pair] for pair in pairwise(KITCHEN)]
    rare = [pairs[pair] for pair in pairwise(MISALIGNED[:3])]
    assert min(common) >= 60
    assert max(rare) <= 40
    assert min(rare) >= 3
    for chain in chains:
        assert len(set(chain)) == 4
        assert not set(KITCHEN) <= set(chain)
        assert not set(MISALIGNED) <= set(chain)
        if "hinge cabinet" in chain:  # its open door stands before the slide's handle
            assert "slide cabinet" not in chain[chain.index("hinge cabinet") :]


def test_a_trajectory_depends_on_seed_and_number_alone():
    what = Demonstrations(trajectories=2, chain=1, longest=150)
    in_order = list(Kitchen(trajectories=2, chain=1, longest=150).episodes(seed=4))
    again = Driver(what).trajectory(4, 1)
    assert np.array_equal(in_order[1].obs, again.obs)
    assert np.array_equal(in_order[1].actions, again.actions)
    other = Driver(what).trajectory(5, 1)
    assert not np.array_equal(other.obs[0], again.obs[0])


def test_stored_trajectories_fit_the_task(tmp_path: Path):
    task = Kitchen(trajectories=2, chain=1, longest=150)
    task.generate(tmp_path / "data", seed=0, workers=1)
    arrays = read_arrays(tmp_path / "data")
    assert arrays.obs.shape[1:] == (30,)
    assert arrays.actions.shape[1:] == (9,)
    for start, length in zip(arrays.starts, arrays.lengths, strict=True):
        done = task.completions(arrays.obs[start : start + length + 1])
        assert len(done) >= 1
        assert done[0][1] <= length


@pytest.mark.parametrize("name", sorted(SKILLS))
def test_skills_complete_their_sub_task(name: str):
    driver = Driver(Demonstrations(longest=250))
    found = driver.drive((name,), Style(), np.random.default_rng(1))
    assert found.completed == (True,)
    assert found.good
    assert 30 < found.ends[0] < 150
    arm = found.episode.actions[:, :7]  # smooth enough to be learned from noisy joints
    assert (np.abs(arm) >= 1.0).mean() < 0.2
    assert np.abs(np.diff(arm, axis=0)).mean() < 0.12
    assert np.abs(found.episode.actions[:, 7:]).max() < 0.5


def test_the_arm_is_where_it_was_told_to_be():
    env = KitchenEnv(noise=0.0, time_limit=400)
    arm = Arm(env, env.reset(seed=0)[0], np.random.default_rng(0), Style(), 400)
    for there in ((-0.3, 0.3, 2.2), (-0.5, 0.35, 1.9)):
        arm.move(there, facing(), near=0.0, wait=10)
        np.testing.assert_allclose(arm.hand, there, atol=0.008)


def test_a_trajectory_that_takes_too_long_has_failed():
    found = Driver(Demonstrations(longest=20)).drive(("kettle", "microwave"), Style(), np.random.default_rng(0))
    assert found.completed == (False, False)
    assert len(found.episode.actions) == 20


def test_what_was_stored_is_what_was_applied():
    driver = Driver(Demonstrations(longest=250))
    rng = np.random.default_rng(7)
    found = driver.drive(("light switch",), Style(speed=1.1, tremor=0.05), rng)
    env = KitchenEnv(noise=0.1, time_limit=400)
    again = np.random.default_rng(7)
    qpos = START.copy()
    qpos[:7] += 0.0 * again.standard_normal(7)
    obs, _ = env.reset(seed=int(again.integers(2**31)), options={"qpos": qpos})
    seen = [obs] + [env.step(action)[0] for action in found.episode.actions]
    assert np.array_equal(np.stack(seen), found.episode.obs)


def test_hands_are_rotations():
    for hand in (facing(), facing(yaw=0.3), facing(roll=1.0)):
        np.testing.assert_allclose(hand @ hand.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(hand) == pytest.approx(1.0)
    np.testing.assert_allclose(facing()[:, 2], [0, 1, 0], atol=1e-12)  # fingers point at the kitchen


def test_settings_that_make_no_data_are_refused():
    with pytest.raises(SmbrlError, match="give at least 1"):
        Kitchen(trajectories=0)
    with pytest.raises(SmbrlError, match="1 to 5"):
        Kitchen(chain=6)
    with pytest.raises(SmbrlError, match=r"Kitchen\.goal = True needs data"):
        Kitchen(goal=True).generate(Path("nowhere"), seed=0, workers=1)
