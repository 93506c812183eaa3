"""Published results, to be put beside runs: small TOML files, packaged like gin files (``gin/published/paper.toml``).

::

    source = "whose figures, which version, how they were read"
    [methods]
    "SkiMo w/o CEM" = ["skimo_no_cem"]     # names of methods here (smbrl.training.identity.method), by theirs
    [tasks.maze]
    titles = ["Maze"]                      # titles of tasks here
    metrics = ["success"]                  # what the values are: train/success and eval/success are
    [tasks.maze.curves]
    "SkiMo w/o CEM" = [[0, 0.0], [250_000, 0.12]]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from smbrl.errors import SmbrlError, suggestion
from smbrl.registry import Registry

FOLDER, SUFFIX = "published", ".toml"
Points = tuple[tuple[float, float], ...]
"""(env steps, value), in order."""


@dataclass(frozen=True)
class PublishedTask:
    """The curves of one task; see above."""

    titles: tuple[str, ...]
    metrics: tuple[str, ...]
    curves: Mapping[str, Points]


@dataclass(frozen=True)
class Published:
    """A file of published results; see above."""

    name: str
    source: str
    methods: Mapping[str, tuple[str, ...]]
    tasks: Mapping[str, PublishedTask]

    def curves(self, task: str) -> Mapping[str, Points]:
        """The curves of a task of the file by its name there.

        Raises:
            SmbrlError: it has no such task.
        """
        if task not in self.tasks:
            raise SmbrlError(f"{self.name} has no task {task!r}; {suggestion(task, self.tasks)}")
        return self.tasks[task].curves

    def of_task(self, title: str) -> PublishedTask | None:
        """What was published of a task here, by its title."""
        plain = title.lower()
        return next((task for task in self.tasks.values() if plain in [t.lower() for t in task.titles]), None)

    def name_of(self, ours: str) -> str | None:
        """What they call a method that is called ``ours`` here."""
        return next((theirs for theirs, names in self.methods.items() if ours in (theirs, *names)), None)


def load(name: str, registry: Registry) -> Published:
    """Published results by the path of a file or the name of a packaged one.

    Raises:
        SmbrlError: there are none, or the file is not written as it should be.
    """
    path = Path(name)
    if path.suffix == SUFFIX or path.is_file():
        try:
            return parse(path.stem, path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise SmbrlError(f"cannot read the published results {name} ({error.strerror})") from error
    known: dict[str, Traversable] = {}
    for entry in registry.gin:
        folder = entry.folder.joinpath(FOLDER)
        if folder.is_dir():
            known |= {f.name.removesuffix(SUFFIX): f for f in folder.iterdir() if f.name.endswith(SUFFIX)}
    if name not in known:
        raise SmbrlError(f"there are no published results {name!r}, nor a {SUFFIX} file; {suggestion(name, known)}")
    return parse(name, known[name].read_text(encoding="utf-8"), f"{name}{SUFFIX}")


def parse(name: str, text: str, label: str) -> Published:
    """Read published results.

    Args:
        name: of them.
        text: TOML.
        label: of the file, for messages.

    Raises:
        SmbrlError: the first thing that is wrong with it.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SmbrlError(f"{label}: no TOML: {error}") from error
    _known(raw, ("source", "methods", "tasks"), label)
    source = raw.get("source")
    if not isinstance(source, str) or not source.strip():
        raise SmbrlError(f"{label}: source is {source!r}; expected a text that says where the values are from")
    tasks = {task: _task(value, f"{label}: [tasks.{task}]") for task, value in _table(raw, "tasks", label).items()}
    methods = _table(raw, "methods", label)
    return Published(
        name,
        " ".join(source.split()),
        {theirs: texts(methods, theirs, f"{label}: [methods]") for theirs in methods},
        tasks,
    )


def _task(raw: Any, label: str) -> PublishedTask:
    if not isinstance(raw, dict):
        raise SmbrlError(f"{label}: expected a table, found {raw!r}")
    _known(raw, ("titles", "metrics", "curves"), label)
    curves = _table(raw, "curves", label)
    return PublishedTask(
        texts(raw, "titles", label),
        texts(raw, "metrics", label),
        {name: points(curves[name], f"{label}: {name}") for name in curves},
    )


def points(raw: Any, label: str) -> Points:
    """Pairs of env steps and value.

    Raises:
        SmbrlError: they are something else.
    """
    try:
        return tuple((float(step), float(value)) for step, value in raw)
    except (TypeError, ValueError) as error:
        raise SmbrlError(f"{label} is {raw!r}; expected pairs [env steps, value]") from error


def texts(raw: Mapping[str, Any], name: str, label: str) -> tuple[str, ...]:
    """A list of texts.

    Raises:
        SmbrlError: it is something else.
    """
    value = raw.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SmbrlError(f"{label}: {name} is {value!r}; expected a list of texts")
    return tuple(value)


def _table(raw: Mapping[str, Any], name: str, label: str) -> Mapping[str, Any]:
    value = raw.get(name, {})
    if not isinstance(value, dict):
        raise SmbrlError(f"{label}: {name} is {value!r}; expected a table [{name}]")
    return value


def _known(raw: Mapping[str, Any], names: Sequence[str], label: str) -> None:
    for name in raw:
        if name not in names:
            raise SmbrlError(f"{label}: unknown entry {name!r}; {suggestion(name, names)}")
