"""Find the distributions that announce plugins."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from smbrl import __version__, hookspecs

logger = logging.getLogger(__name__)


BUILT_IN = "smbrl"
"""The distribution whose parts win against all others."""


@dataclass(frozen=True)
class Source:
    """Where something came from: the plugin's entry point and its distribution."""

    plugin: str
    distribution: str
    version: str

    @property
    def built_in(self) -> bool:
        """Whether it came with smbrl itself."""
        return self.distribution == BUILT_IN

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution} {self.version}".rstrip()


@dataclass
class PluginState:
    """What became of a plugin.

    Attributes:
        source: who it is.
        value: the entry point, ``module`` or ``module:object``.
        asked: whether it was to be loaded (third-party plugins may be off).
        loaded: whether it was, and its hooks are sound.
        seconds: that importing it took.
        parts: names of its parts that can be used.
        gin_folders, environments: how many of them can be used.
        problems: what could not be used, one line each, without the plugin's name.
    """

    source: Source
    value: str
    asked: bool = True
    loaded: bool = False
    seconds: float = 0.0
    parts: list[str] = field(default_factory=list)
    gin_folders: int = 0
    environments: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """``ok``; ``slow`` to import; ``partly`` usable; ``skipped`` altogether; ``off``."""
        if not self.asked:
            return "off"
        if not self.loaded:
            return "skipped"
        if not self.problems:
            return "ok"
        return "slow" if all(SLOW_WORDS in problem for problem in self.problems) else "partly"


SLOW_WORDS = "s to import"
"""By which a line about a slow plugin is known."""
SLOW = 3.0
"""Seconds that importing a third-party plugin may take."""
HANGS = 10.0
"""Seconds after which a plugin that is still being imported is named, once."""


def misfit(entry: metadata.EntryPoint) -> str | None:
    """What can be said against a plugin before it is imported (its own requirements, say), or None."""
    if not entry.pattern.match(entry.value):
        return f"entry point {entry.value!r} is neither 'module' nor 'module:object'"
    for text in _requirements(entry.dist):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip would not have installed it
        ours = canonicalize_name(requirement.name) == BUILT_IN
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if ours and applies and not requirement.specifier.contains(__version__, prereleases=True):
            return f"needs smbrl{requirement.specifier}, this is smbrl {__version__}: install versions that fit"
    return None


def _requirements(distribution: metadata.Distribution | None) -> list[str]:
    """What a distribution says that it needs; nothing if it says nothing that can be read."""
    try:
        return list((distribution.requires if distribution is not None else None) or [])
    except (OSError, ValueError):  # newer readers raise where older ones found nothing
        return []


@contextmanager
def timed(state: PluginState) -> Iterator[None]:
    """Note how long something takes in ``seconds``; a plugin that hangs is named while it does."""

    def say() -> None:
        logger.warning("%s: is still being imported after %g s; SMBRL_NO_PLUGINS=1 leaves it out", state.source, HANGS)

    timer = threading.Timer(HANGS, say)
    timer.daemon = True
    timer.start()
    start = time.perf_counter()
    try:
        yield
    finally:
        timer.cancel()
        state.seconds = time.perf_counter() - start


def entry_points(problem: Callable[[Source, str], None]) -> list[tuple[Source, metadata.EntryPoint]]:
    """Entry points of the group ``smbrl``, smbrl's own first, then by name: the same order on every machine.

    Args:
        problem: told in words about a distribution whose entry points cannot be read.
    """
    found: list[tuple[Source, metadata.EntryPoint]] = []
    seen = set()
    for distribution in metadata.distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
            if f"[{hookspecs.ENTRY_POINT_GROUP}]" not in text.replace(" ", ""):
                continue
        except (OSError, UnicodeDecodeError):
            continue  # not readable, so not known to be a plugin
        name, version = _name_and_version(distribution)
        normalised = re.sub(r"[-_.]+", "-", name).lower()
        if normalised in seen:
            continue  # a second copy further down the path, which Python would not import either
        seen.add(normalised)
        try:
            entries = list(distribution.entry_points.select(group=hookspecs.ENTRY_POINT_GROUP))
        except Exception as error:
            source = Source("?", name, version)
            problem(source, f"its entry_points.txt cannot be read: {named(error)}; it is skipped")
            continue
        found += [(Source(entry.name, normalised, version), entry) for entry in entries]
    return sorted(found, key=lambda pair: (not pair[0].built_in, pair[0].distribution, pair[0].plugin))


def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    try:
        return str(distribution.metadata["Name"] or "unnamed"), str(distribution.version)
    except Exception:  # a distribution without METADATA: the exception's type depends on Python's version
        return "unnamed", ""


def named(error: BaseException) -> str:
    """An exception on one line, with its type."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
