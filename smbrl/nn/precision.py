"""Where and how precisely networks compute, and whether they are compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Compute

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
Switch = Literal["auto", "on", "off"]

F = TypeVar("F", bound=Callable[..., object])


def resolve(device: str = "auto", precision: str = "auto", compile: str = "auto") -> Compute:
    """Turn the user's wishes into what this machine does.

    Args:
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        precision: of matrix products inside networks: float32, bfloat16 or auto (bfloat16 where the device
            multiplies it natively). Weights, losses, targets and distributions are float32 always.
        compile: on, off or auto (on for CUDA, off on a CPU where it does not pay for its compile time).

    Raises:
        SmbrlError: a wish this machine cannot fulfil.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise SmbrlError(f"device is {device!r}; known are auto, cpu, cuda and cuda:N") from error
    if place.type not in ("cpu", "cuda"):
        raise SmbrlError(f"device is {device!r}; known are auto, cpu, cuda and cuda:N")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise SmbrlError(f"device is {device!r} but PyTorch sees no CUDA GPU; use --device cpu or auto")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise SmbrlError(f"device is {device!r} but there are {torch.cuda.device_count()} CUDA GPUs, counted from 0")
    if precision not in ("auto", "float32", "bfloat16"):
        raise SmbrlError(f"precision is {precision!r}; known are auto, float32 and bfloat16")
    if compile not in ("auto", "on", "off"):
        raise SmbrlError(f"compile is {compile!r}; known are auto, on and off")
    fast = multiplies_bfloat16(place)
    dtype = torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and fast) else torch.float32
    return Compute(place, dtype, place.type == "cuda" if compile == "auto" else compile == "on")


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 matrix products."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.backends.cpu.get_cpu_capability()
    return capabilities.startswith("AVX512") and bool(torch.cpu._is_avx512_bf16_supported())


def autocast(compute: Compute) -> AbstractContextManager[None]:
    """The context in which networks of this run compute."""
    return torch.autocast(compute.device.type, compute.dtype, enabled=compute.dtype != torch.float32)


def network_dtype(weight: Tensor) -> torch.dtype:
    """The type in which a network with this weight multiplies right now."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def compiled(function: F, compute: Compute) -> F:
    """The function, compiled where this run compiles."""
    return cast(F, torch.compile(function, dynamic=False)) if compute.compile else function
