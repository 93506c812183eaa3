"""A local Ray cluster: workers are killed, runs are stopped; skipped where Ray is not installed."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fake_runs import FAKE

from smbrl.errors import SmbrlError
from smbrl.training.folder import RunFolder
from smbrl.training.jobs import Job
from smbrl.training.work import work

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
LEASHED = [sys.executable, "-c", "from smbrl import leash; leash.hold()\n" + FAKE]


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    from smbrl.sweeps.cluster import Cluster

    with Cluster(LEASHED, "local", slots=2, cores=1) as found:
        yield found


def job(folder: Path, name: str, trouble: str = "") -> Job:
    return Job(("a",), (f"trouble={trouble}",) if trouble else (), 0, folder / name)


def soon(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def running(one: Job) -> bool:
    return (one.path / "run.json").exists() and "running" in (one.path / "run.json").read_text()


def test_all_come_to_their_end_though_a_worker_is_killed(cluster, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a"), job(tmp_path, "b", "sleep"), job(tmp_path, "c", "once"), job(tmp_path, "d")]

    def kill() -> None:
        soon(lambda: running(jobs[1]))
        (process,) = (p for p in psutil.process_iter(["cmdline"]) if str(jobs[1].path) in (p.info["cmdline"] or []))
        process.parent().kill()  # the worker, with SIGKILL; the run's process is left to the leash

    threading.Thread(target=kill, daemon=True).start()
    assert set(work(jobs, cluster, retries=1).values()) == {"finished"}
    info = json.loads((jobs[1].path / "run.json").read_text())
    assert info["calls"] == 2
    assert info["threads"] == "1"


def test_stopping_reaches_the_runs_on_the_cluster(cluster, tmp_path: Path) -> None:
    one = job(tmp_path, "a", "sleep")

    def stop() -> None:
        soon(lambda: running(one))
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        work([one], cluster)
    assert RunFolder.open(one.path).info()["state"] == "interrupted"


def test_no_cluster_is_one_line() -> None:
    from smbrl.sweeps.cluster import Cluster

    with pytest.raises(SmbrlError, match="there is no Ray cluster"):
        Cluster(LEASHED, "127.0.0.1:1")
