"""Runs on a cluster, through Ray: each is a process inside a Ray task.

The machines of the cluster share the sweep's folder (and ``SMBRL_HOME``) and have smbrl installed. A worker that dies
takes its run's process with it (``smbrl.leash``), which saves itself if it can; the run is started anew elsewhere and
goes on from its latest checkpoint. Ray's own retries are off, so that there is one count of attempts, and it is seen.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from smbrl.errors import SmbrlError
from smbrl.tracking.mirror import brief
from smbrl.training.device import usable_cores
from smbrl.training.jobs import OVER, Job
from smbrl.training.work import Process, environment_of

LOCAL, AUTO = "local", "auto"
PASSED_ON = ("SMBRL_", "MLFLOW_")
"""Beginnings of the environment variables that a run has from here; the rest are its machine's."""
PATIENCE = 200.0
"""Seconds that a run's former process has to save itself, after its worker was killed."""
POLL = 0.5
CONNECT = 10.0
KILLED = -9
CANCELLED = 130


class Cluster:
    """An ``Executor`` on Ray. Use as a context manager.

    Args:
        command: how to call smbrl; its first word is replaced by the Python of each machine.
        address: "local" starts a cluster here, "auto" finds one (``RAY_ADDRESS``), else HOST:PORT or ray://HOST:PORT.
        slots: runs at a time; 0: as many as the cluster has room for.
        cores, gpus: that each run takes.

    Raises:
        SmbrlError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, command: Sequence[str], address: str, slots: int = 0, cores: int = 1, gpus: float = 0.0) -> None:
        self._command, self._slots, self._cores, self._gpus = tuple(command[1:]), slots, cores, gpus
        self._ray = _import_ray()
        options: dict[str, Any] = {"num_cpus": usable_cores(), "include_dashboard": False} if address == LOCAL else {}
        try:
            _reach(address)
            self._ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise SmbrlError(
                f"--ray {address}: there is no Ray cluster ({brief(error)}): start one with ray start --head, "
                f"or take --ray {LOCAL}"
            ) from error
        self._task = self._ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(bring)
        self._environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}

    @property
    def slots(self) -> int:
        """See ``Executor``; grows and shrinks with the cluster."""
        if self._slots:
            return self._slots
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0.0) // self._cores)
        return max(1, min(room, int(there.get("GPU", 0.0) / self._gpus + 1e-9)) if self._gpus else room)

    def start(self, job: Job) -> Task:
        """See ``Executor``."""
        reference = self._task.options(name=job.name).remote(
            job, self._command, self._environment, self._cores, os.getcwd()
        )
        return Task(self._ray, reference, job)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()


class Task:
    """A ``Handle``.

    Args:
        ray: the module.
        reference: to the task's result.
        job: the run.
    """

    def __init__(self, ray: Any, reference: Any, job: Job) -> None:
        self._ray, self._reference, self._job = ray, reference, job
        self._asked = 0
        self._code: int | None = None

    def poll(self) -> int | None:
        """See ``Handle``."""
        if self._code is None:
            ready, _ = self._ray.wait([self._reference], timeout=0)
            if not ready:
                return None
            try:
                self._code = int(self._ray.get(self._reference))
            except self._ray.exceptions.TaskCancelledError:
                self._code = CANCELLED
            except self._ray.exceptions.RayError:  # the worker, or its machine, is gone
                self._code = KILLED
        if self._asked and self._job.state() == "running":
            return None  # the task is over, its process is saving the run
        return self._code

    def stop(self) -> None:
        """See ``Handle``."""
        self._asked += 1
        self._ray.cancel(self._reference, force=self._asked > 1)


def bring(job: Job, command: Sequence[str], environment: Mapping[str, str], cores: int, folder: str) -> int:
    """What the task does, on a machine of the cluster: bring a run to its end; the exit code of its process.

    Args:
        job: the run.
        command: how to call smbrl, without Python.
        environment: more of it.
        cores: of the run.
        folder: that the sweep was started in, where gin files with a relative path are.
    """
    with contextlib.suppress(OSError):  # a machine without that folder: packaged gin files are found all the same
        os.chdir(folder)
    end = time.monotonic() + PATIENCE
    while (state := job.state()) == "running" and time.monotonic() < end:
        time.sleep(POLL)
    if state in OVER:
        return 0
    process = Process(job, [sys.executable, *command], {**environment_of(cores, _own()), **environment})
    while True:
        try:
            while (code := process.poll()) is None:
                time.sleep(POLL)
            return code
        except KeyboardInterrupt:  # ray.cancel
            process.stop()


def _reach(address: str) -> None:
    """Knock at HOST:PORT, for Ray itself tries for minutes.

    Raises:
        OSError: nobody is there.
    """
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if sign and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT).close()


def _own() -> dict[str, str]:
    """The worker's environment, less what Ray says of threads."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no statistics go out
    try:
        import ray
    except ImportError as error:
        raise SmbrlError(f"--ray needs Ray, which cannot be imported ({error}): pip install 'smbrl[ray]'") from error
    return ray
