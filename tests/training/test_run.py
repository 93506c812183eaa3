"""A run from end to end, in the line world."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smbrl.errors import SmbrlError
from smbrl.training import checkpoint
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder
from smbrl.training.run import Summary, begin, execute

Make = Callable[..., Experiment]
Start = Callable[..., Summary]
Metrics = Callable[..., list[Any]]


def test_a_run_goes_through_all_phases_and_says_what_came_out(
    experiment: Make, start: Start, metrics: Metrics, tmp_path: Path
) -> None:
    summary = start(experiment())
    lines = metrics()
    assert [phase for _, phase, _ in lines[:2]] == ["pretrain", "pretrain"]
    assert [step for step, phase, line in lines if phase == "pretrain" and "pretrain/loss" in line] == [
        7,
        14,
        21,
        28,
        30,
    ]
    assert [step for step, _, line in lines if "validation/loss" in line] == [10, 20, 30]
    evaluated = [step for step, phase, _ in lines if phase == "eval"]
    assert [step // 150 for step in evaluated] == [1, 2, 3, 4]
    logged = [step for step, phase, _ in lines if phase == "online"]
    assert [step // 50 for step in logged] == list(range(1, 13))
    last = next(line for _, phase, line in reversed(lines) if phase == "online")
    # after the warm-up's end at 100: 11 at once, then 2 per 20 env steps
    assert last["online/updates"] == 11 + (summary.steps - 100) // 20 * 2
    assert last["online/replay_decisions"] <= 100
    assert lines[-1][1] == "final"
    assert lines[-1][2]["final/episodes"] == 5
    assert summary.results["success"] == lines[-1][2]["final/success"]
    info = json.loads((tmp_path / "runs" / "run" / "run.json").read_text())
    assert info["state"] == "finished"
    assert set(info["seconds"]) == {"data", "pretrain", "online", "final"}
    assert len(info["data_hash"]) == 64


def test_one_seed_gives_the_same_metrics_twice_and_another_seed_others(
    experiment: Make, start: Start, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(experiment(), "one")
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "elsewhere"))  # nothing to find: everything is computed again
    start(experiment(), "two")
    start(experiment(seed=1), "other")
    assert metrics("one") == metrics("two")
    assert metrics("one") != metrics("other")


def test_when_checkpoints_are_written_changes_no_number(
    experiment: Make, start: Start, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(experiment(), "rare")
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "elsewhere"))
    start(experiment({"Checkpoints.every_steps": 1}), "always")
    assert metrics("rare") == metrics("always")
    assert len(list((tmp_path / "runs" / "always" / "checkpoints").iterdir())) == 3


def test_evaluation_changes_no_number_of_the_training(experiment: Make, start: Start, metrics: Metrics) -> None:
    start(experiment(), "some")
    start(experiment({"Evaluation.every": 0, "Evaluation.episodes": 0}), "none")
    training = [line for line in metrics("some") if line[1] in ("pretrain", "online")]
    assert training == metrics("none")


def test_validation_teaches_nothing(experiment: Make, start: Start, metrics: Metrics) -> None:
    for name, every in (("some", 10), ("often", 1), ("never", 0)):
        start(experiment({"Pretraining.validate_every": every, "Pretraining.reuse": False}), name)

    def losses(name: str) -> list[Any]:
        return [line["pretrain/loss"] for _, _, line in metrics(name) if "pretrain/loss" in line]

    assert losses("some") == losses("often") == losses("never")


def test_an_agent_that_does_not_pretrain_needs_no_data(experiment: Make, start: Start, metrics: Metrics) -> None:
    made = experiment(agent={"pretrains": False})
    start(made)
    assert made.task.generated == 0  # type: ignore[attr-defined]
    assert {phase for _, phase, _ in metrics()} == {"online", "eval", "final"}


@pytest.mark.parametrize(
    ("successes", "patience", "begins"),
    [
        (0, None, lambda step, found: 100 <= step < 110),
        (20, None, lambda step, found: 20 <= found < 20 + 3),  # three environments may succeed at once
        (10_000, 200, lambda step, found: 200 <= step < 210),
        (10_000, None, None),
    ],
)
def test_the_warm_up_waits_for_successes(
    successes: int,
    patience: int | None,
    begins: Callable[[int, float], bool] | None,
    experiment: Make,
    start: Start,
    metrics: Metrics,
) -> None:
    start(experiment({"Online.warmup_successes": successes, "Online.warmup_patience": patience, "Online.log_every": 1}))
    learning = [(step, line) for step, phase, line in metrics() if phase == "online" and line["online/updates"] > 0]
    if begins is None:
        assert not learning
        return
    step, line = learning[0]
    assert begins(step, line["online/successes"])
    assert line["online/updates"] == 11


def test_learning_can_end_with_success(experiment: Make, start: Start) -> None:
    summary = start(experiment({"Online.until_success": 0.01, "Online.steps": 100_000}))
    assert summary.steps < 100_000


def test_a_finished_run_is_not_run_again(experiment: Make, start: Start, resume: Start, metrics: Metrics) -> None:
    first = start(experiment())
    before = metrics()
    again = resume(experiment())
    assert again.results == first.results
    assert metrics() == before


def test_two_processes_never_work_on_one_run(experiment: Make, start: Start, resume: Start, tmp_path: Path) -> None:
    made = experiment()
    folder = begin(tmp_path / "runs" / "run", made, "# none\n")
    with folder.locked(), pytest.raises(SmbrlError, match="another process"):
        execute(made, folder)


def test_a_full_disk_costs_checkpoints_but_not_the_run(
    experiment: Make,
    start: Start,
    metrics: Metrics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start(experiment(), "roomy")
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(logging.getLogger("smbrl"), "propagate", True)
    original, saves = checkpoint.write, 0

    def write(path: Path, state: dict[str, Any], **about: Any) -> None:
        nonlocal saves
        saves += about.get("phase") == "online"
        if 3 < saves < 9 and about.get("phase") == "online":
            raise OSError(28, "No space left on device")
        original(path, state, **about)

    monkeypatch.setattr(checkpoint, "write", write)
    start(experiment({"Checkpoints.every_steps": 50}), "full")
    assert caplog.text.count("cannot write the checkpoint") == 5
    assert metrics("full") == metrics("roomy")


@pytest.mark.parametrize("terminate", [False, True])
def test_a_time_out_is_remembered_as_an_end_only_where_that_is_asked_for(
    terminate: bool, experiment: Make, start: Start, tmp_path: Path
) -> None:
    start(experiment({"Online.timeouts_terminate": terminate, "Online.warmup_steps": 10_000}))
    latest = RunFolder(tmp_path / "runs" / "run").checkpoints().latest()
    assert latest is not None
    replay = latest.state["phase"]["replay"]
    last = replay["lengths"].cumsum(0) - 1
    ended = replay["rows"][last, 7].bool()  # next obs (2), obs (2), decision (2), reward, end, bound
    assert bool((~replay["rewarded"]).any())
    assert bool(ended[~replay["rewarded"]].all()) == terminate
    assert bool(ended[replay["rewarded"]].all())
