"""Episodes on disk: folders in Minari's HDF5 format, written with Minari, read whole or an episode at a time.

A data folder holds ``main_data.hdf5`` and ``metadata.json``; `minari.load_dataset` reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import h5py
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage
from numpy.typing import NDArray

from smbrl.errors import SmbrlError

MAIN = "main_data.hdf5"
METADATA = "metadata.json"


class Episode(NamedTuple):
    """One episode of T steps.

    Attributes:
        obs: ``(T + 1, O)`` float32, the observation after the last action included.
        actions: ``(T, A)`` float32.
        rewards: ``(T,)`` or None for none.
        terminated: the MDP ended with the last step (else the episode was cut).
    """

    obs: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32] | None = None
    terminated: bool = False


@dataclass(frozen=True)
class Arrays:
    """All episodes end to end.

    Attributes:
        obs: ``(sum of T + 1, O)`` float32.
        actions: ``(sum of T + 1, A)`` float32; the row at an episode's last observation is zero, so that one
            index reads both arrays.
        lengths: T of each episode, ``(episodes,)`` int64.
    """

    obs: NDArray[np.float32]
    actions: NDArray[np.float32]
    lengths: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Row of each episode's first observation, ``(episodes,)``."""
        ends = np.cumsum(self.lengths + 1)
        return ends - self.lengths - 1

    @classmethod
    def of(cls, episodes: Iterable[Episode]) -> Arrays:
        """Join episodes."""
        listed = list(episodes)
        actions = [np.concatenate([e.actions, np.zeros_like(e.actions[:1])]) for e in listed]
        return cls(
            np.concatenate([e.obs for e in listed]),
            np.concatenate(actions),
            np.array([len(e.actions) for e in listed], np.int64),
        )

    def content_hash(self) -> str:
        """sha256 over lengths, observations and actions in order: the identity of the data."""
        return content_hash(self.lengths, [self.obs], [self.actions])


def content_hash(
    lengths: NDArray[np.int64], obs: Iterable[NDArray[np.float32]], actions: Iterable[NDArray[np.float32]]
) -> str:
    """sha256 over lengths, observations and actions, given in pieces; how they are cut into pieces does not matter.

    Args:
        lengths: T of each episode.
        obs, actions: the rows of `Arrays` in order, each piece ``(rows, size)``; at least one piece each.
    """
    digest = hashlib.sha256(b"smbrl episodes 1\0")
    obs, actions = iter(obs), iter(actions)
    first_obs, first_actions = next(obs), next(actions)
    digest.update(np.array([first_obs.shape[1], first_actions.shape[1]], "<i8").tobytes())
    digest.update(np.ascontiguousarray(lengths.astype("<i8", copy=False)).data)
    for pieces in (chain([first_obs], obs), chain([first_actions], actions)):
        for piece in pieces:
            digest.update(np.ascontiguousarray(piece.astype("<f4", copy=False)).data)
    return digest.hexdigest()


def write_episodes(
    path: Path, episodes: Iterable[Episode], observation: gymnasium.Space[Any], action: gymnasium.Space[Any]
) -> None:
    """Write episodes as they come into a new data folder.

    Args:
        path: the folder, which must not exist; its parent must.
        episodes: consumed one at a time.
        observation, action: the spaces, stored with the data.

    Raises:
        SmbrlError: no episode, or shapes that do not fit each other.
    """
    storage = MinariStorage.new(path.absolute(), observation, action, data_format="hdf5")
    count = 0

    def buffers() -> Iterable[EpisodeBuffer]:
        nonlocal count
        for episode in episodes:
            steps = len(episode.actions)
            if steps < 1 or len(episode.obs) != steps + 1:
                raise SmbrlError(
                    f"episode {count} has {len(episode.obs)} observations and {steps} actions: "
                    "one more observation than actions is needed"
                )
            last = np.arange(steps) == steps - 1
            none = np.zeros(steps, bool)
            yield EpisodeBuffer(
                observations=np.asarray(episode.obs, np.float32),
                actions=np.asarray(episode.actions, np.float32),
                rewards=np.zeros(steps, np.float32) if episode.rewards is None else episode.rewards,
                terminations=last if episode.terminated else none,
                truncations=none if episode.terminated else last,
                infos={},
            )
            count += 1

    storage.update_episodes(buffers())
    if count == 0:
        raise SmbrlError("no episode to store: the generator or file yielded none")


def read_metadata(path: Path) -> dict[str, Any]:
    """``metadata.json`` of a data folder.

    Raises:
        SmbrlError: it is missing or not JSON.
    """
    try:
        metadata = json.loads((path / METADATA).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SmbrlError(
            f"{path} is no readable data set ({METADATA}: {error}): remove it or restore the file"
        ) from error
    if not isinstance(metadata, dict):
        raise SmbrlError(f"{path / METADATA} holds no JSON object: remove the data set or restore the file")
    return metadata


def add_metadata(path: Path, extra: dict[str, Any]) -> None:
    """Add keys to ``metadata.json``."""
    metadata = read_metadata(path) | {"minari_version": minari.__version__} | extra
    (path / METADATA).write_text(json.dumps(metadata, indent=1))


class Reader:
    """The episodes of an open data folder, read one at a time.

    Attributes:
        lengths: T of each episode, ``(episodes,)`` int64.
        observation, action: sizes of the vectors.
        flat: observations are vectors in the file, not the ``observation`` of a dictionary (with goals beside it).
    """

    def __init__(self, content: h5py.File, *, goals: bool = False) -> None:
        self._groups = [content[f"episode_{i}"] for i in range(len(content))]
        self.lengths = np.array([group["actions"].shape[0] for group in self._groups], np.int64)
        if not self._groups:
            raise SmbrlError(f"{content.filename} holds no episode: generate or import the data set again")
        self._key, self.flat = "observations", isinstance(self._groups[0]["observations"], h5py.Dataset)
        if not self.flat and goals:
            self._key = "observations/observation"
        shapes = [self._groups[0][key].shape[1:] for key in (self._key, "actions")]
        if any(len(shape) != 1 for shape in shapes):
            raise SmbrlError(
                f"{content.filename} has observations of shape {shapes[0]} and actions of shape {shapes[1]}: "
                "only flat vectors are read"
            )
        self.observation, self.action = (int(shape[0]) for shape in shapes)

    @property
    def rows(self) -> int:
        """Rows of `Arrays`: sum of T + 1."""
        return int(self.lengths.sum()) + len(self.lengths)

    def observations(self) -> Iterator[NDArray[np.float32]]:
        """``(T + 1, O)`` of each episode."""
        for group, steps in zip(self._groups, self.lengths.tolist(), strict=True):
            yield self._rows(group[self._key], steps + 1, self.observation)

    def actions(self) -> Iterator[NDArray[np.float32]]:
        """``(T + 1, A)`` of each episode; the last row is zero."""
        for group, steps in zip(self._groups, self.lengths.tolist(), strict=True):
            rows = np.zeros((steps + 1, self.action), np.float32)
            rows[:steps] = self._rows(group["actions"], steps, self.action)
            yield rows

    def episodes(self) -> Iterator[Episode]:
        """Each episode with its rewards."""
        for group, steps in zip(self._groups, self.lengths.tolist(), strict=True):
            yield Episode(
                self._rows(group[self._key], steps + 1, self.observation),
                self._rows(group["actions"], steps, self.action),
                np.asarray(group["rewards"][()], np.float32),
                bool(group["terminations"][-1]),
            )

    def content_hash(self) -> str:
        """As `Arrays.content_hash`, an episode at a time."""
        return content_hash(self.lengths, self.observations(), self.actions())

    def arrays(self) -> Arrays:
        """Everything in memory."""
        # slots once allocated and filled by direct reads: no list of thousands of arrays to join
        obs = np.zeros((self.rows, self.observation), np.float32)
        actions = np.zeros((self.rows, self.action), np.float32)
        row = 0
        for group, steps in zip(self._groups, self.lengths.tolist(), strict=True):
            group[self._key].read_direct(obs, dest_sel=np.s_[row : row + steps + 1])
            group["actions"].read_direct(actions, dest_sel=np.s_[row : row + steps])
            row += steps + 1
        return Arrays(obs, actions, self.lengths)

    @staticmethod
    def _rows(values: h5py.Dataset, rows: int, size: int) -> NDArray[np.float32]:
        if values.shape != (rows, size):
            raise ValueError(f"{values.name} has shape {values.shape}, ({rows}, {size}) is needed")
        return np.asarray(values[()], np.float32)


@contextmanager
def reading(path: Path, *, goals: bool = False) -> Iterator[Reader]:
    """Open a data folder.

    Args:
        path: the folder.
        goals: read the ``observation`` of dictionaries with goals, too.

    Raises:
        SmbrlError: the file is missing, truncated or not in Minari's flat HDF5 format.
    """
    metadata = read_metadata(path)
    file = path / MAIN
    if metadata.get("data_format", "hdf5") != "hdf5":
        raise SmbrlError(f"{path} is in Minari's {metadata['data_format']} format: only hdf5 is read; convert it first")
    try:
        with h5py.File(file, "r") as content:
            yield Reader(content, goals=goals)
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise SmbrlError(
            f"{file} is damaged or not in Minari's flat HDF5 format ({' '.join(str(error).split())[:120]}): "
            "remove the data set's folder and generate or import it again"
        ) from error


def read_arrays(path: Path) -> Arrays:
    """Observations and actions of all episodes of a data folder, in order.

    Raises:
        SmbrlError: the file is missing, truncated or not in Minari's flat HDF5 format.
    """
    with reading(path) as reader:
        return reader.arrays()
