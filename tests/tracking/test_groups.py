"""MLflow as its users expect it: parents and children, tags, one tidy frame, a server that dies and comes back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from smbrl_cli import main

from smbrl.analysis.comparison import sources
from smbrl.tracking import Tracker, Tracking, read
from smbrl.tracking.mlflow import sqlite_uri
from smbrl.training import announce
from smbrl.training.folder import RunFolder

QUICK = {"interval": 0.05, "patience": 60.0}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


def folder_of(root, seed, *, horizon=5, state="finished", steps=3):
    """A run as ``smbrl train`` leaves it, small."""
    info = {
        "task": "Maze",
        "agent": "LatentMPC",
        "seed": seed,
        "gin": ["skimo_maze"],
        "overrides": [f"CEM.horizon={horizon}"],
    }
    info |= {"git": "abc123", "data_hash": "d4", "state": state, "phase": "final", "tags": {"idea": "x"}}
    config = f"Experiment.seed = {seed}\nCEM.horizon = {horizon}\nTracking.interval = 0.05\nTracking.enabled = False\n"
    folder = RunFolder.create(root / f"skimo-h{horizon}-s{seed}", config, info)
    rows = [{"step": 100 * i, "phase": "eval", "wall": 1000.0 + i, "eval/success": i / 4} for i in range(1, steps + 1)]
    rows.append({"step": 100 * steps, "phase": "final", "wall": 1010.0, "final/success": 0.5 + 0.25 * seed})
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder.plots / "curve.png").write_bytes(b"png")
    return folder


def client(uri):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def history(uri, run, name):
    return [(m.step, m.value) for m in client(uri).get_metric_history(run, name)]


def test_seeds_are_gathered_under_one_parent_and_the_frame_is_tidy(tmp_path):
    import mlflow

    folders = [folder_of(tmp_path, 0), folder_of(tmp_path, 1), folder_of(tmp_path, 0, horizon=10)]
    for folder in folders:
        assert announce.sync(folder, announce.settings(folder))
    uri = sqlite_uri(tmp_path)
    mlflow.set_tracking_uri(uri)
    frame = mlflow.search_runs(experiment_names=["Maze"], filter_string="tags.kind = 'run'")
    assert sorted(frame["tags.mlflow.runName"]) == ["skimo-h10-s0", "skimo-h5-s0", "skimo-h5-s1"]
    first = frame.set_index("tags.mlflow.runName").loc["skimo-h5-s1"]
    assert first["metrics.final/success"] == 0.75
    assert first["params.CEM.horizon"] == "5"
    for name, value in {
        "method": "skimo",
        "task": "Maze",
        "seed": "1",
        "git": "abc123",
        "data_hash": "d4",
        "idea": "x",
    }.items():
        assert first[f"tags.{name}"] == value
    assert first["tags.phase"] == "final"
    assert first["tags.mlflow.source.git.commit"] == "abc123"
    assert first["tags.command"] == "smbrl train --gin skimo_maze -o CEM.horizon=5 --seed 1"
    assert (first["status"], first["start_time"].timestamp(), first["end_time"].timestamp()) == ("FINISHED", 1001, 1010)

    parents = mlflow.search_runs(experiment_names=["Maze"], filter_string="tags.kind = 'group'")
    assert sorted(parents["tags.mlflow.runName"]) == ["skimo CEM.horizon=10", "skimo CEM.horizon=5"]
    parent = parents.set_index("tags.mlflow.runName").loc["skimo CEM.horizon=5"]
    assert (parent["status"], parent["tags.seeds"], parent["tags.finished"]) == ("FINISHED", "0, 1", "2 of 2")
    assert parent["metrics.final/success"] == 0.625
    assert parent["params.CEM.horizon"] == "5"
    assert "params.Experiment.seed" not in parent.dropna()
    assert set(frame["tags.mlflow.parentRunId"]) == set(parents["run_id"])
    assert [f.path for f in client(uri).list_artifacts(first["run_id"])] == ["config.gin", "plots"]


def test_syncing_again_sends_nothing_twice_and_another_server_gets_all(tmp_path, monkeypatch, capsys):
    folder = folder_of(tmp_path / "runs", 0)
    settings = announce.settings(folder)
    assert settings.enabled is False  # it was trained without MLflow, and is sent all the same
    for _ in range(2):
        assert announce.sync(folder, settings)
    uri, other = sqlite_uri(tmp_path / "runs"), f"sqlite:///{tmp_path}/other.db"
    run = json.loads((folder.path / "mlflow.json").read_text())["run_id"]
    assert history(uri, run, "eval/success") == [(100, 0.25), (200, 0.5), (300, 0.75)]
    monkeypatch.setenv("SMBRL_RUNS", str(tmp_path / "runs"))
    with pytest.raises(SystemExit) as caught:
        main(["sync", "--uri", other])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "skimo-h5-s0: complete\n"
    assert len(sources.from_mlflow(other)) == 1
    assert announce.sync(folder, settings)  # the first server's run is still known
    found = client(uri).search_runs([client(uri).get_experiment_by_name("Maze").experiment_id], "tags.kind = 'run'")
    assert [r.info.run_id for r in found] == [run]


def test_runs_are_compared_from_mlflow_as_from_their_folders(tmp_path):
    for seed in (0, 1):
        folder = folder_of(tmp_path, seed)
        announce.sync(folder, announce.settings(folder))
    there = sources.from_mlflow(sqlite_uri(tmp_path), experiments=["Maze"])
    here = sources.from_folders([str(tmp_path)])
    assert sorted(run.name for run in there) == sorted(run.name for run in here)
    by_name = {run.name: run for run in there}
    for run in here:
        other = by_name[run.name]
        assert (run.method, run.task, run.seed, run.experiment) == (
            other.method,
            other.task,
            other.seed,
            other.experiment,
        )
        assert dict(run.bindings) == dict(other.bindings)
        names = ["eval/success"]
        assert run.load(names).values(names[0]).tolist() == other.load(names).values(names[0]).tolist()
    assert len(sources.from_mlflow(sqlite_uri(tmp_path), ["skimo-h5-s1"])) == 1


def test_a_group_can_have_a_name_of_its_own_and_the_environment_names_the_experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "paper")
    for folder in (folder_of(tmp_path, 0), folder_of(tmp_path, 0, horizon=10)):
        announce.sync(folder, Tracking(group="o'sweep", **QUICK))
    server = client(sqlite_uri(tmp_path))
    runs = server.search_runs([server.get_experiment_by_name("paper").experiment_id])
    (parent,) = [run for run in runs if run.data.tags["kind"] == "group"]
    assert parent.info.run_name == "o'sweep"
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs if run is not parent} == {parent.info.run_id}


def start_server(folder, port):
    """A real server; its log is kept."""
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    log = open(folder / "server.log", "ab")  # noqa: SIM115 - the server has it
    process = subprocess.Popen(
        words, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "GIT_PYTHON_REFRESH": "quiet"}
    )
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
            return process
        except OSError:
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            time.sleep(0.2)
    raise AssertionError("the server did not start")


def stop_server(process, number):
    os.killpg(process.pid, number)
    process.wait(30)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_server_that_dies_in_the_middle_of_a_run_and_comes_back_has_everything(tmp_path):
    import signal

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = start_server(tmp_path, port)
    folder = tmp_path / "runs" / "run"
    it = Tracker(folder, Tracking(uri=address, interval=0.2, patience=120.0), experiment="maze")
    try:
        it.params({"CEM.horizon": 5})
        for step in range(300):
            it.log({"online/loss": 1.0 / (step + 1)}, step)
        it.flush()
        end = time.monotonic() + 60
        while it.mlflow_run is None or len(history(address, it.mlflow_run, "online/loss")) < 300:
            assert time.monotonic() < end, "the first part did not arrive"
            time.sleep(0.2)
        stop_server(server, signal.SIGKILL)
        for step in range(300, 900):  # while it is away
            it.log({"online/loss": 1.0 / (step + 1)}, step)
        it.flush()
        time.sleep(1.0)
        (folder / "plots").mkdir()
        (folder / "plots" / "curve.png").write_bytes(b"png")
        it.artifact(folder / "plots" / "curve.png")
        server = start_server(tmp_path, port)
        for step in range(900, 1000):
            it.log({"online/loss": 1.0 / (step + 1)}, step)
        assert it.close("FINISHED")
        record = read(it.record.path)
        found = history(address, it.mlflow_run, "online/loss")
        assert found == list(
            zip(record.steps("online/loss").tolist(), record.values("online/loss").tolist(), strict=True)
        )
        assert len(found) == 1000
        run = client(address).get_run(it.mlflow_run)
        assert (run.info.status, run.data.params["CEM.horizon"]) == ("FINISHED", "5")
        assert [f.path for f in client(address).list_artifacts(it.mlflow_run, "plots")] == ["plots/curve.png"]
    finally:
        stop_server(server, signal.SIGKILL)
