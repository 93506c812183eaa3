import math

import numpy as np
import pytest
from PIL import Image

from smbrl.analysis.curves import compare, ema, learning_curve, pooled
from smbrl.analysis.style import LARGEST, figure, save, short
from smbrl.tracking.record import Record, read
from smbrl.training.intervals import wilson


def columns(path, success=True, steps=60, seed=0, bonus=0.0):
    record = Record(path, print)
    rng = np.random.default_rng(seed)
    for i in range(1, steps):
        rate = min(1.0, max(0.0, (i - 15) / 30))
        hits = rng.random(5) < rate if success else np.zeros(5)
        record.append({"train/success": hits.mean(), "train/return": bonus + 100 * hits.mean()}, 5000 * i, "online")
        if i % 5 == 0:
            ten = rng.random(10) < rate if success else np.zeros(10)
            record.append(
                {"eval/success": ten.mean(), "eval/return": bonus + 100 * ten.mean(), "eval/episodes": 10},
                5000 * i,
                "eval",
            )
    record.flush()
    return read(path)


def check(path, width, height):
    with Image.open(path) as image:
        assert image.size == (width, height)
        pixels = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, "an empty picture"
    assert path.stat().st_size <= LARGEST


def test_smoothing_is_the_papers_by_hand():
    values = [1.0, 2.0, 3.0]
    # anchor: mean of the first ten (here all three) = 2; 0.9 * 2 + 0.1 * 1 = 1.9; then 1.91; then 2.019
    np.testing.assert_allclose(ema(values, 0.9), [1.9, 1.91, 2.019])
    assert ema([5.0] * 40, 0.99).tolist() == pytest.approx([5.0] * 40)
    long = [0.0] * 10 + [1.0]
    assert ema(long, 0.99)[-1] == pytest.approx(0.01)
    assert ema([], 0.9).size == 0
    # without an anchor: 1; (0.9 * 0.1 * 1 + 0.1 * 2) / 0.19; ...
    np.testing.assert_allclose(ema(values, 0.9, 0), [1.0, 0.29 / 0.19, (0.81 * 0.1 + 0.09 * 2 + 0.1 * 3) / 0.271])


def test_seeds_are_pooled_into_bins_with_mean_and_deviation_by_hand():
    first = (np.array([0.0, 10.0, 100.0]), np.array([0.0, 1.0, 4.0]))
    second = (np.array([5.0, 99.0]), np.array([2.0, 2.0]))
    middle, mean, deviation = pooled([first, second], bins=2)
    assert middle.tolist() == [25.0, 75.0]
    assert mean.tolist() == [1.0, 3.0]
    assert deviation.tolist() == pytest.approx([math.sqrt(2 / 3), 1.0])


def test_seeds_that_are_evaluated_a_few_steps_apart_share_their_bins():
    steps = 25_000.0 * np.arange(1, 17)
    first, second = (steps + 20.0, np.zeros(16)), (steps + np.linspace(300.0, 0.0, 16), np.ones(16))
    _, mean, _ = pooled([first, second])
    assert mean.tolist() == [0.5] * 16


def test_wilson_interval_matches_published_values():
    # Newcombe (1998), table I: 81/263 -> 0.2553 to 0.3662; 0/20 -> 0 to 0.1611; 1/29 -> 0.0061 to 0.1718
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
    assert wilson(100, 100)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_a_run_with_rewards_besides_success_gets_both_panels(tmp_path):
    path = learning_curve(columns(tmp_path / "m.jsonl", bonus=5.0), tmp_path / "plots" / "curve.png", title="SkiMo")
    check(path, 1104, 480)


def test_a_run_whose_return_is_its_success_gets_one_panel(tmp_path):
    check(learning_curve(columns(tmp_path / "m.jsonl"), tmp_path / "curve.png"), 672, 480)


def test_a_run_without_any_success_gets_one_panel(tmp_path):
    path = learning_curve(columns(tmp_path / "m.jsonl", success=False), tmp_path / "curve.png")
    check(path, 672, 480)


def test_a_run_that_has_not_begun_gets_none(tmp_path):
    assert learning_curve(read(tmp_path / "absent.jsonl"), tmp_path / "curve.png") is None
    assert not (tmp_path / "curve.png").exists()


def test_methods_are_compared_over_seeds_and_with_published_values(tmp_path):
    runs = {
        "with CEM": [columns(tmp_path / f"{s}.jsonl", seed=s) for s in range(3)],
        "without": [columns(tmp_path / "9.jsonl", success=False)],
    }
    path = compare(runs, tmp_path / "compare.png", reference={"with CEM": ([0, 250_000], [0.03, 0.12])})
    check(path, 768, 480)
    assert compare({"x": []}, tmp_path / "none.png") is None


def test_a_noisy_picture_is_made_small_enough(tmp_path):
    with figure(5, 5) as (made, (axes,)):
        axes.imshow(np.random.default_rng(0).random((500, 500, 3)), interpolation="nearest")
        path = save(made, tmp_path / "noise.png")
    assert path.stat().st_size <= LARGEST
    assert not list(tmp_path.glob("*.tmp"))


def test_pictures_leave_matplotlibs_state_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    learning_curve(columns(tmp_path / "m.jsonl"), tmp_path / "curve.png")
    assert dict(matplotlib.rcParams) == before
    import matplotlib.pyplot

    assert not matplotlib.pyplot.get_fignums()


def test_steps_are_written_short():
    assert [short(v) for v in (0, 500, 25_000, 1_500_000)] == ["0", "500", "25k", "1.5M"]
