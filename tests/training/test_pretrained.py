"""Pre-trained models are found again where nothing that matters has changed, and only there."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from line_world import LineTask

from smbrl.training.experiment import Experiment
from smbrl.training.pretrain import PretrainLoop
from smbrl.training.pretrained import PretrainedStore
from smbrl.training.run import Summary

Make = Callable[..., Experiment]
Start = Callable[..., Summary]
Metrics = Callable[..., list[Any]]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every pre-training that really happens: its seed is not looked at, its updates are."""
    counts: list[int] = []
    original = PretrainLoop.run

    def run(self: PretrainLoop, *rest: Any) -> None:
        original(self, *rest)
        counts.append(self.updates)

    monkeypatch.setattr(PretrainLoop, "run", run)
    return counts


def test_another_seed_of_the_run_shares_the_model_and_its_log(
    experiment: Make, start: Start, metrics: Metrics, trained: list[int]
) -> None:
    first = start(experiment(), "one")
    second = start(experiment(seed=1), "two")
    assert trained == [30]
    assert first.pretrained == second.pretrained
    of = {name: [line for line in metrics(name) if line[1] == "pretrain"] for name in ("one", "two")}
    assert of["one"] == of["two"]
    assert metrics("one") != metrics("two")


def test_a_run_that_found_its_model_has_the_numbers_of_one_that_made_it(
    experiment: Make, start: Start, metrics: Metrics, trained: list[int]
) -> None:
    start(experiment(), "made")
    start(experiment(), "found")
    assert trained == [30]
    assert metrics("made") == metrics("found")


@pytest.mark.parametrize(
    "other",
    [
        {"bindings": {"Pretraining.updates": 31}},
        {"bindings": {"Pretraining.batch": 5}},
        {"bindings": {"Pretraining.seed": 1}},
        {"bindings": {"Pretraining.seed": None}, "seed": 5},
        {"bindings": {"Pretraining.data_seed": 1}},
        {"bindings": {"Pretraining.validation_share": 0.3}},
        {"bindings": {"Pretraining.reuse": False}},
        {"agent": {"width": 9}},
        {"task": {"episodes": 13}},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_whatever_matters_makes_another_model(
    other: dict[str, Any], experiment: Make, start: Start, trained: list[int]
) -> None:
    start(experiment(), "one")
    start(experiment(**other), "two")
    assert len(trained) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"bindings": {"Online.steps": 300}},
        {"bindings": {"Checkpoints.keep": 1}},
        {"seed": 3},
        {"threads": 2},
    ],
    ids=str,
)
def test_what_comes_later_does_not(other: dict[str, Any], experiment: Make, start: Start, trained: list[int]) -> None:
    start(experiment(), "one")
    start(experiment(**other), "two")
    assert len(trained) == 1


def test_a_damaged_model_is_made_anew(
    experiment: Make,
    start: Start,
    trained: list[int],
    metrics: Metrics,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("smbrl"), "propagate", True)
    first = start(experiment(), "one")
    assert first.pretrained is not None
    path = Path(first.pretrained) / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    start(experiment(), "two")
    assert "is damaged" in caplog.text
    assert len(trained) == 2
    assert metrics("one") == metrics("two")


def test_data_are_generated_once(experiment: Make, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = LineTask.generate

    def generate(self: LineTask, path: Path, **rest: Any) -> None:
        made.append(1)
        original(self, path, **rest)

    monkeypatch.setattr(LineTask, "generate", generate)
    start(experiment(), "one")
    start(experiment({"Pretraining.updates": 3}), "two")
    assert len(made) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a second process at hand")
def test_a_second_process_waits_for_the_first_to_make_the_model(tmp_path: Path) -> None:
    store = PretrainedStore(tmp_path)
    key = {"agent": {"class": "X"}}
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        with store.making(key, print):
            os.write(go, b"x")
            time.sleep(0.7)
            store.keep(key, {}, [(1, {"loss": 2.0})])
        os._exit(0)
    os.read(ready, 1)
    waited: list[str] = []
    with store.making(key, waited.append):
        found = store.find(key)
    os.waitpid(child, 0)
    assert waited == ["another run is pre-training the same model: waiting for it"]
    assert found is not None
    assert found.lines == [(1, {"loss": 2.0})]
