"""The whole extension surface of smbrl.

A plugin is a module (or object) with functions of these names marked ``@hookimpl``, announced by an entry
point in the group ``smbrl``::

    [project.entry-points.smbrl]
    my-idea = "my_package.plugin"

Built-ins come in through the same door (entry point ``builtin`` of the distribution ``smbrl``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable

import pluggy

from smbrl.interfaces import Part

ENTRY_POINT_GROUP = "smbrl"
CONTRACT_VERSION = 1
"""Raised when a contract changes so that parts written for the old one no longer fit."""

hookspec = pluggy.HookspecMarker("smbrl")
hookimpl = pluggy.HookimplMarker("smbrl")


@hookspec
def smbrl_contract() -> int:  # type: ignore[empty-body]
    """The ``CONTRACT_VERSION`` this plugin was written for; without this hook, whatever there is.

    A plugin of another version is refused with one line that says whether it or smbrl is the older of the two.
    """


@hookspec
def smbrl_parts() -> Sequence[type[Part]]:  # type: ignore[empty-body]
    """The parts this plugin offers: concrete classes of one of the contracts in ``smbrl.interfaces``.

    A part is known in gin files by its class name.
    """


@hookspec
def smbrl_gin() -> Sequence[Traversable]:  # type: ignore[empty-body]
    """Folders with gin files this plugin ships, searched by ``--gin NAME`` and ``include``."""


@hookspec
def smbrl_environments() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Gymnasium ids this plugin adds, each with its entry point ``"module:Class"``."""
