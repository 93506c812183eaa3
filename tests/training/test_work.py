"""Runs are brought to their ends: some fail, some are killed, all are stopped gently."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from fake_runs import FAKE

from smbrl.errors import SmbrlError
from smbrl.training import jobs as training_jobs
from smbrl.training.folder import RunFolder
from smbrl.training.jobs import Job
from smbrl.training.work import Audience, Processes, environment_of, work


class Notes(Audience):
    def __init__(self, *more):
        self.told, self.batches = [], list(more)

    def begun(self, job, resumed):
        self.told.append((job.name, "resumed" if resumed else "started"))

    def ended(self, job, outcome):
        self.told.append((job.name, "stopped" if outcome is None else str(outcome)))

    def over(self, job):
        self.told.append((job.name, "over"))

    def more(self):
        return self.batches.pop(0) if self.batches else ()


@pytest.fixture
def job(tmp_path):
    return lambda name, *trouble: Job(
        ("a",), tuple(f"trouble={what}" for what in trouble), 0, tmp_path / "sweep" / name
    )


def here(slots=1, code=FAKE, **options):
    return Processes([sys.executable, "-c", code], slots, **options)


def calls(job):
    return RunFolder.open(job.path).info()["calls"]


def test_what_fails_does_not_stop_the_rest_and_is_tried_again(job):
    jobs, notes = [job("a"), job("b", "once"), job("c", "fail"), job("d")], Notes()
    assert list(work(jobs, here(2), notes, retries=1).values()) == ["finished", "finished", "failed", "finished"]
    assert [what for name, what in notes.told if name == "b"] == [
        *("started", "failed, exit code 2 (no luck); trying again", "resumed", "finished")
    ]
    assert [what for name, what in notes.told if name == "c"][-1] == "failed, exit code 2 (no luck)"
    assert (calls(jobs[0]), calls(jobs[2])) == (1, 2)

    notes = Notes()
    states = work(jobs, here(), notes)  # the same again: what is finished is left alone
    assert list(states.values()).count("finished") == 3
    assert notes.told[:2] == [("a", "over"), ("b", "over")]
    assert ("c", "resumed") in notes.told
    assert calls(jobs[0]) == 1


def test_a_killed_run_is_gone_on_with(job):
    jobs, notes = [job("a", "kill")], Notes()
    assert work(jobs, here(), notes, retries=1)[jobs[0]] == "finished"
    assert ("a", "failed, killed by signal 9; trying again") in notes.told


def test_one_that_somebody_stopped_is_gone_on_with_and_the_others_are_not_disturbed(job):
    jobs = [job("a", "stopped"), job("b")]
    assert set(work(jobs, here(), retries=1).values()) == {"finished"}


def test_a_diverged_run_is_not_tried_again(job):
    jobs, notes = [job("a", "diverge")], Notes()
    assert work(jobs, here(), notes, retries=3) == {jobs[0]: "diverged"}
    assert notes.told[-1] == ("a", "diverged: a loss is nan")
    assert calls(jobs[0]) == 1


def test_more_is_asked_for_when_nothing_waits(job):
    notes = Notes([job("b"), job("c")], [job("d")])
    assert [one.name for one in work([job("a")], here(2), notes)] == ["a", "b", "c", "d"]


def test_a_run_that_is_held_elsewhere_is_waited_for(job):
    jobs = [job("a", "once"), job("b")]
    work(jobs[:1], here())
    notes = Notes()
    with RunFolder.open(jobs[0].path).locked():
        threading.Timer(1.0, lambda: notes.told.append(("", "free"))).start()
        worker = threading.Thread(target=work, args=(jobs, here(1), notes))
        worker.start()
        while ("", "free") not in notes.told:
            time.sleep(0.05)
        assert ("b", "finished") in notes.told
        assert ("a", "resumed") not in notes.told
    worker.join(30)
    assert ("a", "finished") in notes.told


def test_a_termination_reaches_the_runs_which_save_themselves(job):
    jobs, notes = [job("a", "sleep"), job("b")], Notes()

    def terminate():
        while not (jobs[0].path / "run.json").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        work(jobs, here(), notes, retries=1)
    assert notes.told == [("a", "started"), ("a", "stopped")]
    assert RunFolder.open(jobs[0].path).info()["state"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before
    assert set(work(jobs, here()).values()) == {"finished"}


def test_runs_stop_with_the_process_that_started_them(job, tmp_path):
    """Whoever is killed with SIGKILL can tell nobody; the run notices, and saves itself."""
    one = job("a", "sleep")
    leashed = "from smbrl import leash; leash.hold()\n" + FAKE
    deaf = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})"  # as Ray's workers are
    starter = textwrap.dedent(
        f"""
        import pathlib, sys
        from smbrl.training.jobs import Job
        from smbrl.training.work import Processes, work
        job = Job(("a",), ("trouble=sleep",), 0, pathlib.Path({str(one.path)!r}))
        {deaf}
        work([job], Processes([sys.executable, "-c", {leashed!r}]))
        """
    )
    process = subprocess.Popen([sys.executable, "-c", starter])
    wait_for(lambda: (one.path / "run.json").exists(), 60)
    time.sleep(0.3)
    process.kill()
    process.wait()
    wait_for(lambda: RunFolder.open(one.path).info()["state"] == "interrupted", 30)
    assert work([one], here())[one] == "finished"


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_a_run_may_use_is_said_in_its_environment(job, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    one, two = job("a"), job("b")
    work([one], here(cores=3))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # whoever says so themselves is obeyed
    work([two], here(cores=3))
    assert [RunFolder.open(each.path).info()["threads"] for each in (one, two)] == ["3", "5"]
    assert environment_of(2, {"A": "b"})["MKL_NUM_THREADS"] == "2"


def test_devices_are_taken_in_turns_and_given_back(job, monkeypatch):
    taken = FAKE.replace('os.environ.get("OMP_NUM_THREADS")', 'os.environ.get("CUDA_VISIBLE_DEVICES")')
    jobs = [job(name) for name in "abc"]
    executor = here(2, taken, devices=["0", "1"])
    work(jobs, executor)
    assert sorted(RunFolder.open(one.path).info()["threads"] for one in jobs)[0] == "0"
    assert {RunFolder.open(one.path).info()["threads"] for one in jobs} == {"0", "1"}


def test_a_run_that_was_killed_before_it_was_one_begins_anew(job):
    one = job("a")
    one.path.mkdir(parents=True)
    (one.path / "config.gin").write_text("half")
    assert one.arguments(look=True)[0] == "train"
    assert one.path.exists()
    assert work([one], here())[one] == "finished"


def test_configurations_are_checked_before_anything_begins(job, tmp_path):
    good = Job(("skimo_maze",), (), 0, tmp_path / "good")
    training_jobs.check([good])
    with pytest.raises(SmbrlError, match="did you mean 'horizon'"):
        training_jobs.check([good, Job(("skimo_maze",), ("CEM.horizn=1",), 0, tmp_path / "bad")])
    work([job("a")], here())
    other = Job(("b",), (), 0, job("a").path)
    with pytest.raises(SmbrlError, match="choose another folder with --runs"):
        other.check()
    assert json.loads((other.path / "run.json").read_text())["gin"] == ["a"]
