import json
import math
import os
import time

import pytest

from smbrl.tracking.record import Record, lines, read


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def record(tmp_path, warnings):
    return Record(tmp_path / "run" / "metrics.jsonl", warnings.append)


def test_what_is_logged_is_read_back_in_order(tmp_path, warnings):
    record = Record(tmp_path / "metrics.jsonl", warnings.append, clock=iter([100.0, 101.0, 102.0]).__next__)
    record.append({"pretrain/loss": 0.5}, 10, "pretrain")
    record.append({"online/q": 1.0, "online/kl": 2.0}, 500, "online")
    record.append({"online/q": 3.0}, 1000, "online")
    record.flush()
    columns = read(record.path)
    assert columns.names == ["pretrain/loss", "online/q", "online/kl"]
    assert columns.steps("online/q").tolist() == [500, 1000]
    assert columns.values("online/q").tolist() == [1.0, 3.0]
    assert columns.last("online/kl") == 2.0
    assert columns.wall("online/q").tolist() == [101.0, 102.0]
    assert math.isnan(columns.last("absent"))
    assert columns.values("absent").size == 0


def test_every_line_is_standard_json_also_for_numbers_json_lacks(record):
    record.append({"a": math.nan, "b": math.inf, "c": -math.inf}, 1, "online")
    record.flush()
    json.loads(record.path.read_text(), parse_constant=lambda name: pytest.fail(name))
    columns = read(record.path)
    assert math.isnan(columns.last("a"))
    assert columns.last("b") == math.inf
    assert columns.last("c") == -math.inf


def test_scalar_tensors_are_taken(record):
    import torch

    record.append({"loss": torch.tensor(0.25)}, 1, "pretrain")
    record.flush()
    assert read(record.path).last("loss") == 0.25


def test_a_reserved_name_is_refused(record):
    with pytest.raises(ValueError, match="a metric cannot be called 'step'"):
        record.append({"step": 1.0}, 1, "online")


def test_rewinding_to_a_position_gives_the_same_record_as_without_interruption(tmp_path, warnings):
    straight = Record(tmp_path / "a", warnings.append, clock=lambda: 0.0)
    for step in range(20):
        straight.append({"x": step / 3}, step, "online")
    straight.flush()

    broken = Record(tmp_path / "b", warnings.append, clock=lambda: 0.0)
    for step in range(12):
        broken.append({"x": step / 3}, step, "online")
        if step == 7:
            position = broken.position()
    broken.flush()
    resumed = Record(tmp_path / "b", warnings.append, clock=lambda: 0.0)
    resumed.rewind(position)
    for step in range(8, 20):
        resumed.append({"x": step / 3}, step, "online")
    resumed.flush()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not warnings


def test_position_is_on_the_disk_when_it_returns(record):
    record.append({"x": 1.0}, 1, "online")
    assert record.position() == record.path.stat().st_size > 0


def test_rewinding_drops_what_is_still_in_memory(record):
    record.append({"x": 1.0}, 1, "online")
    position = record.position()
    record.append({"x": 2.0}, 2, "online")
    record.rewind(position)
    record.flush()
    assert read(record.path).steps("x").tolist() == [1]


def test_a_line_cut_in_half_by_a_kill_is_dropped_on_reading_and_on_continuing(record, warnings):
    record.append({"x": 1.0}, 1, "online")
    record.flush()
    with open(record.path, "ab") as file:
        file.write(b'{"step": 2, "phase": "onl')
    assert read(record.path).steps("x").tolist() == [1]
    again = Record(record.path, warnings.append)
    again.append({"x": 3.0}, 3, "online")
    again.flush()
    columns = read(record.path)
    assert columns.steps("x").tolist() == [1, 3]
    assert columns.damaged == 0


def test_damaged_lines_are_counted_and_skipped(record):
    record.append({"x": 1.0}, 1, "online")
    record.flush()
    with open(record.path, "ab") as file:
        file.write(b"garbage\n[1, 2]\n")
    record2 = read(record.path)
    assert record2.damaged == 2
    assert record2.steps("x").tolist() == [1]


def test_rewinding_past_the_end_warns_and_goes_on(record, warnings):
    record.append({"x": 1.0}, 1, "online")
    record.flush()
    record.rewind(10_000)
    assert len(warnings) == 1
    assert "10000" in warnings[0]
    record.append({"x": 2.0}, 2, "online")
    record.flush()
    assert read(record.path).steps("x").tolist() == [1, 2]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_gives_one_warning_and_loses_nothing_once_there_is_room(tmp_path, warnings):
    path = tmp_path / "metrics.jsonl"
    path.symlink_to("/dev/full")
    record = Record(path, warnings.append)
    for step in range(5):
        record.append({"x": 1.0}, step, "online")
        record.flush()
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]
    assert record.position() > 0
    path.unlink()
    record.append({"x": 1.0}, 5, "online")
    record.flush()
    assert read(path).steps("x").tolist() == [0, 1, 2, 3, 4, 5]
    assert len(warnings) == 1


def test_lines_can_be_followed_from_a_position(record):
    record.append({"x": 1.0}, 1, "online")
    position = record.position()
    record.append({"x": 2.0}, 2, "eval")
    record.flush()
    ((line, after),) = list(lines(record.path, position))
    assert (line.step, line.phase, line.metrics) == (2, "eval", {"x": 2.0})
    assert after == record.path.stat().st_size


def test_logging_thirty_metrics_costs_well_under_a_millisecond(record):
    metrics = {f"online/metric_{i}": i / 7 for i in range(30)}
    times = []
    for step in range(300):
        start = time.perf_counter()
        record.append(metrics, step, "online")
        times.append(time.perf_counter() - start)
    assert sorted(times)[len(times) // 2] < 5e-4
