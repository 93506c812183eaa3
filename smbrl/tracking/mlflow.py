"""MLflow: settings for gin, and the server that a ``Mirror`` talks to.

MLflow is imported when the mirror's thread first needs it, because that alone takes seconds.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gin

from smbrl.errors import SmbrlError
from smbrl.tracking.mirror import Point, Refused, clean

PARAM_LENGTH = 6000
TAG_LENGTH = 5000
PARAMS_PER_BATCH = 100
"""MLflow's limits (``mlflow.utils.validation``); tags are cut at what every supported version takes."""


@gin.configurable(module="smbrl")
@dataclass(frozen=True)
class Tracking:
    """How a run is tracked. The local record in the run folder is always written.

    Attributes:
        enabled: mirror the record to MLflow.
        uri: an MLflow tracking address; "" takes the environment's MLFLOW_TRACKING_URI, and where that is not
            set ``mlflow.db`` (sqlite) beside the runs.
        experiment: MLflow experiment; "" takes the task's name.
        name: MLflow run name; "" takes the run folder's name.
        interval: seconds between two batches.
        patience: seconds that the end of a run waits for MLflow, at most.
    """

    enabled: bool = True
    uri: str = ""
    experiment: str = ""
    name: str = ""
    interval: float = 5.0
    patience: float = 20.0

    def __post_init__(self) -> None:
        for name in ("interval", "patience"):
            if not getattr(self, name) > 0:
                raise SmbrlError(f"Tracking.{name} is {getattr(self, name)}; it must be more than 0 seconds")

    def address(self, folder: Path) -> str:
        """The tracking address for a run in ``folder``."""
        return self.uri or os.environ.get("MLFLOW_TRACKING_URI", "") or sqlite_uri(folder.resolve().parent)


def sqlite_uri(runs: Path) -> str:
    """The database that belongs to a folder of runs."""
    return f"sqlite:///{runs / 'mlflow.db'}"


class Mlflow:
    """A ``Server`` (see ``smbrl.tracking.mirror``) that is MLflow.

    Args:
        uri: tracking address.
        experiment: experiment name, made if absent.
        name: run name.
    """

    def __init__(self, uri: str, experiment: str, name: str) -> None:
        _check_file(uri)
        self._client, self._entities = _import(uri)
        self._uri = uri
        self._experiment = experiment
        self._name = name

    def open(self, run: str | None) -> str:
        """Continue a run or begin one; see ``Server.open``."""
        if run is not None:
            try:
                if self._client.get_run(run).info.lifecycle_stage == "active":
                    self._client.update_run(run, status="RUNNING")
                    return run
            except Exception as error:
                if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                    raise
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            number = self._client.create_experiment(self._experiment, artifact_location=_artifacts(self._uri))
        elif experiment.lifecycle_stage != "active":
            raise ValueError(
                f"its experiment {self._experiment!r} is deleted: restore it or bind another Tracking.experiment"
            )
        else:
            number = experiment.experiment_id
        return str(self._client.create_run(number, run_name=self._name).info.run_id)

    def steps(self, run: str) -> dict[str, set[int]]:
        """Steps of every metric of a run."""
        names = self._client.get_run(run).data.metrics
        return {name: {m.step for m in self._client.get_metric_history(run, name)} for name in names}

    def log(self, run: str, points: list[Point], params: dict[str, str], tags: dict[str, str]) -> None:
        """Store metrics, parameters (those that are new) and tags, in as many requests as MLflow's limits ask for."""
        metric, param, tag = self._entities.Metric, self._entities.Param, self._entities.RunTag
        metrics = [metric(p.name, p.value, int(p.wall * 1000), p.step) for p in points]
        if params:
            known = self._client.get_run(run).data.params
            params = {clean(k): v for k, v in params.items() if clean(k) not in known}
        new_params = [param(k, v[:PARAM_LENGTH]) for k, v in params.items()]
        new_tags = [tag(clean(k), v[:TAG_LENGTH]) for k, v in tags.items()]
        try:
            if metrics:
                self._client.log_batch(run, metrics=metrics)
            for start in range(0, max(len(new_params), len(new_tags)), PARAMS_PER_BATCH):
                part = slice(start, start + PARAMS_PER_BATCH)
                self._client.log_batch(run, params=new_params[part])
                self._client.log_batch(run, tags=new_tags[part])
        except Exception as error:
            if getattr(error, "error_code", "") in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise Refused(str(error)) from error
            raise

    def artifact(self, run: str, path: Path, folder: str) -> None:
        """Copy a file to MLflow."""
        self._client.log_artifact(run, str(path), folder or None)

    def end(self, run: str, status: str) -> None:
        """Close the run."""
        self._client.set_terminated(run, status)


def _artifacts(uri: str) -> str | None:
    """Where a database keeps its files: beside itself (MLflow's default is the current folder). None: the server's."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(unquote(uri[len("sqlite:///") :])).resolve().parent / "mlflow-artifacts").as_uri()


def _check_file(uri: str) -> None:
    """Try to open the database of a sqlite address; MLflow would retry for minutes.

    Raises:
        OSError, sqlite3.Error: it cannot be written, or is no database.
    """
    if uri.startswith("sqlite:///"):
        file = Path(unquote(uri[len("sqlite:///") :]))
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "ab"):
            pass
        with closing(sqlite3.connect(file, timeout=5.0)) as database:
            database.execute("PRAGMA schema_version").fetchall()


def client(uri: str) -> Any:
    """An ``MlflowClient`` for reading runs; fails quickly.

    Raises:
        OSError, sqlite3.Error: a database that is not there, or is none.
    """
    if uri.startswith("sqlite:///") and not Path(unquote(uri[len("sqlite:///") :])).is_file():
        raise FileNotFoundError(2, "No such file or directory", unquote(uri[len("sqlite:///") :]))
    _check_file(uri)
    return _import(uri)[0]


def _import(uri: str) -> tuple[Any, Any]:
    """MLflow's client for an address, and its entities; made to fail quickly and quietly."""
    for name, value in {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the default retries for minutes; the mirror retries itself
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient, entities

    for logger in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(logger).setLevel(logging.ERROR)  # it speaks of database migrations between progress bars
    return MlflowClient(tracking_uri=uri), entities
