"""Runs of the line world."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gin
import pytest
from line_world import LineAgent, LineTask
from run_helpers import numbers

from smbrl.tracking.progress import ProgressBars
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder
from smbrl.training.run import Summary, begin, execute

CONFIG = {
    "Pretraining.updates": 30,
    "Pretraining.batch": 4,
    "Pretraining.validation_share": 0.2,
    "Pretraining.validation_batch": 4,
    "Pretraining.validate_every": 10,
    "Pretraining.log_every": 7,
    "Online.steps": 600,
    "Online.envs": 3,
    "Online.warmup_steps": 100,
    "Online.first_updates": 11,
    "Online.updates": 2,
    "Online.update_every": 20,
    "Online.batch": 8,
    "Online.capacity": 100,
    "Online.rewarded_share": 0.25,
    "Online.log_every": 50,
    "Evaluation.episodes": 5,
    "Evaluation.every": 150,
    "Evaluation.every_episodes": 3,
    "Evaluation.envs": 2,
    "Checkpoints.every_seconds": 1e9,
    "Tracking.enabled": False,
}


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Own store, own runs, own gin."""
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SMBRL_RUNS", str(tmp_path / "runs"))
    gin.clear_config()
    yield
    gin.clear_config()


@pytest.fixture
def experiment() -> Callable[..., Experiment]:
    """Make an experiment: bindings by name, ``agent=dict(...)`` and ``task=dict(...)`` for its parts."""

    def make(
        bindings: dict[str, Any] | None = None,
        agent: dict[str, Any] | None = None,
        task: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Experiment:
        gin.clear_config()
        for name, value in {**CONFIG, **(bindings or {})}.items():
            gin.bind_parameter(name, value)
        return Experiment(
            lambda: LineTask(**(task or {})),  # type: ignore[arg-type]
            lambda spec: LineAgent(spec, **(agent or {})),  # type: ignore[arg-type]
            **{"device": "cpu", "precision": "float32", **settings},
        )

    return make


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Summary]:
    """Run an experiment to its end in a new folder; ``name`` of the folder."""

    def run(experiment: Experiment, name: str = "run", **options: Any) -> Summary:
        folder = begin(tmp_path / "runs" / name, experiment, "# none\n")
        return execute(experiment, folder, bars=ProgressBars(io.StringIO(), quiet=True), **options)

    return run


@pytest.fixture
def resume(tmp_path: Path) -> Callable[..., Summary]:
    """Go on with a run."""

    def run(experiment: Experiment, name: str = "run", **options: Any) -> Summary:
        folder = RunFolder.open(tmp_path / "runs" / name)
        return execute(experiment, folder, bars=ProgressBars(io.StringIO(), quiet=True), **options)

    return run


@pytest.fixture
def metrics(tmp_path: Path) -> Callable[[str], list[Any]]:
    """Everything that a run recorded, wall-clock time left out."""

    def read(name: str = "run") -> list[Any]:
        return numbers(tmp_path / "runs" / name)

    return read
