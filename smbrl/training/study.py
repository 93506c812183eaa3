"""Studies: which methods are compared, with which seeds and budgets; and the runs that a study is made of.

A study is a small TOML file, packaged like a gin file (``gin/studies/maze.toml``) or a user's own::

    about = "what is compared"
    metric = "train/success"              # what is drawn and tabulated
    published = "paper/maze"              # file and task of published values (smbrl.training.published), if any

    [budgets]                             # overrides by name; the first is the default
    short = ["Online.steps=300_000"]

    [methods.SkiMo]
    gin = ["skimo_maze"]                  # files of smbrl train
    set = []                              # and its overrides
    seeds = [0, 1]
    published = [[250_000, 0.03]]         # (env steps, value) of this method, where they are in no file
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smbrl.errors import SmbrlError, suggestion
from smbrl.registry import Registry
from smbrl.training import published
from smbrl.training.jobs import Job

FOLDER, SUFFIX = "studies", ".toml"


@dataclass(frozen=True)
class Method:
    """One method of a study; see above."""

    name: str
    gin: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    published: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Study:
    """What is compared; see above."""

    name: str
    about: str
    metric: str
    budgets: Mapping[str, tuple[str, ...]]
    methods: tuple[Method, ...]

    def overrides(self, budget: str | None) -> tuple[str, tuple[str, ...]]:
        """Name and overrides of a budget: one of the study's, or a number of env steps.

        Raises:
            SmbrlError: it is neither.
        """
        budget = budget or next(iter(self.budgets))
        if budget in self.budgets:
            return budget, self.budgets[budget]
        steps = budget.replace("_", "").replace(",", "")
        if not steps.isdigit() or int(steps) < 1:
            raise SmbrlError(
                f"--budget {budget!r} is neither a budget of the study {self.name} nor a number of env steps; "
                f"{suggestion(budget, self.budgets)}"
            )
        return steps, (f"Online.steps={int(steps)}",)

    def chosen(self, names: Sequence[str]) -> tuple[Method, ...]:
        """Some of the methods; all where none is named.

        Raises:
            SmbrlError: the study has no such method.
        """
        known = {method.name: method for method in self.methods}
        for name in names:
            if name not in known:
                raise SmbrlError(f"the study {self.name} has no method {name!r}; {suggestion(name, known)}")
        return tuple(known[name] for name in names) if names else self.methods


@dataclass(frozen=True)
class StudyRun(Job):
    """One run of a study.

    Attributes:
        method: that it is a seed of.
    """

    method: Method


def load(name: str, registry: Registry) -> Study:
    """A study by the path of its file or the name of a packaged one.

    Raises:
        SmbrlError: there is none, or it is not written as it should be.
    """
    path = Path(name)
    if path.suffix == SUFFIX or path.is_file():
        try:
            return parse(path.stem, path.read_text(encoding="utf-8"), str(path), registry)
        except OSError as error:
            raise SmbrlError(f"cannot read the study {name} ({error.strerror})") from error
    known = packaged(registry)
    if name not in known:
        raise SmbrlError(f"there is no study {name!r} and no {SUFFIX} file of that name; {suggestion(name, known)}")
    return parse(name, known[name], f"{name}{SUFFIX}", registry)


def packaged(registry: Registry) -> dict[str, str]:
    """The studies that plugins ship with their gin files: text by name."""
    found: dict[str, str] = {}
    for entry in registry.gin:
        folder = entry.folder.joinpath(FOLDER)
        if folder.is_dir():
            for file in sorted(folder.iterdir(), key=lambda file: file.name):
                if file.name.endswith(SUFFIX):
                    found.setdefault(file.name.removesuffix(SUFFIX), file.read_text(encoding="utf-8"))
    return found


def parse(name: str, text: str, label: str, registry: Registry | None = None) -> Study:
    """Read a study.

    Args:
        name: of the study.
        text: TOML.
        label: of the file, for messages.
        registry: where packaged published values are found.

    Raises:
        SmbrlError: the first thing that is wrong with it.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SmbrlError(f"{label}: no TOML: {error}") from error
    known(raw, ("about", "metric", "published", "budgets", "methods"), label)
    budgets = raw.get("budgets") or {"default": []}
    methods = raw.get("methods") or {}
    if not methods:
        raise SmbrlError(f"{label}: a study has at least one [methods.NAME] with gin = [...]")
    curves = _published(text_of(raw, "published", label, ""), label, registry)
    return Study(
        name,
        text_of(raw, "about", label, ""),
        text_of(raw, "metric", label, "train/return"),
        {budget: published.texts(budgets, budget, f"{label}: [budgets]") for budget in budgets},
        tuple(method(name, methods[name], f"{label}: [methods.{name}]", curves.get(name, ())) for name in methods),
    )


def _published(name: str, label: str, registry: Registry | None) -> Mapping[str, published.Points]:
    if not name:
        return {}
    file, sign, task = name.rpartition("/")
    if not sign or registry is None:
        raise SmbrlError(f"{label}: published is {name!r}; expected FILE/TASK, as in published = 'paper/maze'")
    return published.load(file, registry).curves(task)


def method(name: str, raw: Any, label: str, curve: published.Points = ()) -> Method:
    """One ``[methods.NAME]`` of a file.

    Args:
        name: of the method.
        raw: the table.
        label: for messages.
        curve: what was published of it.

    Raises:
        SmbrlError: the first thing that is wrong with it.
    """
    if not isinstance(raw, dict):
        raise SmbrlError(f"{label}: expected a table, found {raw!r}")
    known(raw, ("gin", "set", "seeds", "published"), label)
    gin, seeds = published.texts(raw, "gin", label), raw.get("seeds", [0])
    if not gin:
        raise SmbrlError(f"{label}: gin is missing; expected the files of smbrl train, as in gin = ['skimo_maze']")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise SmbrlError(f"{label}: seeds is {seeds!r}; expected whole numbers, as in seeds = [0, 1]")
    if "published" in raw:
        curve = published.points(raw["published"], f"{label}: published")
    return Method(name, gin, published.texts(raw, "set", label), tuple(seeds), curve)


def known(raw: Mapping[str, Any], names: Sequence[str], label: str) -> None:
    """Raise at an entry of a file that has no meaning."""
    for name in raw:
        if name not in names:
            raise SmbrlError(f"{label}: unknown entry {name!r}; {suggestion(name, names)}")


def text_of(raw: Mapping[str, Any], name: str, label: str, default: str) -> str:
    """One text of a file."""
    value = raw.get(name, default)
    if not isinstance(value, str):
        raise SmbrlError(f"{label}: {name} is {value!r}; expected text")
    return value


def plan(methods: Sequence[Method], overrides: Sequence[str], root: Path) -> list[StudyRun]:
    """Every run: the first seed of each method before the second of any, so that what is there early compares all."""
    most = max(len(method.seeds) for method in methods)
    return [
        StudyRun(method.gin, (*method.overrides, *overrides), seed, root / f"{slug(method.name)}-s{seed}", method)
        for turn in range(most)
        for method in methods
        for seed in method.seeds[turn : turn + 1]
    ]


def slug(name: str) -> str:
    """A name as part of a folder's."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
