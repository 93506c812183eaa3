"""Check everything that a plugin offers: its parts and its gin files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from smbrl import config
from smbrl.config.files import overlay_base, packaged_file, packaged_files
from smbrl.discovery import PluginState
from smbrl.errors import SmbrlError, suggestion
from smbrl.registry import PartInfo, Registry
from smbrl.testing.conformance import check


@dataclass(frozen=True)
class Checked:
    """One thing that was checked.

    Attributes:
        name: of a part or a gin file.
        what: it is.
        findings: one line each; none where it is right.
    """

    name: str
    what: str
    findings: list[str]


def chosen(name: str, registry: Registry) -> list[tuple[PluginState, list[PartInfo]]]:
    """The plugins of a name, each with its parts that are meant: a distribution's, an entry point's, an imported
    module's, or a part's name.

    Raises:
        SmbrlError: there is none.
    """
    plain = name.replace("_", "-").lower()
    found = []
    for state in registry.states:
        parts = [info for info in registry.parts.values() if info.source == state.source]
        module = state.value.partition(":")[0]
        if plain in (state.source.distribution, state.source.plugin) or name in (module, module.partition(".")[0]):
            found.append((state, parts))
        elif name in [info.name for info in parts]:
            found.append((state, [info for info in parts if info.name == name]))
    if not found:
        known = [*registry.parts, *(state.source.distribution for state in registry.states)]
        raise SmbrlError(f"no plugin or part {name!r} is installed: {suggestion(name, known)}{registry.excuse(name)}")
    return found


def check_parts(
    parts: Sequence[PartInfo], gin: Sequence[str] = (), overrides: Sequence[str] = (), *, compiled: bool = False
) -> Iterator[Checked]:
    """Check parts one by one.

    Args:
        parts: to check.
        gin, overrides: a configuration to build them with; without it, with their defaults.
        compiled: see ``check``.
    """
    loaded = config.load(gin, overrides) if gin else None
    for info in parts:
        build: Callable[..., Any] = info.cls
        if loaded is not None:
            loaded.activate()
            build = info.configured
        findings = check(info.cls, build, compiled=compiled)
        yield Checked(info.name, info.kind.replace("_", " "), [str(finding) for finding in findings])


def check_gin(state: PluginState, registry: Registry) -> Iterator[Checked]:
    """Check the complete gin files and overlays that a plugin ships."""
    for name, folder in packaged_files(registry):
        if folder.source != state.source:
            continue
        base, findings = None, []
        try:
            base = overlay_base(packaged_file(name, folder).text)
            if base is None and "/" in name:
                continue  # a part of other files
            config.load([*(base.split() if base else []), name], registry=registry)
        except SmbrlError as error:
            findings = [str(error)]
        yield Checked(name, f"gin file on top of {base}" if base else "gin file", findings)
