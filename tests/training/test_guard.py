"""Numbers that go wrong stop the run, and what was good stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from smbrl.errors import SmbrlError
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder
from smbrl.training.guard import DivergedError, Guard
from smbrl.training.run import Summary

Make = Callable[..., Experiment]
Start = Callable[..., Summary]


def test_the_diagnosis_names_metric_step_and_last_good_value() -> None:
    guard = Guard("pre-training", "update")
    guard.check({"loss": 0.5}, 100)
    with pytest.raises(DivergedError, match=r"diverged: loss is nan at update 200, it was 0.5 at update 100"):
        guard.check({"loss": float("nan")}, 200)


@pytest.mark.parametrize("value", [float("inf"), -1e13])
def test_explosions_count(value: float) -> None:
    with pytest.raises(DivergedError, match="there is no earlier value"):
        Guard("online learning", "env step").check({"loss": value}, 1)


def test_large_honest_values_do_not() -> None:
    Guard("online learning", "env step").check({"loss": 1e6}, 1)


def test_weights_are_looked_at() -> None:
    net = torch.nn.Linear(2, 1)
    guard = Guard("online learning", "env step")
    guard.check_parameters(net, 1)
    with torch.no_grad():
        net.bias.fill_(torch.nan)
    with pytest.raises(DivergedError, match="the weights bias are not finite at env step 5"):
        guard.check_parameters(net, 5)


def test_a_run_with_nan_stops_with_its_last_good_checkpoint(experiment: Make, start: Start, tmp_path: Path) -> None:
    # pre-training has an agent of its own, which makes 30 updates: the 40th is one online
    made = experiment({"Checkpoints.every_steps": 10}, agent={"poison_at": 40})
    with pytest.raises(SmbrlError, match=r"online learning diverged: .* last good checkpoint is at step \d+ of run"):
        start(made)
    folder = RunFolder(tmp_path / "runs" / "run")
    assert folder.info()["state"] == "diverged"
    latest = folder.checkpoints().latest()
    assert latest is not None
    assert 100 < latest.step < 600
    tensors = latest.state["phase"]["agent"].values()
    assert all(bool(torch.isfinite(value).all()) for value in tensors)


def test_the_same_happens_in_pretraining(experiment: Make, start: Start, tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match=r"pre-training diverged: .* is nan at update 21, it was .* at update 14"):
        start(experiment(agent={"poison_at": 17}))
    assert RunFolder(tmp_path / "runs" / "run").info()["error"].startswith("pre-training diverged")
