"""``smbrl sweep`` from end to end, on runs that are over in an instant."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_runs import FAKE
from smbrl_cli import main
from smbrl_cli import sweep as sweep_command

from smbrl import config
from smbrl.sweeps import estimate, results
from smbrl.sweeps import plan as plans
from smbrl.sweeps.board import Board
from smbrl.sweeps.sweep import of_options
from smbrl.training.jobs import Job
from smbrl.training.watch import Watch

Call = Callable[..., tuple[int, str, str]]


class Anything:
    """A configuration that has every binding: what is fake has no gin file."""

    def __init__(self, files: object, overrides: list[str]) -> None:
        self.text = "\n".join(["Online.steps = 100", *(text.replace("=", " = ", 1) for text in overrides)])

    def value(self, name: str) -> str:
        return ""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """``call("--grid", ...)`` -> exit code, stdout, stderr; with fake runs."""
    monkeypatch.setattr(sweep_command, "CALL", [sys.executable, "-c", FAKE])
    monkeypatch.setattr(config, "load", Anything)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["sweep", *arguments])
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


def calls(folder: Path) -> list[int]:
    return [json.loads(path.read_text())["calls"] for path in sorted(folder.glob("*/run.json"))]


def test_runs_are_run_once_and_tabulated(call: Call, tmp_path: Path) -> None:
    arguments = ("--gin", "a", "--grid", "A.x=[1, 4]", "--seeds", "0,1", "--jobs", "2", "--runs", "s")
    code, out, err = call(*arguments)
    assert code == 0
    assert "4 runs of 2 configurations in s" in err
    assert "000-x_1-s0: started" in err
    assert "eval/return" in out  # no success ever: smbrl compare would take the return, too
    assert "best  4" in out
    assert "4.5 ± 0.71" in out
    assert "next: smbrl compare s --metric eval/return --by A.x" in out
    with open(tmp_path / "s" / "sweep.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["A.x"], row["seeds"], row["finished"], row["eval/return"]) for row in rows] == [
        ("1", "0 1", "2", "1.5"),
        ("4", "0 1", "2", "4.5"),
    ]
    code, _, err = call(*arguments)
    assert (code, "started" in err, "resumed" in err) == (0, False, False)
    assert calls(tmp_path / "s") == [1, 1, 1, 1]


def test_a_failing_run_harms_no_other_and_the_sweep_goes_on_by_its_folder(call: Call, tmp_path: Path) -> None:
    sweep = ("--gin", "a,c", "--grid", "A.x=[1]", "--runs", "t")  # the fake run of c fails at its first attempt
    code, out, err = call(*sweep, "--retries", "0")
    assert code == 1
    assert err.count("failed, exit code 2 (no luck): see") == 1
    assert "1 of 2 runs are finished; to go on: smbrl sweep --runs t --jobs" in err
    assert "0 of 1" in out
    code, out, err = call("--runs", "t", "--metric", "eval/success")
    assert code == 0
    assert "001-c-x_1-s0: resumed" in err
    assert "eval/success" in out
    assert "--by" not in out  # methods are compared by what they differ in
    assert calls(tmp_path / "t") == [1, 2]
    code, out, err = call("--gin", "a", "--grid", "A.x=[2]", "--runs", "t")
    assert (code, "holds another sweep" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "no gin file is given"),
        (("--seeds", "0,1"), "no gin file is given"),
        (("x.toml", "--seeds", "1"), "x.toml says what is run, and so does --seeds"),
        (("no.toml",), "cannot read the sweep no.toml"),
        (("--gin", "a", "--jobs", "-1"), "--jobs is -1; expected 0 or more"),
        (("--gin", "a", "--gpus", "1"), "add --ray"),
        (("--runs", "nowhere"), "there is no sweep in nowhere"),
        (("--gin", "a", "--grid", "A.x=1"), "expected a list"),
        (("--gin", "a", "--random", "A.x=uniform(0, 1)"), "not how often"),
    ],
)
def test_a_mistake_is_one_line(call: Call, arguments: tuple[str, ...], line: str) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("ray", ("--ray", "local")), ("optuna", ("--random", "A.x=uniform(0, 1)", "--optuna", "2", "-m", "eval/return"))],
)
def test_a_missing_extra_is_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch, module: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = call("--gin", "a", "--runs", "s", *arguments)
    assert code == 2
    assert f"pip install 'smbrl[{module}]'" in err


def test_a_dry_run_says_what_and_how_long_and_does_nothing(call: Call, tmp_path: Path) -> None:
    arguments = ("--gin", "a", "--grid", "A.x=[1, 4]", "--seeds", "0-2", "--jobs", "2", "--dry-run")
    code, out, _ = call(*arguments)
    assert code == 0
    assert "000-x_1-s0: waiting: --gin a -o A.x=1 --seed 0" in out
    assert "6 runs to do" in out
    assert "how long: unknown; none of these" in out
    assert not (tmp_path / "runs").exists()

    call("--gin", "a", "--grid", "A.x=[1]", "--runs", "runs/before")
    run = tmp_path / "runs" / "before" / "000-x_1-s0" / "run.json"
    began = datetime(2026, 1, 1, tzinfo=UTC)
    times = {"created": began.isoformat(), "finished": (began + timedelta(seconds=70)).isoformat()}
    run.write_text(json.dumps({**json.loads(run.read_text()), "seconds": {"online": 50, "final": 10}, **times}))
    code, out, _ = call(*arguments)
    assert "how long: about 3 min 30 s with 2 at a time, as fast as 000-x_1-s0 was" in out


def test_an_estimate_follows_steps_and_leaves_pre_training_apart(tmp_path: Path) -> None:
    run = plans.make(of_options(["skimo_maze", "budgets/smoke"]), tmp_path / "s").runs[0]
    mine = dict(line.split(" = ", 1) for line in config.load(run.gin).text.splitlines() if " = " in line)
    half = {**mine, "Online.steps": "3000", "Pretraining.updates": "30", "SkiMoVAE.kl_weight": "1.0"}
    seconds = {"online": 10.0, "pretrain": 4.0, "final": 1.0}
    one = estimate.Measured("other", half, "another", seconds, besides=2.0)
    found = estimate.estimate(run, [one])
    assert found == estimate.Estimate(20.0 + 1.0 + 2.0, 8.0, ("other",))
    assert estimate.estimate(run, []) == estimate.Estimate(None)
    elsewhere = estimate.Measured("x", {**half, "Experiment.task": "@Kitchen"}, "another", seconds)
    assert estimate.estimate(run, [elsewhere]).seconds is None


def test_so_many_at_a_time() -> None:
    assert estimate.makespan([3, 3, 3, 1], 1) == 10
    assert estimate.makespan([3, 3, 3, 1], 2) == 6
    assert estimate.makespan([], 2) == 0


def test_optuna_improves_the_mean_over_seeds_and_goes_on(call: Call, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    search = ("--gin", "a", "--random", "A.x=uniform(0, 1)", "--seeds", "0,2", "-m", "eval/return", "--runs", "s")
    code, _, err = call(*search, "--optuna", "3", "--jobs", "2")
    assert code == 0
    assert "a search of 3 configurations, 2 runs each, in s" in err
    assert calls(tmp_path / "s") == [1] * 6
    storage = f"sqlite:///{tmp_path}/s/optuna.db"
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    for trial in trials:  # the fake return is A.x + seed
        assert trial.value == pytest.approx(trial.params["A.x"] + 1.0, abs=1e-3)
    assert len({trial.params["A.x"] for trial in trials}) == 3


def test_a_search_that_was_stopped_finishes_what_it_was_trying(call: Call, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    search = ("--gin", "a", "--random", "A.x=uniform(0, 1)", "-m", "eval/return", "--runs", "s", "-o", "trouble=kill")
    code, _, _ = call(*search, "--optuna", "2", "--retries", "0", "--jobs", "1")
    assert code == 1  # each is killed once, and its trial has failed
    storage = f"sqlite:///{tmp_path}/s/optuna.db"
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "FAIL"]

    open_trial = study.ask({"A.x": optuna.distributions.FloatDistribution(0.0, 1.0)})
    written = json.loads((tmp_path / "s" / "sweep.json").read_text())
    value = f"{open_trial.params['A.x']:.4g}"
    last = dict(written["runs"][-1])
    last |= {"name": "002-again-s0", "configuration": 2, "values": {"A.x": value}, "set": [f"A.x={value}"]}
    written["runs"].append(last)
    (tmp_path / "s" / "sweep.json").write_text(json.dumps(written))
    code, _, _ = call(*search, "--optuna", "3")  # a search may be told to go on for longer
    assert code == 0
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert trials[2].state.name == "COMPLETE"
    assert trials[2].value == pytest.approx(trials[2].params["A.x"], abs=1e-3)


def test_the_best_has_all_its_seeds(tmp_path: Path) -> None:
    run = plans.SweepRun(("a",), (), 0, tmp_path, 0, "a", "none", ())
    whole, part = results.Result((run,), 1, (1.0,), 1, 1), results.Result((run, run), 1, (9.0,), 1, 1)
    low = results.Result((run,), 1, (0.5,), 1, 1)
    assert results.best([low, whole, part], "maximize") is whole
    assert results.best([low, whole, part], "minimize") is low
    assert results.best([part], "maximize") is None


def test_how_far_a_run_is_is_read_from_its_folder(tmp_path: Path) -> None:
    job = Job(("a",), (), 0, tmp_path / "run")
    watch = Watch(job, "eval/return")
    assert watch.look().state == "waiting"
    job.path.mkdir()
    (job.path / "config.gin").write_text("Online.steps = 1_000\n")
    (job.path / "run.json").write_text(json.dumps({"state": "running", "phase": "online", "step": 0}))
    lines = [{"step": s, "phase": "online", "wall": 10.0 + s / 10, "x": 1} for s in (100, 200)]
    lines.append({"step": 200, "phase": "eval", "wall": 31.0, "eval/return": -5.0})
    (job.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress = watch.look()
    assert (progress.step, progress.total, progress.left, watch.value) == (200, 1000, 80.0, -5.0)
    (job.path / "metrics.jsonl").write_text(json.dumps(lines[0]) + "\n")  # resumed from an earlier checkpoint
    assert (watch.look().step, watch.value) == (100, None)


def test_the_table_shows_what_goes_on_before_what_waits(tmp_path: Path) -> None:
    from rich.console import Console

    jobs = [Job(("a",), (), seed, tmp_path / f"r{seed}") for seed in range(6)]
    with Board(jobs, ["name"], lambda job: [job.name], "eval/return", lambda: 2) as board:
        board.begun(jobs[4], resumed=False)
        console = Console(width=100)
        with console.capture() as captured:
            console.print(board.table(room=3))
    text = captured.get()
    assert "r4" in text
    assert "running" in text
    assert "r5" not in text
    assert "0 of 6 finished" in text
