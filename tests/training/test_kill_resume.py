"""Killed at any instant and resumed, a run comes to the same numbers."""

from __future__ import annotations

import io
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from run_helpers import ended, forked, numbers

from smbrl.tracking.progress import ProgressBars
from smbrl.tracking.record import lines
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder
from smbrl.training.run import Summary, begin, execute
from smbrl.training.session import InterruptedRunError, Session

Make = Callable[..., Experiment]
Start = Callable[..., Summary]
Metrics = Callable[..., list[Any]]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Ask the run to stop as Ctrl-C would, the ``nth`` time that a loop of ``phase`` reaches a safe point."""

    def plan(phase: str, nth: int) -> None:
        seen = 0
        original = Session.pause

        def pause(self: Session, where: str, *rest: Any) -> None:
            nonlocal seen
            seen += where == phase
            if seen == nth:
                os.kill(os.getpid(), signal.SIGINT)
            original(self, where, *rest)

        monkeypatch.setattr(Session, "pause", pause)

    return plan


@pytest.mark.parametrize(
    ("phase", "nth"),
    [("pretrain", 1), ("pretrain", 13), ("online", 2), ("online", 15), ("online", 40), ("online", 100)],
)
def test_ctrl_c_saves_says_how_to_go_on_and_going_on_gives_the_same_numbers(
    phase: str,
    nth: int,
    experiment: Make,
    start: Start,
    resume: Start,
    metrics: Metrics,
    interrupted: Callable[[str, int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start(experiment(), "whole")
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "elsewhere"))
    with monkeypatch.context():
        interrupted(phase, nth)
        with pytest.raises(InterruptedRunError, match="smbrl resume run"):
            start(experiment())
        monkeypatch.undo()
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "elsewhere"))
    assert RunFolder(tmp_path / "runs" / "run").info()["state"] == "interrupted"
    resume(experiment())
    assert metrics("run") == metrics("whole")


LONG = {
    "Pretraining.updates": 300,
    "Online.steps": 3000,
    "Online.capacity": 500,
    "Checkpoints.every_seconds": 0.05,
}


def work(path: Path, home: Path, experiment: Make) -> Callable[[], Any]:
    """Start the run, or resume it where there is one."""

    def run() -> None:
        os.environ["SMBRL_HOME"] = str(home)
        made = experiment(LONG)
        folder = RunFolder.open(path) if (path / "run.json").exists() else begin(path, made, "# none\n")
        execute(made, folder, bars=ProgressBars(io.StringIO(), quiet=True))

    return run


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does")
def test_kill_9_at_random_instants_then_resume_gives_the_same_numbers(experiment: Make, tmp_path: Path) -> None:
    assert ended(forked(work(tmp_path / "whole", tmp_path / "one", experiment)), 120) == 0
    rng = random.Random(0)
    kills, path, wait = 0, tmp_path / "killed", 0.4
    while True:
        child = forked(work(path, tmp_path / "two", experiment))
        status = ended(child, rng.uniform(0.02, wait) if kills < 10 else 120)
        if status is not None:
            assert status == 0
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    assert kills >= 3, "the run is too short to be killed"
    assert numbers(path) == numbers(tmp_path / "whole")
    assert not RunFolder(path).busy


def test_time_goes_on_counting_after_a_resume(
    experiment: Make,
    start: Start,
    resume: Start,
    interrupted: Callable[[str, int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupted("online", 50)
    with pytest.raises(InterruptedRunError):
        start(experiment())
    before = RunFolder(tmp_path / "runs" / "run").info()["seconds"]["online"]
    monkeypatch.undo()
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    resume(experiment())
    spent = [
        line.metrics["time/online_seconds"]
        for line, _ in lines(tmp_path / "runs" / "run" / "metrics.jsonl")
        if line is not None and "time/online_seconds" in line.metrics
    ]
    assert spent == sorted(spent)
    assert spent[-1] > before


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_run_on_a_gpu_is_resumed_to_the_same_numbers(
    experiment: Make, start: Start, resume: Start, metrics: Metrics, interrupted: Callable[[str, int], None]
) -> None:
    start(experiment(device="cuda"), "whole")
    interrupted("online", 40)
    with pytest.raises(InterruptedRunError):
        start(experiment(device="cuda"))
    resume(experiment(device="cuda"))
    assert metrics("run") == metrics("whole")
