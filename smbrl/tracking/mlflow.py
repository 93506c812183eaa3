"""MLflow: settings for gin, and the server that a ``Mirror`` talks to.

MLflow is imported when the mirror's thread first needs it, because that alone takes seconds.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gin

from smbrl.errors import SmbrlError
from smbrl.tracking.mirror import Parent, Point, Refused, clean

PARAM_LENGTH = 6000
TAG_LENGTH = 5000
PARAMS_PER_BATCH = 100
"""MLflow's limits (``mlflow.utils.validation``); tags are cut at what every supported version takes."""

RUN, GROUP, PARENT = "run", "group", "mlflow.parentRunId"
"""The tag ``kind`` tells runs from the parents that gather them; GROUP is also the tag with what they share."""
MOST_CHILDREN = 1000
ALIASES = {"git": "mlflow.source.git.commit"}
"""Tags that MLflow's user interface has columns for."""


@gin.configurable(module="smbrl")
@dataclass(frozen=True)
class Tracking:
    """How a run is tracked. The local record in the run folder is always written.

    Attributes:
        enabled: mirror the record to MLflow.
        uri: an MLflow tracking address; "" takes the environment's MLFLOW_TRACKING_URI, and where that is not
            set ``mlflow.db`` (sqlite) beside the runs.
        experiment: MLflow experiment; "" takes the environment's MLFLOW_EXPERIMENT_NAME, and where that is not set the
            task's title.
        name: MLflow run name; "" takes the run folder's name.
        group: name of the parent run in MLflow; "" gathers the runs that differ in nothing but the seed.
        tags: more of them, to find the run by.
        interval: seconds between two batches.
        patience: seconds that the end of a run waits for MLflow, at most.
        model_megabytes: the policy of a finished run is kept in its folder ``model`` and sent to MLflow where it is
            no larger than this; 0 does neither.
    """

    enabled: bool = True
    uri: str = ""
    experiment: str = ""
    name: str = ""
    group: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    interval: float = 5.0
    patience: float = 20.0
    model_megabytes: float = 100.0

    def __post_init__(self) -> None:
        for name in ("interval", "patience"):
            if not getattr(self, name) > 0:
                raise SmbrlError(f"Tracking.{name} is {getattr(self, name)}; it must be more than 0 seconds")
        if not self.model_megabytes >= 0:
            raise SmbrlError(f"Tracking.model_megabytes is {self.model_megabytes}; it must be 0 (none) or more")

    def address(self, folder: Path) -> str:
        """The tracking address for a run in ``folder``."""
        return self.uri or os.environ.get("MLFLOW_TRACKING_URI", "") or sqlite_uri(folder.resolve().parent)

    def title(self, task: str) -> str:
        """The experiment of a run that learns ``task``."""
        return self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "") or task


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

    def open(self, run: str | None, began: float | None = None) -> str:
        """Continue a run or begin one; see ``Server.open``."""
        if run is not None:
            try:
                if self._client.get_run(run).info.lifecycle_stage == "active":
                    self._client.update_run(run, status="RUNNING")
                    return run
            except Exception as error:
                if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                    raise
        source = {"mlflow.source.type": "LOCAL", "mlflow.source.name": "smbrl"}
        return self._create(self._name, {"kind": RUN, **source}, began)

    def _create(self, name: str, tags: dict[str, str], began: float | None) -> str:
        with contextlib.suppress(OSError, KeyError, ImportError):  # a container may know no name for its user
            tags = {**tags, "mlflow.user": getpass.getuser()}
        start = None if began is None else int(began * 1000)
        number = self._number()
        return str(self._client.create_run(number, start_time=start, run_name=name, tags=tags).info.run_id)

    def _number(self) -> str:
        """The experiment's id; it is made where there is none."""
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            try:
                return str(self._client.create_experiment(self._experiment, artifact_location=_artifacts(self._uri)))
            except Exception as error:
                if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = self._client.get_experiment_by_name(self._experiment)  # another run made it just now
        if experiment.lifecycle_stage != "active":
            raise ValueError(
                f"its experiment {self._experiment!r} is deleted: restore it or bind another Tracking.experiment"
            )
        return str(experiment.experiment_id)

    def gather(self, run: str, parent: Parent) -> None:
        """Put a run under its parent; see ``Server.gather``."""
        found = self._parents(parent.key)
        if not found:
            made = self._create(parent.name, {**parent.tags, "kind": GROUP, GROUP: parent.key}, None)
            found = self._parents(parent.key) or [made]
            if found[0] != made:  # another seed that began at the same moment was first
                self._client.delete_run(made)
        first = found[0]
        self._client.set_tag(run, PARENT, first)
        self._client.set_tag(run, GROUP, parent.key)
        self._client.update_run(first, status="RUNNING")
        self.log(first, [], dict(parent.params), {})

    def _parents(self, key: str) -> list[str]:
        """Ids of the parents with a key, the first made first."""
        found = self._client.search_runs(
            [self._number()],
            filter_string=f"tags.kind = '{GROUP}' AND tags.`{GROUP}` = '{key}'",
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )
        return [str(run.info.run_id) for run in found]

    def summarise(self, run: str) -> None:
        """A parent has the mean over its finished children of every metric of the final evaluation."""
        child = self._client.get_run(run)
        parent = child.data.tags.get(PARENT)
        if parent is None:
            return
        children = self._client.search_runs(
            [child.info.experiment_id], filter_string=f"tags.`{PARENT}` = '{parent}'", max_results=MOST_CHILDREN
        )
        done = [other for other in children if other.info.status == "FINISHED"]
        values: dict[str, list[float]] = {}
        for other in done:
            for name, value in other.data.metrics.items():
                if name.startswith("final/"):
                    values.setdefault(name, []).append(value)
        points = [Point(name, sum(found) / len(found), len(done), time.time()) for name, found in values.items()]
        seeds = sorted({other.data.tags.get("seed", "?") for other in children}, key=lambda seed: (len(seed), seed))
        tags = {"seeds": ", ".join(seeds), "finished": f"{len(done)} of {len(children)}"}
        self.log(parent, points, {}, tags)
        states = {other.info.status for other in children}
        if not states & {"RUNNING", "SCHEDULED"}:
            self._client.set_terminated(parent, next((s for s in ("FAILED", "KILLED") if s in states), "FINISHED"))

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
        tags = {**tags, **{ALIASES[k]: v for k, v in tags.items() if k in ALIASES}}
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

    def end(self, run: str, status: str, ended: float | None = None) -> None:
        """Close the run."""
        self._client.set_terminated(run, status, end_time=None if ended is None else int(ended * 1000))


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
