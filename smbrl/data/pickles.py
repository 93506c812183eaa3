"""Pickled trajectories, as SkiMo's release has them, read without running anything.

Unpickling runs whatever the file says. Here a pickle may say numpy arrays, numbers, strings and plain containers, and
nothing else: every other global is refused before it is even looked up, and arrays are rebuilt by the few lines below,
not by numpy's own unpickling. SkiMo's files are gzip-compressed lists of dictionaries with ``obs``, ``actions`` and
``dones`` of equal length, one per trajectory.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from smbrl.data.files import Episode
from smbrl.data.sources import Last, Source, check_finite, finish, note_on_last
from smbrl.errors import SmbrlError

GZIP = b"\x1f\x8b"
SUFFIXES = (".gz", ".pkl", ".pickle", ".p")
OBSERVATIONS, ACTIONS, DONES = ("obs", "observations"), ("actions",), ("dones", "terminals")
_KINDS = "fiub"  # kinds of numbers that arrays may hold
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_MALFORMED = (
    pickle.UnpicklingError, EOFError, OSError, zlib.error, AttributeError, IndexError, KeyError, MemoryError,
    OverflowError, RecursionError, TypeError, ValueError,
)  # fmt: skip


class _Refused(pickle.UnpicklingError):
    """The pickle names something that is not admitted."""


class _Dtype:
    """Stands for ``numpy.dtype(name)``; numbers only, or ``O`` for an array of plain containers."""

    def __init__(self, name: object, align: object = False, copy: object = False) -> None:
        text = name.decode() if isinstance(name, bytes) else str(name)
        self.objects = text in ("O", "O8", "|O")
        self.dtype = np.dtype(np.float32) if self.objects else np.dtype(text)
        if self.dtype.kind not in _KINDS or self.dtype.fields is not None or self.dtype.subdtype is not None:
            raise _Refused(f"an array of {text}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for an array; ``value`` is the array, or the list of containers in an array of objects."""

    value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            raise _Refused("an array without a type")
        if dtype.objects:
            self.value = data[0] if shape == () else list(data)
        else:
            self.value = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: str = "C") -> NDArray[Any]:
    if dtype.objects:
        raise _Refused("an array of objects")
    data = data.encode("latin-1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if kind is not _ndarray:
        raise _Refused("an array of an unknown class")
    return _Array()


def _ndarray() -> None:
    """Stands for the class ``numpy.ndarray``, which a pickle may name but not call."""
    raise _Refused("a call of numpy.ndarray")


def _scalar(dtype: _Dtype, data: Any = b"") -> Any:
    return _array(data, dtype, (1,))[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"encoding {encoding}")
    return text.encode("latin-1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    **{(module, "_reconstruct"): _reconstruct for module in _MODULES},
    **{(module, "scalar"): _scalar for module in _MODULES},
    **{(module, "_frombuffer"): _array for module in _MODULES},
    **{("builtins", kind.__name__): kind for kind in (list, dict, tuple, set, frozenset, bytearray, complex)},
}


class PlainUnpickler(pickle.Unpickler):
    """Reads numpy arrays, numbers, strings and plain containers; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name."""
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


def load(stream: IO[bytes], path: Path) -> Any:
    """The object in a pickle, arrays as numpy arrays.

    Args:
        stream: positioned at the pickle.
        path: for messages.

    Raises:
        SmbrlError: it is damaged, or names anything but numpy arrays and plain containers.
    """
    try:
        return _plain(PlainUnpickler(stream, encoding="latin1").load())
    except _Refused as error:
        raise SmbrlError(
            f"{path} is a pickle that holds {error}: only numpy arrays and plain containers are read, since anything "
            "else can run code; nothing was run"
        ) from error
    except _MALFORMED as error:
        raise SmbrlError(
            f"{path} cannot be read as a pickle ({' '.join(str(error).split())[:100] or type(error).__name__}): "
            "it is truncated or of another kind; get it again"
        ) from error


def _plain(found: Any) -> Any:
    """Arrays in place of what stands for them."""
    if isinstance(found, _Array):
        return _plain(found.value)
    if isinstance(found, dict):
        return {_plain(key): _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(item) for item in found]
    return found


def read(path: Path, last: Last) -> Source:
    """The trajectories of a pickle, gzip-compressed or not.

    A trajectory is also cut where ``dones`` says so. Trajectories with fewer observations than actions are left out,
    as in SkiMo's own reader.

    Raises:
        SmbrlError: it is no such file.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        stream: IO[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw
        found = load(stream, path)
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise SmbrlError(f"{path} holds no list of trajectories (dictionaries with obs, actions, dones)")
    if not found:
        raise SmbrlError(f"{path} holds no trajectory: nothing to import")
    episodes: list[Episode] = []
    short = trajectories = steps = 0
    for number, item in enumerate(found):
        obs, actions, dones = (_column(item, names, number, path) for names in (OBSERVATIONS, ACTIONS, DONES))
        if len(dones) != len(actions):
            raise SmbrlError(
                f"{path}: trajectory {number} has {len(actions)} actions and {len(dones)} dones: as many are needed"
            )
        if len(obs) < len(actions):
            short += 1
            continue
        sizes = (obs.shape[1], actions.shape[1])
        if episodes and sizes != (episodes[0].obs.shape[1], episodes[0].actions.shape[1]):
            raise SmbrlError(
                f"{path}: trajectory {number} has observations of size {sizes[0]} and actions of size {sizes[1]}, "
                f"those before it {episodes[0].obs.shape[1]} and {episodes[0].actions.shape[1]}: they must be equal"
            )
        trajectories += 1
        made = list(_pieces(obs, actions, dones, last))
        steps += len(actions)
        episodes += made
    if not episodes:
        raise SmbrlError(f"{path} has no trajectory with as many observations as actions: nothing to import")
    notes = [note_on_last(path.name, len(episodes), steps, last)]
    if short:
        notes.append(
            f"{path.name}: {short} of {len(found)} trajectories have fewer observations than actions, left out"
        )
    sizes = (episodes[0].obs.shape[1], episodes[0].actions.shape[1])
    return Source(path.name, "pickle", *sizes, lambda: iter(episodes), tuple(notes))


def _column(item: dict[str, Any], names: tuple[str, ...], number: int, path: Path) -> NDArray[Any]:
    """One of a trajectory's arrays."""
    key = next((name for name in names if name in item), None)
    if key is None:
        known = ", ".join(str(key) for key in list(item)[:8])
        raise SmbrlError(f"{path}: trajectory {number} has no {names[0]} (it has {known}); needed: obs, actions, dones")
    try:
        values = np.asarray(item[key], None if isinstance(item[key], np.ndarray) else np.float32)
    except (TypeError, ValueError) as error:
        raise SmbrlError(f"{path}: trajectory {number}: {key} is no array of numbers") from error
    dimensions = 1 if names is DONES else 2
    if dimensions == 1 and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != dimensions or not len(values):
        wanted = "(steps,)" if dimensions == 1 else "(steps, size)"
        raise SmbrlError(f"{path}: trajectory {number}: {key} has shape {values.shape}, {wanted} is needed")
    check_finite(values, f"trajectory {number}: {key}", path)
    return values


def _pieces(obs: NDArray[Any], actions: NDArray[Any], dones: NDArray[Any], last: Last) -> Iterator[Episode]:
    """A trajectory, cut after every done. The files tell no time limit from an end, so nothing counts as terminated."""
    ends = [*(np.flatnonzero(dones[:-1]) + 1).tolist(), len(actions)]
    start = 0
    for end in ends:
        if end == len(actions) and len(obs) > end:
            yield Episode(obs[start : end + 1].astype(np.float32), actions[start:end].astype(np.float32))
        else:
            episode = finish(obs[start:end], actions[start:end], None, False, last)
            if episode is not None:
                yield episode
        start = end
