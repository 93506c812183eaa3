"""``smbrl reproduce`` on a study of a small maze: runs, goes on, reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from smbrl_cli import main

SMALL = (
    "Maze.layout='medium'",
    "Maze.trajectories=12",
    "Maze.time_limit=150",
    "Pretraining.updates=2",
    "Pretraining.batch=8",
    "Pretraining.validation_share=0.2",
    "Pretraining.validation_batch=8",
    "Online.steps=400",
    "Online.warmup_steps=300",
    "Online.warmup_successes=0",
    "Online.first_updates=2",
    "Online.update_every=100",
    "Online.batch=8",
    "Online.log_every=150",
    "Evaluation.episodes=2",
    "Evaluation.every=300",
    "Evaluation.every_episodes=2",
    "LatentMPC.planner=None",
    "LatentMPC.hidden=32",
    "Tracking.enabled=False",
)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["reproduce", *arguments])
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


def test_a_study_is_run_gone_on_with_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, folder in (("SMBRL_HOME", "home"), ("SMBRL_RUNS", "runs")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    study = tmp_path / "small.toml"
    study.write_text(
        f'about = "a small maze"\nmetric = "train/success"\n[budgets]\ntiny = {json.dumps(SMALL)}\n'
        '[methods.SkiMo]\ngin = ["skimo_maze", "budgets/smoke"]\npublished = [[0, 0.0], [1000, 1.0]]\n'
        '[methods.broken]\ngin = ["skimo_maze", "budgets/smoke"]\nset = ["Online.rewarded_share=2.0"]\n'
    )
    code, out, err = call(capsys, "small.toml", "--only", "SkiMo", "--report")
    assert (code, "nothing has been run" in out) == (0, True)

    code, out, err = call(capsys, "small.toml")
    folder = tmp_path / "runs" / "small-tiny"
    assert code == 1  # one of the two could not be finished, and the other was all the same
    assert "skimo-s0: finished" in err
    assert "broken-s0: failed, exit code 2 (Online.rewarded_share is 2.0" in err
    assert "rewarded_share is 2.0" in (folder / "broken-s0.log").read_text()
    assert "to go on: smbrl reproduce" in err
    assert (folder / "report.md").exists()

    finished = json.loads((folder / "skimo-s0" / "run.json").read_text())["finished"]
    code, out, err = call(capsys, "small.toml", "--only", "SkiMo")
    assert code == 0
    assert err == ""
    assert json.loads((folder / "skimo-s0" / "run.json").read_text())["finished"] == finished
    assert "1.00 at 1,000" in out
