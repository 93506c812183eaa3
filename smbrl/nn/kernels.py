"""Element-wise CPU kernels, compiled once per machine with the C compiler at hand.

The networks here are small: once their matrix products are bfloat16, half of the time is ELU, LayerNorm and
bias sums, each a pass over memory of its own, and PyTorch's ELU costs more than the product before it. The
few loops of ``kernels.c`` do each in one pass. Compiling them takes about two seconds, once. Without a
compiler, or with ``SMBRL_NO_KERNELS=1``, PyTorch's own operators give the same numbers (to rounding), slower.
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
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

FLAGS = [
    *["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros"],
    *["-shared", "-fPIC"],
]
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
SIGNATURES = {
    "bias_elu": [_POINTER] * 2 + [_SIZE] * 3,
    "elu_backward": [_POINTER] * 4 + [_SIZE] * 3,
    "norm_tanh": [_POINTER] * 5 + [_SIZE] * 3,
    "norm_tanh_backward": [_POINTER] * 8 + [_SIZE] * 3,
}
TYPES = {torch.bfloat16: "bf16", torch.float32: "f32"}


@functools.cache
def library() -> tuple[ctypes.PyDLL | None, str]:
    """The compiled kernels, or None, and one line that says what they are or why there are none."""
    if os.environ.get("SMBRL_NO_KERNELS", "") not in ("", "0"):
        return None, "switched off by SMBRL_NO_KERNELS"
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        return None, "no C compiler found (cc, gcc or clang)"
    source = Path(__file__).with_name("kernels.c")
    path = _cache() / f"kernels-{_fingerprint(source, compiler)}.so"
    try:
        if not path.exists():
            _compile(compiler, source, path)
        loaded = ctypes.PyDLL(str(path))  # keeps Python's lock: a call is shorter than handing it over
        for name, arguments in SIGNATURES.items():
            for kind in TYPES.values():
                function = getattr(loaded, f"{name}_{kind}")
                function.argtypes, function.restype = arguments, None
    except (OSError, AttributeError, subprocess.SubprocessError) as error:
        return None, f"{compiler} could not compile them: {' '.join(str(error).split())[:200]}"
    return loaded, f"compiled by {compiler}: {path}"


def usable(x: Tensor) -> bool:
    """Whether the kernels work on this tensor."""
    return (
        x.device.type == "cpu" and x.dtype in TYPES and not torch.compiler.is_compiling() and library()[0] is not None
    )


def call(name: str, dtype: torch.dtype, *arguments: Tensor | int) -> None:
    """Run a kernel on contiguous tensors."""
    _function(name, dtype)(*[x if isinstance(x, int) else x.data_ptr() for x in arguments])


@functools.cache
def _function(name: str, dtype: torch.dtype) -> Callable[..., None]:
    function: Callable[..., None] = getattr(library()[0], f"{name}_{TYPES[dtype]}")
    return function


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "smbrl"


def _fingerprint(source: Path, compiler: str) -> str:
    """Of everything the compiled code depends on; -march=native makes the processor part of it."""
    processor = platform.machine() + platform.processor() + torch.backends.cpu.get_cpu_capability()
    info = Path("/proc/cpuinfo")
    if info.exists():
        processor += next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    parts = [source.read_text(), compiler, *FLAGS, processor]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        built = Path(scratch) / path.name
        command = [*compiler.split(), *FLAGS, "-o", str(built), str(source), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        os.replace(built, path)
