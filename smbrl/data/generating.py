"""Generating episodes in several processes: in order, the same whatever the processes, and resumed where it stopped.

A generator gives a `Maker`: something that can be pickled and makes episode ``index`` of the data set with a seed from
these two numbers alone. Everything else is here: processes that end with their parent and never see Ctrl-C, progress,
and the finished chunks, which are kept as files until the data set is complete.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from smbrl.data.files import Episode
from smbrl.errors import SmbrlError
from smbrl.interfaces import Progress

CHUNK = 8
"""Episodes a process makes at a time."""

Maker = Callable[[int, int], Episode]
"""(seed, index) -> episode ``index``."""


def generate(
    prepare: Callable[[], Maker],
    total: int,
    *,
    seed: int,
    workers: int = 1,
    progress: Progress | None = None,
    parts: Path | None = None,
    chunk: int = CHUNK,
) -> Iterator[Episode]:
    """The episodes in order, made by ``workers`` processes (1: in this one).

    Processes are spawned, not forked: neither MuJoCo nor torch threads survive a fork.

    Args:
        prepare: called once in each process (and in this one, so that what cannot work is found out here); it must
            be picklable: a function of a module, or a ``functools.partial`` of one.
        total: episodes.
        seed: of the data set.
        workers: processes; no influence on the episodes.
        progress: told (finished, total).
        parts: folder for finished chunks; what an interrupted generation left there is not made again. It must belong
            to this generator, its parameters and seed alone. None: nothing is kept.
        chunk: episodes that are made, and kept, together.

    Raises:
        SmbrlError: a worker died, or the seed or number of workers makes no sense.
    """
    if workers < 1:
        raise SmbrlError(f"{workers} workers cannot generate data: give at least 1")
    if seed < 0:
        raise SmbrlError(f"data seed is {seed}: give 0 or a positive whole number")
    chunks = [range(first, min(first + chunk, total)) for first in range(0, total, chunk)]
    if parts is not None:
        parts.mkdir(parents=True, exist_ok=True)
    missing = [indices for indices in chunks if _read(parts, indices) is None]
    make = prepare() if missing else None
    done = 0
    if progress is not None:
        progress(done, total)
    if min(workers, len(missing)) <= 1:
        for indices in chunks:
            kept = _read(parts, indices)
            fresh: list[Episode] = []
            for place, index in enumerate(indices):
                if kept is not None:
                    yield kept[place]
                else:
                    assert make is not None
                    fresh.append(make(seed, index))
                    yield fresh[-1]
                done += 1
                if progress is not None:
                    progress(done, total)
            if kept is None:
                _write(parts, indices, fresh)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(missing)), mp_context=get_context("spawn"), initializer=_prepare, initargs=(prepare,)
    )
    others = set(active_children())
    try:
        with _interrupts_held_back():  # the first submit starts the processes
            pending: dict[range, Future[list[Episode]]] = {
                indices: pool.submit(_chunk, seed, indices, parts) for indices in missing
            }
        for indices in chunks:
            episodes = pending.pop(indices).result() if indices in pending else _read(parts, indices)
            assert episodes is not None
            for episode in episodes:
                yield episode
                done += 1
            if progress is not None:
                progress(done, total)
    except BrokenProcessPool as error:
        raise SmbrlError(
            f"a process that generated data died after {done} of {total} trajectories (out of memory?): "
            "try again with fewer workers"
        ) from error
    finally:
        if done < total:  # nobody wants what they are working on
            for process in set(active_children()) - others:
                process.terminate()
        pool.shutdown(cancel_futures=True)


_maker: Maker | None = None
"""Of a worker process."""


def _prepare(prepare: Callable[[], Maker]) -> None:
    global _maker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _maker = prepare()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C, which reaches them too; the parent answers it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """A pool's processes wait for ever when their parent is killed: end them."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _chunk(seed: int, indices: range, parts: Path | None) -> list[Episode]:
    assert _maker is not None
    episodes = [_maker(seed, index) for index in indices]
    _write(parts, indices, episodes)
    return episodes


def _file(parts: Path, indices: range) -> Path:
    return parts / f"{indices.start:07d}-{indices.stop:07d}.npz"


def _write(parts: Path | None, indices: range, episodes: list[Episode]) -> None:
    """Keep a finished chunk: all of it or nothing."""
    if parts is None:
        return
    arrays = {}
    for place, episode in enumerate(episodes):
        arrays[f"obs{place}"], arrays[f"actions{place}"] = episode.obs, episode.actions
        if episode.rewards is not None:
            arrays[f"rewards{place}"] = episode.rewards
        arrays[f"terminated{place}"] = np.array(episode.terminated)
    target = _file(parts, indices)
    draft = target.with_suffix(f".{os.getpid()}.tmp")
    with draft.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own arguments
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)


def _read(parts: Path | None, indices: range) -> list[Episode] | None:
    """A chunk that was kept; None where there is none, or a damaged one, which is made again."""
    if parts is None or not _file(parts, indices).is_file():
        return None
    try:
        with np.load(_file(parts, indices), allow_pickle=False) as arrays:
            return [
                Episode(
                    arrays[f"obs{place}"],
                    arrays[f"actions{place}"],
                    arrays.get(f"rewards{place}"),
                    bool(arrays[f"terminated{place}"]),
                )
                for place in range(len(indices))
            ]
    except (BadZipFile, KeyError, ValueError, EOFError, OSError):
        return None
