"""A finished run's policy is kept in its folder and among MLflow's artifacts."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import gin
import pytest

import smbrl
from smbrl import config, exporting
from smbrl.tracking.mlflow import client, sqlite_uri
from smbrl.training import announce
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder
from smbrl.training.run import begin

FILES = ["README.md", "config.gin", "model.safetensors", "policy.gin", "spec.json"]


@pytest.fixture(autouse=True)
def _own_gin() -> Iterator[None]:
    gin.clear_config()
    yield
    gin.clear_config()


def run(tmp_path: Path, **tracking: object) -> tuple[Experiment, RunFolder]:
    """A run that could have ended just now."""
    overrides = [f"Tracking.{name}={value!r}" for name, value in {"patience": 60.0, **tracking}.items()]
    loaded = config.load(["sac_pendulum"], [*overrides, "Experiment.device='cpu'"])
    experiment = loaded.build()
    folder = begin(tmp_path / "runs" / "run", experiment, loaded.text, {"gin": ["sac_pendulum"]})
    experiment.agent.start_online()
    folder.update(state="finished", step=700, results={"success": 0.5, "return": -200.0, "length": 9.0, "episodes": 4})
    return experiment, folder


def ended(experiment: Experiment, folder: RunFolder) -> bool:
    """Its end; whether the server has everything."""
    tracker = announce.tracker(folder, experiment.tracking)
    tracker.log({"eval/success": 0.5}, 700)
    exporting.finish(experiment)(folder, tracker)
    return tracker.close("FINISHED")


def artifacts(uri: str) -> list[str]:
    """Of the only run in the database."""
    server = client(uri)
    (found,) = server.search_runs([server.get_experiment_by_name("Pendulum-v1").experiment_id], "tags.kind = 'run'")
    return [Path(file.path).name for file in server.list_artifacts(found.info.run_id, "model")]


def test_the_policy_is_an_artifact_that_can_be_loaded(tmp_path: Path) -> None:
    experiment, folder = run(tmp_path)
    assert ended(experiment, folder)
    assert artifacts(sqlite_uri(folder.path.parent)) == FILES
    (stored,) = (tmp_path / "runs" / "mlflow-artifacts").rglob("model")
    policy = smbrl.load(stored)
    assert policy.step == 700
    assert policy.about["evaluation"]["episodes"] == 4


def test_what_a_server_missed_is_sent_later(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    experiment, folder = run(tmp_path, uri=f"http://127.0.0.1:{port}", patience=3.0)
    assert not ended(experiment, folder)
    assert sorted(file.name for file in (folder.path / "model").iterdir()) == FILES
    later = sqlite_uri(tmp_path)
    assert announce.sync(folder, type(experiment.tracking)(uri=later))
    assert artifacts(later) == FILES


def test_a_large_model_is_not_sent_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    experiment, folder = run(tmp_path, model_megabytes=0.01)
    with caplog.at_level(logging.WARNING, "smbrl"):
        assert ended(experiment, folder)
    (line,) = [record.getMessage() for record in caplog.records if "model" in record.getMessage()]
    assert "Tracking.model_megabytes is 0.01: it is not sent to MLflow; smbrl export run writes it" in line
    assert not (folder.path / "model").exists()


@pytest.mark.parametrize("tracking", [{"model_megabytes": 0.0}, {"enabled": False}])
def test_it_can_be_left_out(tmp_path: Path, tracking: dict[str, object]) -> None:
    experiment, folder = run(tmp_path, **tracking)
    ended(experiment, folder)
    assert not (folder.path / "model").exists()


def test_a_policy_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    experiment, folder = run(tmp_path)
    (folder.path / "model").write_text("in the way")
    with caplog.at_level(logging.WARNING, "smbrl"):
        assert ended(experiment, folder)
    assert any("no exported policy: SmbrlError" in record.getMessage() for record in caplog.records)
