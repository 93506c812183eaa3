import time
from collections import Counter

import pytest
import torch

from smbrl.data.episodes import EpisodeStore
from smbrl.errors import SmbrlError


def numbered(*lengths: int) -> EpisodeStore:
    """Observation = (episode, step), action = (episode, step + 0.5), so that every row says where it is from."""
    obs, actions = [], []
    for episode, length in enumerate(lengths):
        steps = torch.arange(length + 1.0)
        obs.append(torch.stack([torch.full_like(steps, episode), steps], 1))
        actions.append(obs[-1] + torch.tensor([0.0, 0.5]))
    counts = torch.tensor(lengths)
    return EpisodeStore(torch.cat(obs), torch.cat(actions), (counts + 1).cumsum(0) - counts - 1, counts)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_windows_are_what_a_loop_over_rows_would_gather() -> None:
    lengths = (23, 4, 5, 61, 9)
    decisions, horizon = 4, 5
    windows = numbered(*lengths).sample(500, decisions, horizon, random())
    assert windows.obs.shape == (500, 21, 2)
    assert windows.actions.shape == (500, 20, 2)
    assert windows.mask.shape == (500, 4)
    masks = Counter()
    for obs, actions, mask in zip(windows.obs, windows.actions, windows.mask, strict=True):
        episode, start = int(obs[0, 0]), int(obs[0, 1])
        end = lengths[episode]
        for t in range(decisions * horizon + 1):
            assert obs[t].tolist() == [episode, min(start + t, end)]
            if t < decisions * horizon:
                expected = [episode, start + t + 0.5] if start + t < end else [0.0, 0.0]
                assert actions[t].tolist() == expected
        expected_mask = [float(start + (n + 1) * horizon <= end) for n in range(decisions)]
        assert mask.tolist() == expected_mask
        assert mask[0] == 1.0
        masks[tuple(expected_mask)] += 1
    assert len(masks) == 4  # every number of real decisions occurs


def test_starts_are_uniform_over_steps_whose_first_decision_is_complete() -> None:
    store = numbered(12, 4, 5, 30)
    horizon = 5
    possible = {(e, s) for e, length in enumerate((12, 4, 5, 30)) for s in range(length - horizon + 1)}
    assert store.places(horizon) == len(possible) == 8 + 0 + 1 + 26
    draws = 35_000
    obs = store.sample(draws, 2, horizon, random(1)).obs[:, 0]
    counts = Counter((int(e), int(s)) for e, s in obs)
    assert set(counts) == possible
    expected = draws / len(possible)
    chi2 = sum((n - expected) ** 2 / expected for n in counts.values())
    assert chi2 < 34 + 4 * (2 * 34) ** 0.5  # four standard deviations of its distribution


def test_the_same_generator_state_gives_the_same_windows() -> None:
    store = numbered(40, 50)
    one, two, other = (store.sample(8, 3, 4, random(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.obs, two.obs)
    assert not torch.equal(one.obs, other.obs)


def test_split_keeps_episodes_whole_and_apart() -> None:
    store = numbered(*[20] * 10)
    training, validation = store.split(0.3, random())
    assert (training.episodes, validation.episodes) == (7, 3)
    assert (training.steps, validation.steps) == (140, 60)
    seen = [set(part.sample(400, 2, 5, random()).obs[:, :, 0].flatten().tolist()) for part in (training, validation)]
    assert len(seen[0]) == 7
    assert len(seen[1]) == 3
    assert not seen[0] & seen[1]
    again = store.split(0.3, random())[1]
    assert torch.equal(again.starts, validation.starts)


def test_a_small_share_still_holds_one_episode_out() -> None:
    assert numbered(20, 20, 20).split(0.001, random())[1].episodes == 1


def test_the_last_row_of_an_episode_is_no_action() -> None:
    assert not numbered(3, 4).actions[[3, 8]].any()


def test_too_short_episodes_are_one_line() -> None:
    with pytest.raises(SmbrlError, match="longest of 2 episodes has 4 steps, less than one skill of 10"):
        numbered(3, 4).sample(2, 1, 10, random())


@pytest.mark.parametrize(
    ("share", "episodes", "says"), [(0.0, 3, "share is 0.0"), (1.0, 3, "1.0"), (0.5, 1, "1 episode")]
)
def test_impossible_splits_are_one_line(share: float, episodes: int, says: str) -> None:
    with pytest.raises(SmbrlError, match=says):
        numbered(*[10] * episodes).split(share, random())


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        EpisodeStore(torch.zeros(5, 2), torch.zeros(5, 2), torch.tensor([0]), torch.tensor([5]))


def test_sampling_beats_gathering_row_by_row() -> None:
    store = numbered(*[900] * 100)
    generator = random()
    horizon, decisions, batch = 10, 10, 512

    def by_rows() -> None:
        last = store._last(horizon)
        rows = []
        for _ in range(batch):
            place = int(torch.randint(int(last[-1]), (1,), generator=generator))
            episode = int(torch.searchsorted(last, place, right=True))
            left = int(last[episode]) - place + horizon - 1
            first = int(store.starts[episode] + store.lengths[episode]) - left
            rows.append(store.obs[first : first + min(left, decisions * horizon) + 1])
        torch.nn.utils.rnn.pad_sequence(rows)

    def best(action: object, repeats: int) -> float:
        times = []
        for _ in range(repeats):
            begin = time.perf_counter()
            action()  # type: ignore[operator]
            times.append(time.perf_counter() - begin)
        return min(times)

    fast = best(lambda: store.sample(batch, decisions, horizon, generator), 20)
    assert fast < best(by_rows, 3) / 4
