"""The mirror against servers that are away, die in the middle, are slow, or refuse things."""

import logging
import threading
import time

import pytest

from smbrl.tracking import Tracker, Tracking, read
from smbrl.tracking.mirror import STATE, Refused, brief, public


class FakeServer:
    """Keeps what it is sent; can be told to fail."""

    def __init__(self):
        self.runs = {}
        self.down = False
        self.fail_after = None
        self.refuse = ()
        self.delay = 0.0
        self.lock = threading.Lock()

    def connect(self, uri, experiment, name):
        if self.down:
            raise ConnectionError("connection refused")
        return self

    def _check(self):
        time.sleep(self.delay)
        if self.down:
            raise ConnectionError("connection refused")

    def open(self, run, began):
        self._check()
        if run not in self.runs:
            run = f"run{len(self.runs)}"
            self.runs[run] = {"points": [], "params": {}, "tags": {}, "files": [], "status": "RUNNING"}
        self.runs[run]["status"] = "RUNNING"
        return run

    def steps(self, run):
        self._check()
        found = {}
        for point in self.runs[run]["points"]:
            found.setdefault(point.name, set()).add(point.step)
        return found

    def log(self, run, points, params, tags):
        self._check()
        if any(point.name in self.refuse for point in points):
            raise Refused("bad name")
        if self.fail_after is not None:
            self.fail_after -= len(points)
            if self.fail_after < 0:
                self.down = True
                raise ConnectionError("connection reset\nby peer")
        self.runs[run]["points"] += points
        self.runs[run]["params"].update(params)
        self.runs[run]["tags"].update(tags)

    def artifact(self, run, path, folder):
        self._check()
        self.runs[run]["files"].append((path.name, folder))

    def gather(self, run, parent):
        self._check()
        self.runs[run]["parent"] = parent.key

    def end(self, run, status, ended):
        self._check()
        self.runs[run]["status"] = status

    def summarise(self, run):
        self._check()

    def values(self, name, run="run0"):
        return [(p.step, p.value) for p in self.runs[run]["points"] if p.name == name]


@pytest.fixture(autouse=True)
def _propagate(monkeypatch):
    monkeypatch.setattr(logging.getLogger("smbrl"), "propagate", True)  # the command line switches it off


@pytest.fixture
def server():
    return FakeServer()


@pytest.fixture
def tracker(tmp_path, server):
    def make(**settings):
        settings = {"interval": 0.01, "patience": 5.0, **settings}
        return Tracker(tmp_path / "run", Tracking(**settings), connect=server.connect)

    return make


def eventually(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def test_metrics_params_tags_and_files_arrive(tracker, server, tmp_path):
    it = tracker()
    it.params({"LatentMPC.horizon": 10})
    it.tags({"method": "LatentMPC", "seed": 0})
    for step in range(3000):
        it.log({"online/a": step, "online/b": -step}, step)
    picture = tmp_path / "run" / "plots" / "curve.png"
    picture.parent.mkdir()
    picture.write_bytes(b"x")
    it.artifact(picture)
    assert it.close("FINISHED")
    run = server.runs["run0"]
    assert server.values("online/a") == [(s, float(s)) for s in range(3000)]
    assert len(run["points"]) == 6000
    assert run["params"] == {"LatentMPC.horizon": "10"}
    assert run["tags"] == {"method": "LatentMPC", "seed": "0"}
    assert run["files"] == [("curve.png", "plots")]
    assert run["status"] == "FINISHED"
    assert it.mlflow_run == "run0"


def test_a_server_that_is_away_costs_one_warning_and_no_time(tracker, server, caplog):
    server.down = True
    it = tracker()
    longest = 0.0
    for step in range(500):
        start = time.perf_counter()
        it.log({"online/a": step}, step)
        longest = max(longest, time.perf_counter() - start)
        time.sleep(0.0005)
    start = time.monotonic()
    assert not it.close()
    assert time.monotonic() - start < 2.0
    assert longest < 0.1
    assert len(caplog.records) == 1
    assert "connection refused" in caplog.text
    assert read(it.record.path).steps("online/a").size == 500


def test_a_server_that_comes_back_gets_everything(tracker, server, caplog):
    server.down = True
    it = tracker()
    it.tags({"seed": 1})
    it.log({"online/a": 1}, 1)
    eventually(lambda: caplog.records)
    server.down = False
    it.log({"online/a": 2}, 2)
    assert it.close()
    assert server.values("online/a") == [(1, 1.0), (2, 2.0)]
    assert server.runs["run0"]["tags"] == {"seed": "1"}


def test_a_server_that_dies_in_the_middle_gets_the_rest_later_and_nothing_twice(tracker, server, caplog):
    server.fail_after = 700
    it = tracker()
    for step in range(2500):
        it.log({"online/a": step}, step)
    it.record.flush()
    eventually(lambda: server.down)
    server.fail_after, server.down = None, False
    assert it.close()
    assert server.values("online/a") == [(s, float(s)) for s in range(2500)]
    assert len(caplog.records) == 1
    assert "connection reset" in caplog.text
    assert "by peer" not in caplog.text


def test_a_resumed_run_goes_on_in_the_same_mlflow_run_without_duplicates(tracker, server):
    first = tracker()
    for step in range(50):
        first.log({"online/a": step}, step)
        if step == 29:
            position = first.position()
    first.close("KILLED")
    assert server.runs["run0"]["status"] == "KILLED"
    second = tracker()
    second.rewind(position)
    for step in range(30, 100):
        second.log({"online/a": step}, step)
    second.close()
    assert list(server.runs) == ["run0"]
    assert server.values("online/a") == [(s, float(s)) for s in range(100)]


def test_what_was_recorded_while_the_server_was_away_arrives_with_the_resumed_run(tracker, server):
    server.down = True
    first = tracker(patience=0.2)
    first.log({"online/a": 1}, 1)
    position = first.position()
    first.close("KILLED")
    server.down = False
    second = tracker()
    second.rewind(position)
    second.log({"online/a": 2}, 2)
    second.close()
    assert server.values("online/a") == [(1, 1.0), (2, 2.0)]


def test_rewinding_while_mirroring_sends_nothing_twice(tracker, server):
    it = tracker()
    it.log({"online/a": 1}, 1)
    position = it.position()
    it.log({"online/a": 2}, 2)
    it.flush()
    eventually(lambda: "run0" in server.runs and len(server.values("online/a")) == 2)
    it.rewind(position)
    it.log({"online/a": 2}, 2)
    it.log({"online/a": 3}, 3)
    it.close()
    assert [step for step, _ in server.values("online/a")] == [1, 2, 3]


def test_a_run_that_was_deleted_on_the_server_begins_anew(tracker, server):
    first = tracker()
    first.log({"online/a": 1}, 1)
    first.close()
    server.runs.clear()
    second = tracker()
    second.log({"online/a": 2}, 2)
    second.close()
    assert server.values("online/a") == [(1, 1.0), (2, 2.0)]


def test_another_address_begins_another_run(tracker, server):
    first = tracker(uri="http://one")
    first.log({"online/a": 1}, 1)
    first.close()
    second = tracker(uri="http://two")
    second.log({"online/a": 2}, 2)
    second.close()
    assert list(server.runs) == ["run0", "run1"]


def test_what_the_server_refuses_is_left_out_and_the_rest_arrives(tracker, server, caplog):
    server.refuse = ("online/bad",)
    it = tracker()
    it.log({"online/bad": 1}, 1)
    it.flush()
    eventually(lambda: caplog.records)
    it.log({"online/good": 2}, 2)
    assert it.close()
    assert server.values("online/good") == [(2, 2.0)]
    assert len(caplog.records) == 1


def test_a_slow_server_cannot_hold_up_the_end_of_a_run(tracker, server, caplog):
    server.delay = 30.0
    it = tracker(patience=0.3)
    it.log({"online/a": 1}, 1)
    start = time.monotonic()
    assert not it.close()
    assert time.monotonic() - start < 1.5
    assert "within 0.3 s" in caplog.text


def test_disabled_tracking_keeps_the_record_and_starts_no_thread(tracker, server):
    it = tracker(enabled=False)
    before = threading.active_count()
    it.params({"a": 1})
    it.log({"online/a": 1}, 1)
    assert threading.active_count() == before
    assert it.close()
    assert not server.runs
    assert read(it.record.path).last("online/a") == 1.0


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (KeyboardInterrupt, "KILLED"), (ZeroDivisionError, "FAILED")]
)
def test_the_way_a_with_block_ends_is_the_status_of_the_run(tracker, server, error, status):
    try:
        with tracker() as it:
            it.log({"online/a": 1}, 1)
            if error:
                raise error
    except (KeyboardInterrupt, ZeroDivisionError):
        assert error
    assert server.runs["run0"]["status"] == status


def test_passwords_are_neither_stored_nor_shown(tracker, server, caplog):
    server.down = True
    it = tracker(uri="http://me:secret@host:1/x", patience=1.0)
    it.log({"online/a": 1}, 1)
    eventually(lambda: caplog.records)
    server.down = False
    it.close()
    assert "secret" not in caplog.text
    assert "secret" not in (it.folder / STATE).read_text()
    assert public("see https://u:p@h/x") == "see https://h/x"
    assert brief(ValueError()) == "ValueError"
