from functools import partial
from pathlib import Path

import numpy as np
import pytest

from smbrl.data.files import Arrays, Episode
from smbrl.data.generating import Maker, generate
from smbrl.errors import SmbrlError


def episode(seed: int, index: int) -> Episode:
    rng = np.random.default_rng([seed, index])
    steps = 3 + index % 4
    return Episode(
        rng.normal(size=(steps + 1, 2)).astype(np.float32),
        rng.normal(size=(steps, 1)).astype(np.float32),
        rng.normal(size=steps).astype(np.float32) if index % 2 else None,
        index % 3 == 0,
    )


def prepare(broken: int | None = None) -> Maker:
    def make(seed: int, index: int) -> Episode:
        if index == broken:
            raise SmbrlError(f"episode {index} cannot be made")
        return episode(seed, index)

    return make


def same(found: list[Episode], expected: list[Episode]) -> bool:
    return Arrays.of(found).content_hash() == Arrays.of(expected).content_hash()


def test_processes_change_nothing() -> None:
    expected = [episode(3, index) for index in range(11)]
    seen: list[tuple[int, int]] = []
    assert same(list(generate(prepare, 11, seed=3)), expected)
    assert same(list(generate(prepare, 11, seed=3, workers=2, chunk=2, progress=lambda *at: seen.append(at))), expected)
    assert seen[0] == (0, 11)
    assert seen[-1] == (11, 11)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_generation_goes_on(workers: int, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    with pytest.raises(SmbrlError, match="episode 7"):
        list(generate(partial(prepare, 7), 10, seed=3, workers=workers, chunk=2, parts=parts))
    finished = sorted(path.name for path in parts.glob("*.npz"))
    assert finished[:3] == [f"{first:07d}-{first + 2:07d}.npz" for first in (0, 2, 4)]
    # episode 0 would fail now: that it is not made again is what is tested
    going_on = partial(prepare, 0)
    found = list(generate(going_on, 10, seed=3, workers=workers, chunk=2, parts=parts))
    expected = [episode(3, index) for index in range(10)]
    assert same(found, expected)
    for one, other in zip(found, expected, strict=True):
        assert one.terminated == other.terminated
        assert (one.rewards is None) == (other.rewards is None)
        if one.rewards is not None and other.rewards is not None:
            np.testing.assert_array_equal(one.rewards, other.rewards)


def test_a_damaged_part_is_made_again(tmp_path: Path) -> None:
    list(generate(prepare, 6, seed=3, chunk=2, parts=tmp_path))
    part = tmp_path / "0000002-0000004.npz"
    part.write_bytes(part.read_bytes()[:50])
    assert same(list(generate(prepare, 6, seed=3, chunk=2, parts=tmp_path)), [episode(3, i) for i in range(6)])


def test_the_number_of_processes_and_the_seed_are_checked() -> None:
    with pytest.raises(SmbrlError, match="at least 1"):
        list(generate(prepare, 2, seed=0, workers=0))
    with pytest.raises(SmbrlError, match="positive"):
        list(generate(prepare, 2, seed=-1))
