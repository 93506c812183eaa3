"""Whole networks in bfloat16 on the CPU: ``networks.c`` and what it needs to know of a module.

Layer by layer, a network of width 128 is bound by memory and by the cost of calling operators, not by arithmetic.
Computed a block of rows at a time through all its layers its forward pass comes near the processor's peak. Used where
autocast asks for bfloat16 and the processor multiplies it (AVX512-BF16); elsewhere PyTorch's operators do the same.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import increment_version
from torch.optim.optimizer import register_optimizer_step_post_hook

from smbrl.nn import kernels

LINEAR, ELU, NORM_TANH, SCALAR = range(4)
"""What follows a layer's product: nothing, ELU, LayerNorm and tanh; or a product with one column in float32."""
WIDEST, LONGEST = 512, 1024
"""Largest width, and number of layers times heads, that ``networks.c`` has room for."""
SHARE = 384
"""Rows below which another thread is not worth calling; a multiple of what ``networks.c`` takes at a time."""

T = TypeVar("T")


@dataclass(frozen=True)
class Layer:
    """A layer of one head.

    Attributes:
        kind: see above.
        weight: ``(outputs, inputs)``, or where ``transposed`` ``(inputs, outputs)``.
        bias: ``(outputs)``.
        gain, shift: of LayerNorm.
        head: the parameters are this row of larger ones; None: they are whole.
    """

    kind: int
    weight: Tensor
    bias: Tensor
    gain: Tensor | None = None
    shift: Tensor | None = None
    transposed: bool = False
    head: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Inputs, outputs."""
        rows, columns = self.weight.shape[-2:]
        return (rows, columns) if self.transposed else (columns, rows)

    def fits(self) -> bool:
        """Whether ``networks.c`` has room for it."""
        inputs, outputs = self.shape
        whole = {NORM_TANH: outputs, SCALAR: inputs}.get(self.kind, 0) % 16 == 0
        return whole and max(inputs, outputs) <= WIDEST


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "gain", "shift", "forward", "backward", "padded")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs", "kind", "transposed")),
        *((name, ctypes.c_int64) for name in ("dweight", "dbias", "dgain", "dshift")),
    )


class _Input(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("repeat", ctypes.c_int64),
        ("single", ctypes.c_int64),
    )


class Network:
    """A module's layers, head by head, with its weights as ``networks.c`` reads them.

    Args:
        heads: of each head its layers, first to last.
    """

    def __init__(self, heads: Sequence[Sequence[Layer]]) -> None:
        self.layers = [layer for head in heads for layer in head]
        self.heads, self.depth = len(heads), len(heads[0])
        self.outputs = self.layers[-1].shape[1]
        self.fits = all(layer.fits() for layer in self.layers) and len(self.layers) <= LONGEST
        several = [p for x in self.layers for p in (x.weight, x.bias, x.gain, x.shift) if p is not None]
        self.parameters = list(dict.fromkeys(several))
        self.starts = dict(zip(self.parameters, _starts(self.parameters), strict=True))
        self.size = sum(p.numel() for p in self.parameters)
        self.seen: tuple[tuple[int, int], ...] = ()

    def layers_of(self, heads: slice) -> tuple[Any, int]:
        """The first layer of some neighbouring heads, packed and up to date, and the number of heads."""
        now = tuple([(p.data_ptr(), p._version) for p in self.parameters])
        if now != self.seen:
            if [pointer for pointer, _ in now] != [pointer for pointer, _ in self.seen]:
                self.place()
            _library().smbrl_pack(self.array, len(self.layers))
            self.seen = now
        picked = range(self.heads)[heads]
        return ctypes.byref(self.array, picked[0] * self.depth * ctypes.sizeof(_Layer)), len(picked)

    def place(self) -> None:
        """Room for packed weights, and where everything lies."""
        for p in self.parameters:
            if p.dtype != torch.float32 or not p.is_contiguous():
                raise RuntimeError(
                    f"a network's parameters are contiguous float32; found {p.dtype}, strides {p.stride()}"
                )
        shapes = [layer.shape for layer in self.layers]
        self.packed = [torch.zeros(2, max(_wide(i), 2) * max(_wide(o), 2), dtype=torch.bfloat16) for i, o in shapes]
        self.padded = [torch.zeros(_wide(outputs)) for _, outputs in shapes]
        self.array = (_Layer * len(self.layers))()
        for layer, packed, padded, out in zip(self.layers, self.packed, self.padded, self.array, strict=True):
            out.inputs, out.outputs = layer.shape
            out.kind, out.transposed = layer.kind, layer.transposed
            out.forward, out.backward, out.padded = packed[0].data_ptr(), packed[1].data_ptr(), padded.data_ptr()
            for name in ("weight", "bias", "gain", "shift"):
                parameter = getattr(layer, name)
                if parameter is not None:
                    skipped = 0 if layer.head is None else layer.head * parameter[0].numel()
                    setattr(out, name, parameter.data_ptr() + 4 * skipped)
                    setattr(out, f"d{name}", self.starts[parameter] + skipped)


_networks: weakref.WeakKeyDictionary[nn.Module, Network] = weakref.WeakKeyDictionary()
_off = False


def _stepped(optimiser: torch.optim.Optimizer, *_: object) -> None:
    """Fused optimisers change weights without saying so to autograd, nor to the version that is looked at above."""
    for group in optimiser.param_groups:
        if group.get("fused"):
            increment_version([p for p in group["params"] if p.grad is not None])


register_optimizer_step_post_hook(_stepped)


def network(module: nn.Module, first: Tensor, describe: Callable[[], Sequence[Sequence[Layer]]]) -> Network:
    """The network of a module, described once; ``first`` is its first weight."""
    # kept beside the module: a deep copy of a module must not share packed weights
    found = _networks.get(module)
    if found is None or found.layers[0].weight is not first:
        found = _networks[module] = Network(describe())
    return found


def usable(inputs: Sequence[Tensor]) -> bool:
    """Whether networks are computed here now."""
    return (
        torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and all(x.device.type == "cpu" for x in inputs)
        and not (_off or torch.compiler.is_compiling())
        and kernels.networks()
    )


@contextmanager
def disabled() -> Iterator[None]:
    """PyTorch's operators do the work in here; for counting their operations, and for tests."""
    global _off
    before, _off = _off, True
    try:
        yield
    finally:
        _off = before


def run(network: Network, inputs: Sequence[Tensor], heads: slice = slice(None)) -> Tensor:
    """``(..., input)`` each, leading dims broadcasting -> ``(heads, ..., outputs)`` float32."""
    lead, rows = _spread(inputs)
    count = lead.numel()
    if torch.is_grad_enabled():
        out = _Run.apply(network, heads, count, len(rows), *rows, *network.parameters)  # type: ignore[no-untyped-call]
    else:
        out = _forward(network, heads, count, rows)[0]
    return out.view(len(out), *lead, network.outputs)  # type: ignore[no-any-return]


def fork(network: Network, inputs: Sequence[Tensor], heads: slice = slice(None)) -> tuple[Tensor, Tensor]:
    """The output of ``run`` twice: gradients of the first reach the inputs only, of the second the parameters only.

    For a network that one loss passes through and another one improves: it is computed once, and each loss has
    only the work that is its own. The second backward pass needs ``retain_graph`` in the first.
    """
    lead, rows = _spread(inputs)
    tensors = (*rows, *network.parameters)
    pair = _Fork.apply(network, heads, lead.numel(), len(rows), *tensors)  # type: ignore[no-untyped-call]
    first, second = (out.view(len(out), *lead, network.outputs) for out in pair)
    return first, second


def _spread(inputs: Sequence[Tensor]) -> tuple[torch.Size, list[Tensor]]:
    """The leading dims of the output, and the inputs as ``(rows, size)``."""
    lead = inputs[0].shape[:-1]
    if any(x.shape[:-1] != lead for x in inputs):
        lead = torch.broadcast_shapes(*[x.shape[:-1] for x in inputs])  # type: ignore[no-untyped-call]
    return lead, [_rows(x, lead) for x in inputs]


def _rows(x: Tensor, lead: torch.Size) -> Tensor:
    """``(rows, size)``, a row serving several where the last leading dim broadcasts."""
    if x.shape[:-1] != lead and x.shape[:-1] != (*lead[:-1], 1):
        x = x.expand(*lead, x.shape[-1])
    if x.dtype not in (torch.float32, torch.bfloat16):
        x = x.float()
    return x.reshape(-1, x.shape[-1]).contiguous()


def _forward(
    network: Network, heads: slice, count: int, rows: Sequence[Tensor], save: bool = False
) -> tuple[Tensor, Tensor | None]:
    layers, number = network.layers_of(heads)
    out = torch.empty(number, count, network.outputs)
    library = _library()
    saved = None
    if save:
        saved = torch.empty(count * library.smbrl_saved(layers, number, network.depth), dtype=torch.uint8)
    given = _inputs(rows, count)
    kept = None if saved is None else saved.data_ptr()

    def part(library: ctypes.CDLL, begin: int, end: int) -> None:
        library.smbrl_forward(layers, number, network.depth, given, len(rows), count, begin, end, out.data_ptr(), kept)

    _shared(part, count, 1)
    return out, saved


def _inputs(rows: Sequence[Tensor], count: int, grads: Sequence[Tensor | None] | None = None) -> Any:
    array = (_Input * len(rows))()
    for number, (x, out) in enumerate(zip(rows, array, strict=True)):
        grad = None if grads is None else grads[number]
        out.rows, out.size, out.repeat = x.data_ptr(), x.shape[1], count // max(len(x), 1)
        out.single, out.grad = x.dtype == torch.float32, None if grad is None else grad.data_ptr()
    return array


class _Run(torch.autograd.Function):
    """The layers' outputs are kept as bfloat16; nothing else."""

    @staticmethod
    def forward(ctx: Any, network: Network, heads: slice, count: int, inputs: int, *tensors: Tensor) -> Tensor:
        rows = tensors[:inputs]
        out, saved = _forward(network, heads, count, rows, save=True)
        ctx.save_for_backward(saved, *rows)
        # packed weights follow the parameters: a step between forward and backward must not go unseen
        ctx.call, ctx.seen = (network, heads, count, inputs), network.seen
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[4:]
        rows = ctx.call[3]
        inputs, parameters = _backward(ctx, grad, wanted[:rows], any(wanted[rows:]))
        return (None, None, None, None, *inputs, *parameters)


class _Fork(torch.autograd.Function):
    """See ``fork``."""

    @staticmethod
    def forward(
        ctx: Any, network: Network, heads: slice, count: int, inputs: int, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        out = _Run.forward(ctx, network, heads, count, inputs, *tensors)
        ctx.set_materialize_grads(False)
        return out, out.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, through: Tensor | None, own: Tensor | None) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[4:]
        rows = ctx.call[3]
        inputs: Sequence[Tensor | None] = [None] * rows
        parameters: Sequence[Tensor | None] = [None] * (len(wanted) - rows)
        if through is not None and any(wanted[:rows]):
            inputs, _ = _backward(ctx, through, wanted[:rows], False)
        if own is not None and any(wanted[rows:]):
            _, parameters = _backward(ctx, own, [False] * rows, True)
        return (None, None, None, None, *inputs, *parameters)


def _backward(
    ctx: Any, grad: Tensor, wanted: Sequence[bool], learns: bool
) -> tuple[Sequence[Tensor | None], Sequence[Tensor | None]]:
    """Gradients of the inputs that are wanted, and of the parameters if the network learns."""
    saved, *rows = ctx.saved_tensors
    network, heads, count, _ = ctx.call
    layers, number = network.layers_of(heads)
    if network.seen != ctx.seen:
        raise RuntimeError("the parameters of a network were changed between its forward and backward pass")
    grads = [_room(x, count) if w else None for x, w in zip(rows, wanted, strict=True)]
    given, grad = _inputs(rows, count, grads), grad.contiguous()

    def part(library: ctypes.CDLL, begin: int, end: int) -> Tensor:
        flat = torch.zeros(network.size if learns else 0)
        library.smbrl_backward(
            *(layers, number, network.depth, given, len(rows), count, begin, end),
            *(grad.data_ptr(), saved.data_ptr(), flat.data_ptr() if learns else None),
        )
        return flat

    flat = _shared(part, count, max(x.repeat for x in given))
    out = [None if g is None else g.to(x.dtype) for g, x in zip(grads, rows, strict=True)]
    if not learns:
        return out, [None] * len(network.parameters)
    whole = flat[0] if len(flat) == 1 else torch.stack(flat).sum(0)
    parts = torch.split(whole, [p.numel() for p in network.parameters])
    return out, [part.view(p.shape) for part, p in zip(parts, network.parameters, strict=True)]


def _room(x: Tensor, count: int) -> Tensor:
    """For the gradient of an input: it is set where each of its rows serves one, else summed."""
    return torch.empty(x.shape) if len(x) == count else torch.zeros(x.shape)


def _shared(part: Callable[[ctypes.CDLL, int, int], T], count: int, repeat: int) -> list[T]:
    """Do rows 0 to ``count``, in as many threads as PyTorch has where there are enough; in order."""
    share = SHARE * repeat
    threads = min(torch.get_num_threads(), count // share)
    if threads < 2:
        return [part(_library(), 0, count)]
    share *= -(-count // (threads * share))
    ranges = [(begin, min(begin + share, count)) for begin in range(0, count, share)]
    return [job.result() for job in [_pool().submit(part, _unlocked(), *bounds) for bounds in ranges]]


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="smbrl-networks")


def _library() -> ctypes.CDLL:
    loaded = kernels.library()[0]
    assert loaded is not None
    return loaded


@functools.cache
def _unlocked() -> ctypes.CDLL:
    """The same library, letting other threads run meanwhile."""
    return kernels.declared(ctypes.CDLL(_library()._name))


def _wide(size: int) -> int:
    return -(-size // 16) * 16


def _starts(parameters: Sequence[Tensor]) -> list[int]:
    starts = [0]
    for parameter in parameters:
        starts.append(starts[-1] + parameter.numel())
    return starts[:-1]
