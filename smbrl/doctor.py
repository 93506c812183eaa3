"""What this machine can do for smbrl, and what to install or do about what it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from smbrl.errors import SmbrlError

Status = Literal["ok", "warn", "fail"]
GIGABYTE = 1 << 30
LITTLE_DISK, LITTLE_MEMORY = 2 * GIGABYTE, 4 * GIGABYTE
"""Below these a default run (data, checkpoints; data in memory, replay) gets tight."""
RENDER_SECONDS = 60

_RENDER = """
import os, sys
if not os.environ.get("MUJOCO_GL") and not os.environ.get("DISPLAY") and os.name == "posix":
    os.environ["MUJOCO_GL"] = "egl"
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
renderer = mujoco.Renderer(model, 32, 32)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer.update_scene(data)
print("drawn", renderer.render().shape, os.environ.get("MUJOCO_GL", "default"))
os._exit(0)
"""


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        topic: what was looked at.
        status: ok; warn: something that only some users need is missing; fail: smbrl does not work like this.
        found: what there is.
        advice: what to do, where there is something to do.
    """

    topic: str
    status: Status
    found: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything, one finding after the other; no check can take another one down."""
    for topic, check in CHECKS:
        try:
            yield from check()
        except Exception as error:  # a broken installation raises whatever it likes, and that is what is asked about
            yield Finding(topic, "fail", f"{type(error).__name__}: {error}", "this should not happen: please report it")


# -- the machine -------------------------------------------------------------------------------------


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", ".".join(map(str, sys.version_info[:3])))


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    wrong = []
    for text in metadata.requires("smbrl") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            found = "absent"
        if found == "absent" or not wanted.specifier.contains(found, prereleases=True):
            wrong.append((wanted, found))
    for wanted, found in wrong:
        name = f"{wanted.name}{wanted.specifier}"
        yield Finding("packages", "fail", f"{wanted.name} is {found}, smbrl needs {name}", f"pip install '{name}'")
    if not wrong:
        yield Finding("packages", "ok", f"smbrl {metadata.version('smbrl')} and everything it needs")


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads by default")


def _cpu() -> Iterator[Finding]:
    import torch

    from smbrl.nn.precision import multiplies_bfloat16
    from smbrl.training.device import usable_cores

    features = [torch.backends.cpu.get_cpu_capability()]
    if multiplies_bfloat16(torch.device("cpu")):
        features.append("bfloat16")
    if getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)():
        features.append("AMX")
    precision = "bfloat16" if "bfloat16" in features else "float32"
    yield Finding("cpu", "ok", f"{usable_cores()} cores, {', '.join(features)}; --precision auto takes {precision}")


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB free"
    if memory.available < LITTLE_MEMORY:
        yield Finding("memory", "warn", found, f"a default run wants {LITTLE_MEMORY // GIGABYTE} GB: close something")
    else:
        yield Finding("memory", "ok", found)


def _cuda() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = properties.total_memory / GIGABYTE
            yield Finding("cuda", "ok", f"cuda:{index} {properties.name}, {memory:.0f} GB, CUDA {torch.version.cuda}")
    elif Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi"):
        yield Finding(
            "cuda",
            "warn",
            "there is an NVIDIA driver, but this PyTorch sees no GPU",
            "install a CUDA build of PyTorch (pytorch.org/get-started) that fits the driver",
        )
    else:
        yield Finding("cuda", "ok", "no GPU: runs use the CPU")


def _kernels() -> Iterator[Finding]:
    from smbrl.nn import kernels

    loaded, found = kernels.library()
    if loaded is not None:
        whole = ", whole networks in bfloat16" if kernels.networks() else ""
        yield Finding("kernels", "ok", f"{found}{whole}")
    else:
        mend = "unset SMBRL_NO_KERNELS" if "SMBRL_NO_KERNELS" in found else "apt install gcc, or your system's like"
        yield Finding("kernels", "warn", f"{found}: updates and plans on the CPU take longer", mend)


def _compiler() -> Iterator[Finding]:
    found = os.environ.get("CXX") or next(filter(None, map(shutil.which, ("c++", "g++", "clang++", "cl"))), None)
    if found and (shutil.which(found) or Path(found).exists()):
        yield Finding("compiler", "ok", f"{found} (for --compile)")
    else:
        yield Finding(
            "compiler", "warn", "no C++ compiler", "only --compile needs one: apt install g++, or your system's like"
        )


# -- pictures ------------------------------------------------------------------------------------------


def _rendering() -> Iterator[Finding]:
    advice = "only 3-D pictures need it (the maze is drawn without): apt install libegl1 libgl1, set MUJOCO_GL=egl"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _RENDER], capture_output=True, text=True, timeout=RENDER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding("rendering", "warn", f"MuJoCo drew nothing within {RENDER_SECONDS} s", advice)
        return
    if done.returncode == 0 and "drawn" in done.stdout:
        yield Finding("rendering", "ok", f"MuJoCo draws with MUJOCO_GL={done.stdout.split()[-1]}")
    else:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        yield Finding(
            "rendering", "warn", f"MuJoCo cannot draw ({(lines or ['it crashed'])[-1].strip()[:120]})", advice
        )


def _video() -> Iterator[Finding]:
    try:
        import imageio_ffmpeg

        yield Finding("video", "ok", f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
    except (ImportError, RuntimeError, OSError) as error:
        yield Finding("video", "warn", f"no ffmpeg ({error})", "smbrl record needs it: pip install imageio-ffmpeg")


# -- what is kept ----------------------------------------------------------------------------------------


def _places() -> Iterator[Finding]:
    from smbrl.data import store
    from smbrl.training.folder import runs_root

    for topic, place, variable in (("store", store.home(), "SMBRL_HOME"), ("runs", runs_root(), "SMBRL_RUNS")):
        existing = next(p for p in (place.absolute(), *place.absolute().parents) if p.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            yield Finding(topic, "fail", f"{place} cannot be written", f"allow it, or set {variable} to another folder")
            continue
        free = shutil.disk_usage(existing).free
        found = f"{place}, {free / GIGABYTE:.1f} GB free"
        if free < LITTLE_DISK:
            yield Finding(topic, "warn", found, f"make room, or set {variable} to a folder on another disk")
        else:
            yield Finding(topic, "ok", found)


def _data() -> Iterator[Finding]:
    from smbrl.data import store

    names = store.names()
    if not names:
        yield Finding("data", "ok", "no data set yet; smbrl train makes what it needs")
    for name in names:
        try:
            provenance = store.load(name).provenance
        except SmbrlError as error:
            yield Finding("data", "warn", str(error), "remove it; it will be made again when it is needed")
        else:
            yield Finding("data", "ok", f"{name}, {provenance['episodes']:,} episodes, {provenance['steps']:,} steps")


def _mlflow() -> Iterator[Finding]:
    from smbrl.tracking.mirror import public
    from smbrl.tracking.mlflow import Tracking
    from smbrl.training.folder import runs_root

    uri = Tracking().address(runs_root() / "run")
    shown, release = public(uri), metadata.version("mlflow")
    if uri.startswith("sqlite:///"):
        file = Path(uri.removeprefix("sqlite:///"))
        look = f"mlflow ui --backend-store-uri {shown}"
        state = look if file.exists() else "made by the first run"
        yield Finding("mlflow", "ok", f"{release}, {shown}: {state}")
    elif uri.startswith(("http://", "https://")):
        try:
            with urllib.request.urlopen(public(uri).rstrip("/") + "/health", timeout=5) as answer:
                yield Finding("mlflow", "ok", f"{release}, {shown} answers ({answer.status})")
        except urllib.error.HTTPError as error:  # somebody is there, perhaps behind a password
            yield Finding("mlflow", "ok", f"{release}, {shown} answers ({error.code})")
        except OSError as error:
            reason = getattr(error, "reason", error)
            advice = "start it, or unset MLFLOW_TRACKING_URI; runs keep their own record meanwhile"
            yield Finding("mlflow", "warn", f"{shown} does not answer ({reason})", advice)
    else:
        yield Finding("mlflow", "ok", f"{release}, {shown} (not tried)")


def _plugins() -> Iterator[Finding]:
    from smbrl.registry import load_plugins

    registry = load_plugins()
    owners = {(part.plugin, part.distribution, part.version) for part in registry.parts.values()}
    parts = f"{len(registry.parts)} parts"
    for plugin, distribution, version in sorted(owners, key=str):
        count = sum(part.plugin == plugin for part in registry.parts.values())
        yield Finding("plugins", "ok", f"{plugin} ({distribution} {version}), {count} of {parts}")
    if not registry.parts:
        yield Finding("plugins", "fail", "no part at all", "install smbrl again: its own plugin is missing")
    for problem in registry.problems:
        yield Finding("plugins", "warn", problem)


CHECKS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("python", _python),
    ("packages", _packages),
    ("torch", _torch),
    ("cpu", _cpu),
    ("memory", _memory),
    ("cuda", _cuda),
    ("kernels", _kernels),
    ("compiler", _compiler),
    ("rendering", _rendering),
    ("video", _video),
    ("store", _places),
    ("data", _data),
    ("mlflow", _mlflow),
    ("plugins", _plugins),
)
"""In the order of the lines."""
