"""Find the distributions that announce plugins."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from smbrl import hookspecs

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
