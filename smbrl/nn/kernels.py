"""CPU kernels, compiled once per machine with the C compiler at hand.

The networks here are small: much of the time is ELU, LayerNorm and bias sums, each a pass over memory of its own,
and PyTorch's ELU costs more than the product before it. ``kernels.c`` does each in one pass, in float32 on any
processor; ``networks.c`` does whole networks in bfloat16 on processors that multiply it. Compiling them takes about
two seconds, once. Without a compiler, or with ``SMBRL_NO_KERNELS=1``, PyTorch's own operators give the same
numbers (to rounding), slower.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

Library = TypeVar("Library", bound=ctypes.CDLL)

FLAGS = [
    *["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros"],
    *["-shared", "-fPIC"],
]
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
SOURCES = [Path(__file__).with_name(name) for name in ("kernels.c", "networks.c")]
SIGNATURES = {
    "smbrl_bias_elu": [_POINTER] * 2 + [_SIZE] * 3,
    "smbrl_elu_backward": [_POINTER] * 4 + [_SIZE] * 3,
    "smbrl_norm_tanh": [_POINTER] * 5 + [_SIZE] * 3,
    "smbrl_norm_tanh_backward": [_POINTER] * 8 + [_SIZE] * 3,
    "smbrl_gru": [_POINTER] * 4 + [_SIZE] * 2,
    "smbrl_gru_backward": [_POINTER] * 7 + [_SIZE] * 2,
    "smbrl_gru_half": [_POINTER] * 4 + [_SIZE] * 2,
    "smbrl_gru_half_backward": [_POINTER] * 7 + [_SIZE] * 2,
}
NETWORK_SIGNATURES = {
    "smbrl_pack": [_POINTER, _SIZE],
    "smbrl_saved": [_POINTER, _SIZE, _SIZE],
    "smbrl_forward": [_POINTER, _SIZE, _SIZE, _POINTER, *[_SIZE] * 4, _POINTER, _POINTER],
    "smbrl_backward": [_POINTER, _SIZE, _SIZE, _POINTER, *[_SIZE] * 4, _POINTER, _POINTER, _POINTER],
}
"""Of ``networks.c``; absent where the processor cannot multiply bfloat16."""


@functools.cache
def library() -> tuple[ctypes.PyDLL | None, str]:
    """The compiled kernels, or None, and one line that says what they are or why there are none."""
    if os.environ.get("SMBRL_NO_KERNELS", "") not in ("", "0"):
        return None, "switched off by SMBRL_NO_KERNELS"
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        return None, "no C compiler found (cc, gcc or clang)"
    path = _cache() / f"kernels-{_fingerprint(compiler)}.so"
    try:
        if not path.exists():
            _compile(compiler, path)
        # keeps Python's lock: a call is shorter than handing it over
        loaded = declared(ctypes.PyDLL(str(path)))
    except (OSError, AttributeError, subprocess.SubprocessError) as error:
        return None, f"{compiler} could not compile them: {' '.join(str(error).split())[:200]}"
    return loaded, f"compiled by {compiler}: {path}"


def declared(loaded: Library) -> Library:
    """With the types of its functions' arguments."""
    for name, arguments in (SIGNATURES | NETWORK_SIGNATURES).items():
        if name in SIGNATURES or hasattr(loaded, name):
            function = getattr(loaded, name)
            function.argtypes, function.restype = arguments, _SIZE if name == "smbrl_saved" else None
    return loaded


@functools.cache
def networks() -> bool:
    """Whether there is ``networks.c``."""
    return all(hasattr(library()[0], name) for name in NETWORK_SIGNATURES)


def usable(x: Tensor, *types: torch.dtype) -> bool:
    """Whether ``kernels.c`` works on this tensor: float32, or one of ``types``."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, *types)
        and not torch.compiler.is_compiling()
        and library()[0] is not None
    )


def call(name: str, *arguments: Tensor | int) -> None:
    """Run a kernel of ``kernels.c`` on contiguous tensors."""
    getattr(library()[0], name)(*[x if isinstance(x, int) else x.data_ptr() for x in arguments])


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "smbrl"


def _fingerprint(compiler: str) -> str:
    """Of everything the compiled code depends on; -march=native makes the processor part of it."""
    processor = platform.machine() + platform.processor() + torch.backends.cpu.get_cpu_capability()
    info = Path("/proc/cpuinfo")
    if info.exists():
        processor += next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    parts = [*[source.read_text() for source in SOURCES], compiler, *FLAGS, processor]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        built = Path(scratch) / path.name
        command = [*compiler.split(), *FLAGS, "-o", str(built), *map(str, SOURCES), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        os.replace(built, path)
