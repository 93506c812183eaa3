"""Replay of decisions, against windows made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from smbrl.data.replay import DecisionReplay, returns_to_go
from smbrl.errors import SmbrlError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def episode(
    replay: DecisionReplay, tag: int, length: int, rewards: list[float] | None = None, end: bool = True
) -> None:
    """Decision k of episode ``tag`` is made at observation 100 tag + k and is itself -(100 tag + k)."""
    obs = np.arange(length + 1, dtype=np.float32)[:, None] + 100 * tag
    replay.add_episode(obs, -obs[:-1], np.asarray(rewards or [0.0] * length, np.float32), end)


def replay(capacity: int = 20, **settings: float) -> DecisionReplay:
    return DecisionReplay(capacity, 1, 1, 0.5, **settings)  # type: ignore[arg-type]


def values(tensor: Tensor) -> list[float]:
    return [float(value) for value in tensor.flatten()]


def window_from(buffer: DecisionReplay, start: float, size: int) -> dict[str, list[float]]:
    """The one window of ``size`` that starts at observation ``start``."""
    for seed in range(200):
        windows = buffer.sample(16, size, generator(seed))
        for row in range(16):
            if windows.obs[row, 0, 0] == start:
                return {name: values(getattr(windows, name)[row]) for name in windows.__dataclass_fields__}
    raise AssertionError(f"no window starts at {start}")


def test_a_window_inside_an_episode() -> None:
    buffer = replay()
    episode(buffer, 1, 5, [0, 1, 0, 0, 4])
    assert window_from(buffer, 101, 3) == {
        "obs": [101, 102, 103, 104],
        "decision": [-101, -102, -103],
        "reward": [1, 0, 0],
        "terminated": [0, 0, 0],
        "mask": [1, 1, 1],
        # G_4 = 4, G_3 = 0 + 4/2, G_2 = 0 + 2/2, G_1 = 1 + 1/2
        "lower_bound": [1.5, 1, 2],
    }


def test_a_window_that_reaches_past_the_end_repeats_the_end_and_masks_it() -> None:
    buffer = replay()
    episode(buffer, 1, 3, [0, 0, 8])
    episode(buffer, 2, 4)
    assert window_from(buffer, 101, 4) == {
        "obs": [101, 102, 103, 103, 103],
        "decision": [-101, -102, -102, -102],
        "reward": [0, 8, 8, 8],
        "terminated": [0, 1, 1, 1],
        "mask": [1, 1, 0, 0],
        "lower_bound": [4, 8, 8, 8],
    }


def test_an_episode_of_one_decision_is_used() -> None:
    buffer = replay()
    episode(buffer, 1, 1, [3])
    windows = buffer.sample(4, 10, generator())
    assert values(windows.obs[0]) == [100] + [101] * 10
    assert values(windows.mask[0]) == [1] + [0] * 9


def test_a_time_out_is_no_end_of_the_mdp_and_bounds_nothing() -> None:
    buffer = replay()
    episode(buffer, 1, 3, [0, 1, 0], end=False)
    windows = buffer.sample(8, 3, generator())
    assert not windows.terminated.any()
    assert all(math.isinf(value) and value < 0 for value in values(windows.lower_bound))


def test_decisions_are_drawn_uniformly_not_episodes() -> None:
    buffer = replay()
    episode(buffer, 1, 2)
    episode(buffer, 2, 8)
    starts = buffer.sample(20_000, 2, generator()).obs[:, 0, 0]
    counts = [int((starts == value).sum()) for value in (100, 101, *range(200, 208))]
    assert sum(counts) == 20_000
    assert max(abs(count - 2000) for count in counts) < 5 * math.sqrt(2000)


def test_the_rewarded_share_comes_from_rewarded_episodes_uniform_over_them() -> None:
    buffer = replay(rewarded_share=0.25)
    episode(buffer, 1, 9)
    assert bool((buffer.sample(100, 2, generator()).obs[:, 0, 0] < 200).all()), "without reward it is uniform"
    episode(buffer, 2, 1, [5])
    episode(buffer, 3, 4, [0, 0, 0, 5])
    starts = buffer.sample(40_000, 2, generator()).obs[:, 0, 0]
    rewarded = starts[: 40_000 // 4]
    assert bool((rewarded >= 200).all())
    short = int((rewarded < 300).sum())
    assert abs(short - 5000) < 5 * math.sqrt(2500), "a uniform episode: the short one as often as the long one"
    for value in range(300, 304):
        assert abs(int((rewarded == value).sum()) - 1250) < 5 * math.sqrt(1250)
    others = starts[40_000 // 4 :]
    assert abs(int((others < 200).sum()) - 30_000 * 9 / 14) < 5 * math.sqrt(30_000 / 4)


def test_the_oldest_episodes_leave_and_windows_cross_the_ring_s_seam() -> None:
    buffer = replay(capacity=10, rewarded_share=0.5)
    episode(buffer, 1, 4, [1, 0, 0, 0])
    episode(buffer, 2, 4)
    episode(buffer, 3, 5, [0, 0, 0, 0, 2])  # needs episode 1's place, and lies across the seam: rows 8, 9, 0, 1, 2
    assert (len(buffer), buffer.episodes, buffer.rewarded) == (9, 2, 5)
    assert window_from(buffer, 301, 4)["obs"] == [301, 302, 303, 304, 305]
    starts = set(values(buffer.sample(500, 2, generator()).obs[:, 0, 0]))
    assert starts == {*range(200, 204), *range(300, 305)}
    assert values(buffer.observations()) == [200, 201, 202, 203, 300, 301, 302, 303, 304]
    assert torch.equal(DecisionReplay.observations_in(buffer.state(), 1), buffer.observations())


def test_a_restored_replay_draws_what_the_original_draws() -> None:
    buffer = replay(capacity=10, rewarded_share=0.5)
    for tag in range(1, 8):
        episode(buffer, tag, 1 + tag % 3, [float(tag % 2)] * (1 + tag % 3), end=bool(tag % 2))
    other = replay(capacity=10, rewarded_share=0.5)
    other.load_state(buffer.state())
    for buffers in (buffer, other):
        episode(buffers, 9, 3, [0, 0, 1])
    one, two = (b.sample(64, 4, generator(3)) for b in (buffer, other))
    for name in one.__dataclass_fields__:
        assert torch.equal(getattr(one, name), getattr(two, name)), name


def test_an_empty_replay_is_restored_too() -> None:
    other = replay()
    other.load_state(replay().state())
    assert len(other) == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replay(capacity=0), "Online.capacity is 0"),
        (lambda: replay(rewarded_share=1.5), "Online.rewarded_share is 1.5"),
        (lambda: episode(replay(capacity=3), 1, 4), "an episode of 4 decisions does not fit"),
        (lambda: replay(capacity=3).load_state(filled().state()), "another run|other sizes"),
    ],
)
def test_wrong_settings_are_one_line(make: object, words: str) -> None:
    with pytest.raises(SmbrlError, match=words):
        make()  # type: ignore[operator]


def filled() -> DecisionReplay:
    buffer = replay()
    episode(buffer, 1, 5)
    return buffer


def test_returns_to_go_by_hand() -> None:
    assert returns_to_go(np.array([1, 0, 2], np.float32), 0.5).tolist() == [1.5, 1.0, 2.0]
