"""The runs that are compared, from their folders or from an MLflow server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from smbrl.errors import SmbrlError, suggestion
from smbrl.tracking.mirror import brief, public
from smbrl.tracking.record import Columns, read
from smbrl.training import identity
from smbrl.training.folder import INFO, RunFolder, all_runs, runs_root

ENVIRONMENT = "env"
"""Stands for the tracking address that runs here take."""
SECONDS = "time/online_seconds"
PAGE = 1000


@dataclass(frozen=True, eq=False)
class Run:
    """One run, wherever it was found.

    Attributes:
        name: of the folder, or in MLflow.
        experiment: MLflow experiment that it is in, or would be.
        task, method, seed: what it learned, how, and which of several it is.
        tags: as MLflow has them (see ``smbrl.training.identity.tags``).
        bindings: its complete configuration, gin source by name.
        state: finished, running, killed, ...
        seconds: wall time by phase.
        metrics: what it logged.
        load: the record of some of the metrics.
    """

    name: str
    experiment: str
    task: str
    method: str
    seed: str
    tags: Mapping[str, str]
    bindings: Mapping[str, str]
    state: str
    seconds: Mapping[str, float]
    metrics: frozenset[str]
    load: Callable[[Sequence[str]], Columns]


def of_folder(folder: RunFolder) -> Run:
    """A run from its folder."""
    info, found, columns = folder.info(), identity.bindings(folder.config), read(folder.metrics)
    task = identity.task(info, found)
    tags = identity.tags({**info, "task": task})
    state = str(info.get("state", "?"))
    if state in ("running", "new") and not folder.busy:
        state = "killed"
    return Run(
        name=folder.name,
        experiment=found.get("Tracking.experiment", "''").strip("'\"") or task,
        task=task,
        method=tags["method"],
        seed=str(info.get("seed", "?")),
        tags=tags,
        bindings=found,
        state=state,
        seconds={name: float(value) for name, value in info.get("seconds", {}).items()},
        metrics=frozenset(columns.names),
        load=lambda _: columns,
    )


def from_folders(names: Sequence[str]) -> list[Run]:
    """Runs by folder or name; a folder of runs stands for all runs in it, no name for all under ``runs_root()``.

    Raises:
        SmbrlError: there is no such run, or none at all.
    """
    if not names:
        folders = all_runs()
        if not folders:
            raise SmbrlError(f"there is no run in {runs_root()}: name runs, or a folder of runs")
        return [of_folder(folder) for folder in folders]
    folders = []
    for name in names:
        within = all_runs(Path(name)) if Path(name).is_dir() and not (Path(name) / INFO).exists() else []
        folders += within or [RunFolder.find(name)]
    return [of_folder(folder) for folder in {folder.path: folder for folder in folders}.values()]


def from_mlflow(address: str, names: Sequence[str] = (), experiments: Sequence[str] = ()) -> list[Run]:
    """Runs that an MLflow server knows; groups' parent runs are left out.

    Args:
        address: tracking address; "env" takes MLFLOW_TRACKING_URI or the database beside the runs.
        names: run names or ids; none: all.
        experiments: experiment names; none: all.

    Raises:
        SmbrlError: it cannot be reached, or lacks what is asked for.
    """
    from smbrl.tracking.mlflow import client, sqlite_uri

    if address == ENVIRONMENT:
        address = os.environ.get("MLFLOW_TRACKING_URI", "") or sqlite_uri(runs_root().resolve())
    try:
        server = client(address)
        known = {found.name: found.experiment_id for found in server.search_experiments()}
        for name in experiments:
            if name not in known:
                raise SmbrlError(f"MLflow at {public(address)} has no experiment {name!r}; {suggestion(name, known)}")
        ids = [known[name] for name in experiments or known]
        titles = {number: name for name, number in known.items()}
        found, token = [], None
        while True:
            page = server.search_runs(ids, max_results=PAGE, page_token=token, order_by=["attributes.start_time ASC"])
            found += [run for run in page if run.data.tags.get("kind") != "group" and run.data.metrics]
            token = page.token
            if not token:
                break
    except SmbrlError:
        raise
    except Exception as error:  # whatever MLflow, a driver or the network raises
        raise SmbrlError(f"cannot read runs from MLflow at {public(address)} ({brief(error)})") from error
    if names:
        all_names = {run.info.run_name: run for run in found} | {run.info.run_id: run for run in found}
        for name in names:
            if name not in all_names:
                raise SmbrlError(f"MLflow at {public(address)} has no run {name!r}; {suggestion(name, all_names)}")
        found = [run for run in found if run.info.run_name in names or run.info.run_id in names]
    return [_of_mlflow(server, run, titles[run.info.experiment_id]) for run in found]


def _of_mlflow(server: Any, run: Any, experiment: str) -> Run:
    tags: dict[str, str] = dict(run.data.tags)
    params: dict[str, str] = dict(run.data.params)
    metrics: dict[str, float] = dict(run.data.metrics)

    def load(names: Sequence[str]) -> Columns:
        found = {}
        for name in names:
            if name in metrics:
                last = {point.step: point for point in server.get_metric_history(run.info.run_id, name)}
                points = [last[step] for step in sorted(last)]  # a resumed run has logged some steps again
                found[name] = [(point.step, point.value, point.timestamp / 1000.0) for point in points]
        return Columns.of(found)

    took = {"online": metrics.get(SECONDS), "pretrain": metrics.get("time/pretrain_seconds")}
    return Run(
        name=str(run.info.run_name),
        experiment=experiment,
        task=tags.get("task", experiment),
        method=tags.get("method", tags.get("agent", "?")),
        seed=tags.get("seed", params.get("Experiment.seed", "?")),
        tags={name: value for name, value in tags.items() if not name.startswith("mlflow.")},
        bindings=params,
        state=str(run.info.status).lower(),
        seconds={name: float(value) for name, value in took.items() if value is not None},
        metrics=frozenset(metrics),
        load=load,
    )


@dataclass(frozen=True)
class Selection:
    """Which of the runs; every criterion must hold, and of each the value of at least one entry.

    Attributes:
        experiments, tasks, methods: names, whatever their case.
        tags: ``name=value``.
        where: bindings, ``CEM.horizon=5``.
        finished: only runs that came to their end.
    """

    experiments: Sequence[str] = ()
    tasks: Sequence[str] = ()
    methods: Sequence[str] = ()
    tags: Sequence[str] = ()
    where: Sequence[str] = ()
    finished: bool = False

    def of(self, runs: Sequence[Run]) -> list[Run]:
        """The runs that meet it.

        Raises:
            SmbrlError: a criterion is not written as it should be, or no run is left; says which criterion it was.
        """
        left = [run for run in runs if run.state == "finished" or not self.finished]
        if not left:
            raise SmbrlError(f"none of {len(runs)} runs is finished: leave --finished out")
        for title, wanted, attribute in (
            ("experiment", self.experiments, attrgetter("experiment")),
            ("task", self.tasks, attrgetter("task")),
            ("method", self.methods, attrgetter("method")),
        ):
            if wanted:
                lower, known = {name.lower() for name in wanted}, {str(attribute(run)) for run in left}
                left = [run for run in left if attribute(run).lower() in lower]
                if not left:
                    raise SmbrlError(f"no run has the {title} {wanted[0]!r}; {suggestion(wanted[0], known)}")
        left = _having(left, "tag", self.tags, attrgetter("tags"))
        return _having(left, "where", self.where, attrgetter("bindings"))


def _having(runs: list[Run], title: str, wanted: Sequence[str], table: Callable[[Run], Mapping[str, str]]) -> list[Run]:
    """The runs in whose table every name has one of the values wanted for it."""
    for name, values in _pairs(title, wanted).items():
        known, found = {key for run in runs for key in table(run)}, {table(run).get(name, "") for run in runs}
        if name not in known:
            raise SmbrlError(f"--{title} {name}: no run has it; {suggestion(name, known)}")
        runs = [run for run in runs if name in table(run) and _in(table(run)[name], values)]
        if not runs:
            raise SmbrlError(f"--{title} {name}={values[0]}: no run has that; {suggestion(values[0], found - {''})}")
    return runs


def _pairs(title: str, texts: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise SmbrlError(f"--{title} {text!r}: expected NAME=VALUE")
        found.setdefault(name.strip(), []).append(value.strip())
    return found


def _in(value: str, wanted: Sequence[str]) -> bool:
    """Equal as text, quotes aside, or as numbers (``1_000`` and ``1000``)."""
    plain = value.strip("'\"")
    for text in wanted:
        if plain == text.strip("'\""):
            return True
        try:
            if float(plain) == float(text):
                return True
        except ValueError:
            continue
    return False
