"""Configurations: gin files and overrides, checked in full before anything is built.

``load`` reads files, includes and overrides, and raises ``SmbrlError``, one line with file and line, for
whatever is wrong with them: unknown names and parameters, wrong types, undefined and unused macros, bindings
nothing uses, duplicates. A ``Config`` is plain data, so that any number of them can exist; ``build`` hands one to
gin (whose state is global: the config built last is the one that classes built later get their values from).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from smbrl.config.check import check
from smbrl.config.config import Config, Parameter
from smbrl.config.files import GinFile, open_file, overlay_base
from smbrl.config.names import Names
from smbrl.config.parse import Binding, parse_files, parse_overrides
from smbrl.config.resolve import resolve
from smbrl.errors import SmbrlError
from smbrl.registry import Registry, load_plugins

__all__ = ["Config", "Parameter", "load", "load_text"]


def load(
    files: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    registry: Registry | None = None,
    root: Callable[..., Any] | None = None,
) -> Config:
    """Read and check a configuration.

    Args:
        files: gin files: paths, or names of packaged ones (``skimo_maze``); later ones win.
        overrides: ``NAME.PARAM=VALUE``; they win against all files.
        registry: the plugins; by default those that are installed.
        root: what a run is built from; by default ``smbrl.training.experiment.Experiment``.

    Raises:
        SmbrlError: anything wrong, in one line.
    """
    registry = registry if registry is not None else load_plugins()
    if not files:
        raise SmbrlError("no gin file is given: add --gin NAME, e.g. --gin skimo_maze")
    opened: list[GinFile] = []
    for name in files:
        file = open_file(name, registry)
        if file.key in [other.key for other in opened]:
            raise SmbrlError(f"--gin {name} is given twice: leave one out")
        base = overlay_base(file.text)
        if base is not None and not opened:
            raise SmbrlError(f"{file.label} changes another file, which comes first: --gin {base} --gin {name}")
        opened.append(file)
    return _config([*parse_files(opened, registry), *parse_overrides(overrides)], registry, root)


def load_text(
    text: str,
    overrides: Sequence[str] = (),
    *,
    label: str = "config.gin",
    registry: Registry | None = None,
    root: Callable[..., Any] | None = None,
) -> Config:
    """Read and check a configuration that is complete in itself, such as ``Config.text``.

    Args:
        text: gin source.
        overrides: as in ``load``.
        label: its name in error lines.
        registry: the plugins; by default those that are installed.
        root: as in ``load``.
    """
    registry = registry if registry is not None else load_plugins()
    file = GinFile(text, label, f"<{label}>")
    return _config([*parse_files([file], registry), *parse_overrides(overrides)], registry, root)


def known_names(registry: Registry | None = None, root: Callable[..., Any] | None = None) -> Names:
    """Everything a gin file may name."""
    return Names(registry if registry is not None else load_plugins(), root if root is not None else _experiment())


def _config(bindings: list[Binding], registry: Registry, root: Callable[..., Any] | None) -> Config:
    names = known_names(registry, root)
    return Config(check(resolve(bindings, names), names), names)


def _experiment() -> Callable[..., Any]:
    """The root of every run; imported when first needed, the core's settings with it."""
    found: Callable[..., Any] = importlib.import_module("smbrl.training.experiment").Experiment
    return found
