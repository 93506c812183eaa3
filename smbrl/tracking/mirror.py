"""Mirrors the local record to a tracking server from a background thread.

The thread follows ``metrics.jsonl`` as ``tail -f`` would. So the file is the queue: nothing is kept in memory, nothing
is lost while the server is away, and training never waits. What the server already has is never sent twice, also
after a resume, because the thread asks the server for the steps of every metric before it continues a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from smbrl.tracking import record as records

STATE = "mlflow.json"
"""In the run folder: which run on which server mirrors it."""
BATCH = 1000
"""Metrics in one request (MLflow's limit)."""
NAME_LENGTH = 250
SLOWEST_RETRY = 300.0
"""Seconds between attempts while the server is away, at most."""


class Refused(Exception):
    """The server is well but does not want this piece of data; sending it again would not help."""


@dataclass(frozen=True)
class Point:
    """One value of one metric; ``wall`` in Unix seconds."""

    name: str
    value: float
    step: int
    wall: float


@dataclass(frozen=True)
class Parent:
    """The run that the seeds of one configuration are gathered under.

    Attributes:
        key: the same for them and for no others.
        name: how it is called.
        tags, params: what they have in common.
    """

    key: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]


class Server(Protocol):
    """What a mirror needs of a tracking server. Any exception but ``Refused`` means: try again later."""

    def open(self, run: str | None, began: float | None) -> str:
        """Continue ``run``, or begin a new one (at Unix time ``began``) where it is None or unknown; its id."""
        ...

    def gather(self, run: str, parent: Parent) -> None:
        """Put the run under its parent, which is made where there is none."""
        ...

    def steps(self, run: str) -> dict[str, set[int]]:
        """The steps of every metric that the server has."""
        ...

    def log(self, run: str, points: list[Point], params: dict[str, str], tags: dict[str, str]) -> None:
        """Store; parameters that the server already has are left as they are."""
        ...

    def artifact(self, run: str, path: Path, folder: str) -> None:
        """Copy a file to the server."""
        ...

    def end(self, run: str, status: str, ended: float | None) -> None:
        """Close the run: FINISHED, FAILED or KILLED; at Unix time ``ended``, or now."""
        ...

    def summarise(self, run: str) -> None:
        """Bring the parent of the run up to date, if it has one."""
        ...


class Mirror:
    """The thread.

    Args:
        record: what to mirror.
        uri: where to; only for messages and to know a server again.
        connect: makes the server object; called inside the thread, may take seconds and may raise.
        warn: called with one line, once in the mirror's life.
        interval: seconds between looks at the record.
        parent: of the run.
    """

    def __init__(
        self,
        record: records.Record,
        uri: str,
        connect: Callable[[], Server],
        warn: Callable[[str], None],
        interval: float = 5.0,
        parent: Parent | None = None,
    ) -> None:
        self.uri = public(uri)
        self.run: str | None = None
        self._record = record
        self._connect = connect
        self._warn = warn
        self._warned = False
        self._interval = interval
        self._parent = parent
        self._server: Server | None = None
        self._sent: dict[str, set[int]] = {}
        self._offset = 0
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._files: dict[Path, str] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._status: str | None = None
        self._complete = False
        self._thread = threading.Thread(target=self._follow, name="smbrl-mirror", daemon=True)

    # -- called by training: microseconds ----------------------------------------------------------
    def params(self, params: Mapping[str, str]) -> None:
        """Parameters to be sent."""
        with self._lock:
            self._params.update(params)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Tags to be sent; later values replace earlier ones."""
        with self._lock:
            self._tags.update(tags)

    def artifact(self, path: Path, folder: str) -> None:
        """A file to be sent; its content at the time of sending counts."""
        with self._lock:
            self._files[path] = folder

    def rewound(self, position: int) -> None:
        """The record was cut at ``position``."""
        with self._lock:
            self._offset = min(self._offset, position)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, status: str, patience: float) -> bool:
        """Send what is left and end the run; waits ``patience`` seconds at most. Whether everything was sent."""
        if not self._thread.ident:
            return False
        self._status = status
        self._wake.set()
        self._thread.join(patience)
        if not self._complete:
            self._warn_once(
                f"MLflow at {self.uri} did not get everything within {patience:g} s: "
                f"the run's own record {self._record.path} is complete, smbrl sync sends the rest"
            )
        return self._complete

    # -- the thread --------------------------------------------------------------------------------
    def _follow(self) -> None:
        failures = 0
        while True:
            status = self._status  # read before working: what comes after it is sent in the next round
            try:
                self._work()
                if status is not None and self._server is not None and self.run is not None:
                    self._server.end(self.run, status, self._edge(last=True) if status == "FINISHED" else None)
                    self._complete = True
                    self._server.summarise(self.run)
                failures = 0
            except Exception as error:  # whatever a tracking library raises must not reach training
                failures += 1
                kept = f"MLflow at {self.uri} cannot be used ({brief(error)}): "
                if status is None:
                    kept += f"the run goes on with its own record {self._record.path}, "
                    kept += "MLflow is tried again every few minutes"
                else:
                    kept += f"the run's own record {self._record.path} is complete, smbrl sync sends it later"
                self._warn_once(kept)
            if status is not None:
                return
            delay = self._interval * 2 ** min(failures, 10)
            self._wake.wait(min(delay, max(SLOWEST_RETRY, self._interval)))

    def _work(self) -> None:
        self._record.flush()
        if self._server is None:
            self._server = self._connect()
        if self.run is None:
            known = self._known_run()
            run = self._server.open(known, self._edge())
            self._sent = self._server.steps(run) if run == known else {}
            self._remember(run)
            if self._parent is not None:
                self._server.gather(run, self._parent)
            self.run = run
        self._send_rest()
        self._send_metrics()

    def _send_metrics(self) -> None:
        """Send lines of the record from the offset on, batch after batch."""
        with self._lock:
            offset = self._offset
        if not self._record.path.exists():
            return
        points: list[Point] = []
        after = offset
        for line, after in records.lines(self._record.path, offset):
            if line is not None:
                for raw, value in line.metrics.items():
                    name = clean(raw)
                    if line.step not in self._sent.get(name, ()):
                        points.append(Point(name, value, line.step, line.wall))
            if len(points) > BATCH // 2:
                self._send(points, offset, after)
                points, offset = [], after
        self._send(points, offset, after)

    def _send(self, points: list[Point], before: int, after: int) -> None:
        """Send points and move the offset past them, unless the record was cut meanwhile."""
        for start in range(0, len(points), BATCH):
            self._log(points[start : start + BATCH])
        for point in points:
            self._sent.setdefault(point.name, set()).add(point.step)
        with self._lock:
            if self._offset == before:
                self._offset = after

    def _send_rest(self) -> None:
        """Send tags, parameters and files that wait."""
        with self._lock:
            tags, params, files = dict(self._tags), dict(self._params), dict(self._files)
        if tags or params:
            self._log([], params, tags)
        assert self._server is not None
        assert self.run is not None
        for path, folder in files.items():
            if path.exists():
                try:
                    self._server.artifact(self.run, path, folder)
                except Refused as error:
                    self._warn_once(f"MLflow at {self.uri} refused {path.name} ({brief(error)})")
            with self._lock:
                self._files.pop(path, None)
        with self._lock:  # keep what was changed while it was being sent
            self._tags = {k: v for k, v in self._tags.items() if tags.get(k) != v}
            self._params = {k: v for k, v in self._params.items() if params.get(k) != v}

    def _log(
        self, points: list[Point], params: dict[str, str] | None = None, tags: dict[str, str] | None = None
    ) -> None:
        assert self._server is not None
        assert self.run is not None
        try:
            self._server.log(self.run, points, params or {}, tags or {})
        except Refused as error:
            self._warn_once(f"MLflow at {self.uri} refused some metrics or parameters ({brief(error)})")

    def _edge(self, last: bool = False) -> float | None:
        """Unix time of the record's first or last line."""
        found = None
        if self._record.path.exists():
            for line, _ in records.lines(self._record.path):
                if line is not None:
                    found = line.wall
                    if not last:
                        break
        return found

    def _known_run(self) -> str | None:
        """The run on this server that this record was mirrored to before."""
        return self._known().get(self.uri)

    def _known(self) -> dict[str, str]:
        """Runs that mirror this record, by server."""
        try:
            state = json.loads((self._record.path.parent / STATE).read_text())
            known = {str(uri): str(run) for uri, run in state.get("others", {}).items()}
            return {**known, str(state["uri"]): str(state["run_id"])}
        except (OSError, ValueError, KeyError, AttributeError):
            return {}

    def _remember(self, run: str) -> None:
        path = self._record.path.parent / STATE
        draft = path.with_suffix(".tmp")
        others = {uri: other for uri, other in self._known().items() if uri != self.uri}
        state = {"uri": self.uri, "run_id": run, **({"others": others} if others else {})}
        with contextlib.suppress(OSError):  # a full disk: the run is merely not found again
            draft.write_text(json.dumps(state) + "\n")
            os.replace(draft, path)

    def _warn_once(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(message)


def clean(name: str) -> str:
    """A name that MLflow takes: letters, digits, ``_ - . /`` and spaces, no empty or dotted parts, not too long."""
    parts = [re.sub(r"[^\w\-. ]", "_", part, flags=re.ASCII) for part in name.split("/")]
    parts = [re.sub(r"^\.+$", "_", part) for part in parts if part]
    return "/".join(parts)[:NAME_LENGTH] or "_"


def public(uri: str) -> str:
    """An address without user name and password."""
    return re.sub(r"//[^/@\s]*@", "//", uri)


def brief(error: BaseException) -> str:
    """The first line of an error, or of the system's error at the bottom of it; no longer than 160 characters."""
    root = error
    while root.__cause__ is not None or root.__context__ is not None:
        root = root.__cause__ or root.__context__ or root
    if isinstance(root, (OSError, sqlite3.Error)):
        error = root
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    lines = str(error).strip().splitlines()
    text = public(lines[0]) if lines else type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
