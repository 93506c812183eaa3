"""Where a run computes: chosen once, applied to torch, written down."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from smbrl.errors import SmbrlError
from smbrl.interfaces import Compute
from smbrl.nn.precision import resolve
from smbrl.training.team import own_device

PACKAGES = ("smbrl", "torch", "numpy", "gymnasium", "mujoco", "minari", "gin-config", "safetensors", "mlflow")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Of glibc's ``mallopt``."""


@dataclass(frozen=True)
class Machine:
    """What a run computes on.

    Attributes:
        compute: device, precision, compilation; for ``Agent.prepare``.
        threads: of torch on the CPU.
    """

    compute: Compute
    threads: int

    @classmethod
    def choose(cls, device: str, precision: str, compile: str, threads: int) -> Machine:
        """Settle what a user left open.

        Args:
            device, precision, compile: see ``smbrl.nn.precision.resolve``.
            threads: 0 takes every core that this process may use, or as many as ``OMP_NUM_THREADS`` says.

        Raises:
            SmbrlError: this machine lacks what is asked for.
        """
        if threads < 0:
            raise SmbrlError(f"Experiment.threads is {threads}; it is a number of threads, or 0 for one per core")
        return cls(resolve(own_device(device), precision, compile), threads or _all_threads())

    def apply(self) -> None:
        """Tell torch. Numbers are the same from run to run: no auto-tuning, deterministic convolutions."""
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        if self.compute.device.type == "cpu":
            keep_memory()

    def describe(self) -> dict[str, str | int | bool]:
        """For run.json, MLflow and the summary."""
        place = self.compute.device
        name = torch.cuda.get_device_name(place) if place.type == "cuda" else processor()
        return {
            "device": str(place),
            "device_name": name,
            "precision": str(self.compute.dtype).removeprefix("torch."),
            "compiled": self.compute.compile,
            "threads": self.threads,
            "cores": usable_cores(),
        }


def keep_memory() -> None:
    """Tell the C library to keep what is freed: an update of large batches frees and takes the same blocks again,
    and getting them from the system anew, page by page, costs up to a quarter of its time."""
    with contextlib.suppress(AttributeError, OSError):  # other C libraries have no such settings
        settings = ctypes.CDLL(None).mallopt
        settings(M_MMAP_MAX, 0)
        settings(M_TRIM_THRESHOLD, 2**30)
        settings(M_TOP_PAD, 2**26)


def _all_threads() -> int:
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) else usable_cores()


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """What the CPU calls itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
