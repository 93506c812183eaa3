"""Everything about a configuration that can be wrong and be seen before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gin.config

from smbrl.config.names import Names
from smbrl.config.parse import OVERRIDES
from smbrl.config.resolve import (
    MACRO,
    Effective,
    Entry,
    Graph,
    Key,
    as_of,
    effective,
    graph,
    macros_in,
    used,
    without_macros,
)
from smbrl.config.types import Constant, mismatch, spell
from smbrl.errors import SmbrlError, suggestion
from smbrl.faults import article


@dataclass(frozen=True)
class Checked:
    """A configuration without faults.

    Attributes:
        config: the binding of each name that is in force.
        nodes: what the run is made of.
        not_used: bindings that have no effect and may have none, with the reason: a later file or an override
            replaced the part they are for.
    """

    config: Effective
    nodes: Graph
    not_used: list[tuple[Entry, str]]


def check(entries: list[Entry], names: Names) -> Checked:
    """Find the first fault.

    Raises:
        SmbrlError: one line with place, what was found, and what to do.
    """
    config = effective(entries)
    for entry in entries:
        _check_type(entry, config, names)
    nodes = graph(config, names)
    _check_complete(nodes, names)
    return Checked(config, nodes, _check_used(entries, config, nodes, names))


# -- values ----------------------------------------------------------------------------------------
def _check_type(entry: Entry, config: Effective, names: Names) -> None:
    value = without_macros(entry, config)
    if entry.parameter is None or _is_required(value):
        return
    default = entry.parameter.default
    if type(value) is type(default) and value == default:
        return  # a default is right whatever its annotation says
    fault = mismatch(value, entry.parameter.annotation)
    if fault is None:
        return
    definitions = [config["", MACRO, name] for name in sorted(macros_in(entry, config)) if ("", MACRO, name) in config]
    note = "".join(f" (%{macro.binding.name} is defined at {macro.place})" for macro in definitions)
    origin = entry.target.origin if entry.target is not None else ""
    raise SmbrlError(f"{entry.place}: {entry.binding.name}{origin}: {fault}{_candidates(entry, names)}{note}")


def _candidates(entry: Entry, names: Names) -> str:
    """What could have been referred to."""
    assert entry.parameter is not None
    known = names.accepted(entry.parameter.annotation)
    return f"; known: {', '.join(known)}" if known else ""


def _check_complete(nodes: Graph, names: Names) -> None:
    """Nothing that must be bound is missing."""
    for node in nodes.values():
        for parameter in node.target.parameters.values():
            use = node.uses.get(parameter.name)
            missing = use is None and not parameter.given and node.target.part is None
            if missing or (use is not None and _is_required(use.value)):
                known = names.accepted(parameter.annotation)
                choices = f"; {suggestion('', known)}" if known else ""
                at = f"{use.entry.place}: " if use is not None and use.entry is not None else ""
                raise SmbrlError(
                    f"{at}{node.name}.{parameter.name} is not bound, it needs {spell(parameter.annotation)}{choices}"
                )


def _is_required(value: Any) -> bool:
    return isinstance(value, Constant) and value.value is gin.config.REQUIRED


# -- use -------------------------------------------------------------------------------------------
def _check_used(entries: list[Entry], config: Effective, nodes: Graph, names: Names) -> list[tuple[Entry, str]]:
    """The rule for bindings that nothing uses.

    A binding must be used in the configuration as it is at the end of the file it stands in (what later files
    bind for the first time included). Later files and overrides may then replace the part it is for: that is
    what overlays do. So a typo never hides, and an overlay need not unbind anything.
    """
    now = used(nodes, config)
    before: dict[str, set[Key]] = {}
    idle = []
    for entry in config.values():
        if entry.key in now:
            continue
        file = entry.binding.file
        if file not in before:
            layer = as_of(entries, file)
            before[file] = used(graph(layer, names), layer)
        reason = _reason(entry, config, nodes, names)
        if entry.key not in before[file]:
            raise SmbrlError(f"{entry.place}: {reason}")
        idle.append((entry, reason))
    return idle


def _reason(entry: Entry, config: Effective, nodes: Graph, names: Names) -> str:
    """Why a binding is not used."""
    if entry.target is None:
        return _reason_of_macro(entry, config, nodes, names)
    name, target = entry.binding.name, entry.target
    scopes = {"/".join(node.scope[:depth]) for node in nodes.values() for depth in range(1, len(node.scope) + 1)}
    if entry.binding.scope and entry.binding.scope not in scopes:
        hint = suggestion(entry.binding.scope, scopes) if scopes else "no reference here has a scope"
        return f"{name} has no effect, no reference has the scope {entry.binding.scope!r}: {hint}"
    inside = [node for node in nodes.values() if node.target.selector == target.selector]
    closer = [use.entry for node in inside for use in [node.uses.get(entry.binding.parameter)] if use and use.entry]
    if closer and any(other.binding.scope.startswith(entry.binding.scope) for other in closer):
        return f"{name} has no effect, {closer[0].binding.name} ({closer[0].place}) takes its place"
    if inside:
        built = " and ".join(dict.fromkeys(f"as {node.name}" for node in inside))
        return f"{name} has no effect, {target.name} is built {built}: bind it there"
    seat = _seat(entry, nodes, names)
    return f"{name} has no effect, {target.name}{target.origin} is not part of this run{seat}"


def _seat(entry: Entry, nodes: Graph, names: Names) -> str:
    """Where the configurable could stand, and what stands there instead."""
    assert entry.target is not None
    for node in nodes.values():
        for parameter in node.target.parameters.values():
            use = node.uses.get(parameter.name)
            if use is None or entry.target.name not in names.accepted(parameter.annotation):
                continue
            place = f" at {use.entry.place}" if use.entry is not None else " by default"
            return f": {node.name}.{parameter.name} is {use.value!r}{place}"
    kind = article(entry.target.part.kind) if entry.target.part else "it"
    return f": nothing here takes {kind}" if entry.target.part else ""


def _reason_of_macro(entry: Entry, config: Effective, nodes: Graph, names: Names) -> str:
    name = entry.binding.name
    asked = {macro for other in config.values() if other.target for macro in macros_in(other, config)}
    same = [f"{node.name}.{name}" for node in nodes.values() if name in node.uses]
    known = next((known for known in names.all() if known.name == name), None)
    head = f"macro {name!r} is used by nothing"
    if known is not None:
        parameter = next((p.name for p in known.parameters.values() if not p.given), "parameter")
        return f"{head}: {name} is a name, bind its parameters: {name}.{parameter} = ..."
    if same:
        return f"{head}: a parameter is set as {' or '.join(same[:3])} = ..."
    if entry.binding.file == OVERRIDES or asked:
        return f"{head}: {suggestion(name, asked)}" if asked else f"{head}: parameters are set as Name.parameter=value"
    return f"{head}: remove it, or use it as %{name}"
