"""Where and how precisely networks compute, and whether they are compiled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from smbrl.errors import SmbrlError
from smbrl.interfaces import Compute

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
Switch = Literal["auto", "on", "off"]


def resolve(device: str = "auto", precision: str = "auto", compile: str = "auto") -> Compute:
    """Turn the user's wishes into what this machine does.

    Args:
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        precision: of matrix products inside networks: float32, bfloat16 or auto (bfloat16 where the device
            multiplies it natively). Weights, losses, targets and distributions are float32 always.
        compile: on or off; auto is off: on a CPU compiling takes minutes and gains little over the kernels of
            ``smbrl.nn.kernels``, and on CUDA nobody has measured it yet.

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
    return Compute(place, dtype, compile == "on")


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 matrix products."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.backends.cpu.get_cpu_capability()
    return capabilities.startswith("AVX512") and bool(torch.cpu._is_avx512_bf16_supported())


class _Casts(threading.local):
    """Weights in the type of the innermost ``autocast``, each cast once."""

    kept: dict[tuple[int, bool], Tensor] | None = None


_casts = _Casts()


@contextmanager
def autocast(compute: Compute) -> Iterator[None]:
    """The context in which networks of this run compute. A weight is cast once in it, so weights must not
    change inside."""
    outer, _casts.kept = _casts.kept, {}
    try:
        with torch.autocast(compute.device.type, compute.dtype, enabled=compute.dtype != torch.float32):
            yield
    finally:
        _casts.kept = outer


def network_weight(weight: Tensor) -> Tensor:
    """A parameter in the type in which networks multiply right now."""
    kind = weight.device.type
    if not torch.is_autocast_enabled(kind):
        return weight
    dtype = torch.get_autocast_dtype(kind)
    if _casts.kept is None or weight.dtype == dtype or torch.compiler.is_compiling():
        return weight.to(dtype)
    # a cast made without gradient, or while the weight was held, must not be used with one
    key = (id(weight), torch.is_grad_enabled() and weight.requires_grad)
    if key not in _casts.kept:
        _casts.kept[key] = weight.to(dtype)
    return _casts.kept[key]


def compile_networks(module: nn.Module, kinds: tuple[type[nn.Module], ...], compute: Compute) -> None:
    """Compile the forward of every network of these kinds inside a module, in place, where this run compiles.

    Whole networks, not single layers, so that what lies between two matrix products is fused into them; not
    whole updates, so that random numbers come from the run's generator as they do in eager mode.
    """
    if not compute.compile:
        return
    # many networks share one class, and acting, planning and learning each have shapes of their own
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 128)
    torch._dynamo.config.accumulated_recompile_limit = max(torch._dynamo.config.accumulated_recompile_limit, 1024)
    for network in module.modules():
        if isinstance(network, kinds):
            network.compile(dynamic=False)
