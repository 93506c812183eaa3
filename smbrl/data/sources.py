"""What an importer hands over: episodes of one size, read when they are asked for, and what to say about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smbrl.data.files import Episode
from smbrl.errors import SmbrlError

Last = Literal["repeat", "drop"]
"""What becomes of an episode's last action where the file has no observation after it: the last observation is
repeated as its outcome, so that every action, reward and terminal is kept, or the action is left out."""


@dataclass(frozen=True)
class Source:
    """Episodes from elsewhere.

    Attributes:
        name: the file's, for messages and provenance.
        kind: of the file: ``npz``, ``hdf5``, ``pickle``, ``frames``.
        observation, action: sizes of the vectors.
        episodes: reads them, from the first, each time it is called. Raises SmbrlError at values that cannot be.
        notes: what a user should know, a line each.
        record: what else belongs into the provenance.
    """

    name: str
    kind: str
    observation: int
    action: int
    episodes: Callable[[], Iterator[Episode]]
    notes: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)


def parse_elements(text: str) -> tuple[int, ...]:
    """Elements of the observation to keep, from text such as ``0:9,18:39,41``.

    Raises:
        SmbrlError: it is no such text.
    """
    chosen: list[int] = []
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(r"(\d+)(?::(\d+))?", part)
        if found is None or (found[2] is not None and int(found[2]) <= int(found[1])):
            raise SmbrlError(f"--elements {text!r}: give element numbers and ranges FIRST:END, e.g. 0:9,18:39")
        chosen += range(int(found[1]), int(found[2] or int(found[1]) + 1))
    return tuple(chosen)


def selected(source: Source, elements: tuple[int, ...]) -> Source:
    """The source with these elements of the observation only.

    Raises:
        SmbrlError: it has no such elements.
    """
    if max(elements) >= source.observation:
        raise SmbrlError(
            f"{source.name} has observations of size {source.observation}: element {max(elements)} is not in it "
            f"(the last is {source.observation - 1})"
        )
    columns = list(elements)

    def episodes() -> Iterator[Episode]:
        for episode in source.episodes():
            yield episode._replace(obs=np.ascontiguousarray(episode.obs[:, columns]))

    record = source.record | {"elements": columns}
    return Source(source.name, source.kind, len(columns), source.action, episodes, source.notes, record)


def finish(
    obs: NDArray[Any], actions: NDArray[Any], rewards: NDArray[Any] | None, terminated: bool, last: Last
) -> Episode | None:
    """An episode of T rows, without the observation after its last action; None where nothing is left of it."""
    if last == "repeat":
        obs = np.concatenate([obs, obs[-1:]])
    else:
        actions = actions[:-1]
        rewards, terminated = None if rewards is None else rewards[:-1], False
    if not len(actions):
        return None
    return Episode(
        obs.astype(np.float32, copy=False),
        actions.astype(np.float32, copy=False),
        None if rewards is None else rewards.astype(np.float32, copy=False),
        terminated,
    )


def note_on_last(name: str, episodes: int, steps: int, last: Last) -> str:
    """What was done about the missing observations."""
    done = (
        "the last observation of each episode is repeated as the outcome of its last action"
        if last == "repeat"
        else "the last action of each episode is left out"
    )
    return f"{name} has no observation after an episode's last action: {done} ({episodes:,} of {steps:,} steps)"


def check_finite(values: NDArray[Any], what: str, path: Path | str, first_row: int = 0) -> None:
    """Refuse values that are not finite.

    Raises:
        SmbrlError: there are some.
    """
    finite = np.isfinite(values)
    if not finite.all():
        row = first_row + int(np.argwhere(~finite)[0][0])
        raise SmbrlError(f"{path}: {what} has values that are not finite, the first in row {row}: repair the file")
