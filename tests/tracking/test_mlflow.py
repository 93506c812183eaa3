"""The real MLflow: sqlite, a closed port, a place that cannot be written, an address that means nothing."""

import logging
import os
import socket
import sys
import time

import pytest

from smbrl.errors import SmbrlError
from smbrl.tracking import Tracker, Tracking, read
from smbrl.tracking.mirror import clean
from smbrl.tracking.mlflow import Mlflow, sqlite_uri

QUICK = {"interval": 0.05, "patience": 60.0}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(logging.getLogger("smbrl"), "propagate", True)  # the command line switches it off


def history(uri, run, name):
    from mlflow import MlflowClient

    return [(m.step, m.value) for m in MlflowClient(tracking_uri=uri).get_metric_history(run, name)]


def test_by_default_everything_is_in_a_database_beside_the_runs_and_a_resumed_run_continues_there(tmp_path):
    from mlflow import MlflowClient

    folder = tmp_path / "runs" / "first run"
    first = Tracker(folder, Tracking(**QUICK), experiment="maze")
    first.params({"LatentMPC.encoder": "@FourierEncoder", "long": "x" * 10_000, **{f"p{i}": i for i in range(250)}})
    first.tags({"method": "LatentMPC", "data hash": "abc"})
    for step in range(1200):
        first.log({"online/loss": 1 / (step + 1), "odd name (é)/..//x": step}, step)
    position = first.position()
    first.log({"online/loss": 7.0}, 1200)
    (folder / "plots").mkdir()
    (folder / "plots" / "curve.png").write_bytes(b"png")
    first.artifact(folder / "plots" / "curve.png")
    assert first.close("KILLED")

    uri = sqlite_uri(tmp_path / "runs")
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("maze")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "first run"
    assert run.info.status == "KILLED"
    assert run.data.params["LatentMPC.encoder"] == "@FourierEncoder"
    assert len(run.data.params) == 252
    assert run.data.tags["data hash"] == "abc"
    assert history(uri, run.info.run_id, "odd name (é)/..//x".replace("(é)", "___").replace("/..//", "/_/"))
    assert [f.path for f in client.list_artifacts(run.info.run_id, "plots")] == ["plots/curve.png"]
    assert (tmp_path / "runs" / "mlflow-artifacts").is_dir()

    second = Tracker(folder, Tracking(**QUICK), experiment="maze")
    second.rewind(position)
    second.params({"LatentMPC.encoder": "@Other", "new": 1})  # MLflow forbids changes; they must not hurt
    second.log({"online/loss": 7.0}, 1200)
    second.log({"online/loss": 8.0}, 1201)
    assert second.close("FINISHED")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["LatentMPC.encoder"] == "@FourierEncoder"
    assert run.data.params["new"] == "1"
    steps = [step for step, _ in history(uri, run.info.run_id, "online/loss")]
    assert steps == list(range(1202))


def test_a_closed_port_gives_one_warning_and_does_not_hold_up_the_end(tmp_path, caplog):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    it = Tracker(tmp_path / "run", Tracking(uri=f"http://127.0.0.1:{port}", interval=0.05, patience=15.0))
    for step in range(20):
        it.log({"online/a": step}, step)
        time.sleep(0.01)
    start = time.monotonic()
    assert not it.close()
    assert time.monotonic() - start < 14.0
    warnings = [r.getMessage() for r in caplog.records if r.name.startswith("smbrl")]
    assert len(warnings) == 1
    assert f"MLflow at http://127.0.0.1:{port} cannot be used (Connection refused)" in warnings[0]
    assert "\n" not in warnings[0]
    assert read(it.record.path).steps("online/a").size == 20


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("nonsense://somewhere", "nonsense"),
        ("sqlite:////proc/nowhere/mlflow.db", "(No such file or directory: /proc/nowhere)"),
        ("sqlite:////dev/full/mlflow.db", "(File exists: /dev/full)"),
    ],
)
def test_an_address_that_cannot_work_gives_one_warning(tmp_path, caplog, uri, says):
    it = Tracker(tmp_path / "run", Tracking(uri=uri, interval=0.05, patience=60.0))
    it.log({"online/a": 1}, 1)
    assert not it.close()
    warnings = [r.getMessage() for r in caplog.records if r.name.startswith("smbrl")]
    assert len(warnings) == 1
    assert says in warnings[0]
    assert len(warnings[0]) < 600
    assert read(it.record.path).last("online/a") == 1.0


def test_a_file_that_is_no_database_is_left_alone(tmp_path, caplog):
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"not a database at all" * 100)
    it = Tracker(tmp_path / "run", Tracking(**QUICK))
    it.log({"online/a": 1}, 1)
    assert not it.close()
    assert f"MLflow at sqlite:///{file} cannot be used (file is not a database)" in caplog.text
    assert file.read_bytes().startswith(b"not a database")


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(SmbrlError, match=r"Tracking\.interval is 0; it must be more than 0 seconds"):
        Tracking(interval=0)


def test_the_environment_names_the_server_and_gin_overrides_it(tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "x"
    assert Tracking().address(folder) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert Tracking().address(folder) == "http://elsewhere"
    assert Tracking(uri="http://here").address(folder) == "http://here"


def test_mlflow_is_not_imported_by_importing_the_tracker():
    import subprocess

    code = "import smbrl.tracking, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [("a/b.c", "a/b.c"), ("/a//b", "a/b"), ("../x", "_/x"), ("é(1)", "__1_"), ("", "_"), ("x" * 300, "x" * 250)],
)
def test_names_are_made_such_that_mlflow_takes_them(name, cleaned):
    assert clean(name) == cleaned


def test_a_deleted_experiment_is_explained(tmp_path):
    from mlflow import MlflowClient

    uri = sqlite_uri(tmp_path)
    client = MlflowClient(tracking_uri=uri)
    client.delete_experiment(client.create_experiment("maze"))
    with pytest.raises(ValueError, match="'maze' is deleted: restore it"):
        Mlflow(uri, "maze", "run").open(None)
