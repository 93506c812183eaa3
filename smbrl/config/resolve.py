"""What a list of bindings amounts to: which value every parameter of the run has, and where it comes from.

The run is a graph: the root (Experiment) has parameters, some of them are references to parts, which have
parameters, and so on. A binding is *used* when it gives a parameter of that graph its value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gin.config

from smbrl.config.names import Configurable, Names, Parameter
from smbrl.config.parse import Binding, Macro, Reference, leaves
from smbrl.config.types import Constant, Resolved
from smbrl.errors import SmbrlError, suggestion

Key = tuple[str, str, str]
"""scope, complete selector, parameter; for a macro: "", "%", name."""
MACRO = "%"


@dataclass(frozen=True, eq=False)
class Entry:
    """A binding whose names are known.

    Attributes:
        binding: as it was written.
        value: with references resolved; macros are still in it.
        target: None for a macro.
        parameter: None for a macro.
    """

    binding: Binding
    value: Any
    target: Configurable | None = None
    parameter: Parameter | None = None

    @property
    def key(self) -> Key:
        """What it binds."""
        if self.target is None:
            return "", MACRO, self.binding.name
        return self.binding.scope, self.target.selector, self.binding.parameter

    @property
    def place(self) -> str:
        """Where it stands."""
        return self.binding.place


@dataclass
class Use:
    """The value one parameter has.

    Attributes:
        value: macros replaced.
        entry: the binding it comes from; None for a default.
    """

    value: Any
    entry: Entry | None


@dataclass
class Node:
    """A configurable that is part of the run, in the scope it is built in."""

    scope: tuple[str, ...]
    target: Configurable
    uses: dict[str, Use] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """With its scope."""
        return "/".join([*self.scope, self.target.name])


Effective = Mapping[Key, Entry]
Graph = dict[tuple[tuple[str, ...], str], Node]


def resolve(bindings: Iterable[Binding], names: Names) -> list[Entry]:
    """Look every name up.

    Raises:
        SmbrlError: an unknown name, parameter or reference; one the run itself sets; bound twice in one file.
    """
    entries: list[Entry] = []
    places: dict[tuple[str, Key], str] = {}
    for binding in bindings:
        entry = _resolve(binding, names)
        first = places.get((binding.file, entry.key))
        if first is not None:
            raise SmbrlError(f"{binding.place}: {binding.name} is bound a second time (first at {first}): keep one")
        places[binding.file, entry.key] = binding.place
        entries.append(entry)
    return entries


def _resolve(binding: Binding, names: Names) -> Entry:
    if not binding.parameter:
        return Entry(binding, _with_references(binding, names, ()))
    target = names.find(binding.selector, binding.place)
    parameter = target.parameters.get(binding.parameter)
    bindable = [name for name, known in target.parameters.items() if not known.given]
    if parameter is None:
        raise SmbrlError(
            f"{binding.place}: {target.name}{target.origin} has no parameter {binding.parameter!r}: "
            f"{suggestion(binding.parameter, bindable)}"
        )
    if parameter.given:
        raise SmbrlError(
            f"{binding.place}: {target.name}.{parameter.name} is not set in gin files, whoever builds {target.name} "
            f"passes it{target.origin}: {suggestion('', bindable)}"
        )
    return Entry(binding, _with_references(binding, names, names.accepted(parameter.annotation)), target, parameter)


def _with_references(binding: Binding, names: Names, expected: Iterable[str]) -> Any:
    def change(item: Any) -> Any:
        if not isinstance(item, Reference):
            return item
        return Resolved(item, names.find(item.name, binding.place, what="reference", expected=expected))

    return convert(binding.value, change)


def convert(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply a change to every leaf of a nested literal."""
    match value:
        case dict():
            return {convert(key, change): convert(item, change) for key, item in value.items()}
        case list():
            return [convert(item, change) for item in value]
        case tuple():
            return tuple(convert(item, change) for item in value)
    return change(value)


# -- layers ----------------------------------------------------------------------------------------
def effective(entries: list[Entry]) -> dict[Key, Entry]:
    """The last binding of each name."""
    return {entry.key: entry for entry in entries}


def as_of(entries: list[Entry], file: str) -> dict[Key, Entry]:
    """The configuration as it is at the end of a file: what comes later counts only where nothing was bound yet."""
    last = max(index for index, entry in enumerate(entries) if entry.binding.file == file)
    found = effective(entries[: last + 1])
    for entry in entries[last + 1 :]:
        found.setdefault(entry.key, entry)
    return found


# -- macros ----------------------------------------------------------------------------------------
def without_macros(entry: Entry, config: Effective) -> Any:
    """The entry's value with every macro replaced.

    Raises:
        SmbrlError: undefined, or defined by itself.
    """
    return _expand(entry.value, entry, config, ())


def _expand(value: Any, entry: Entry, config: Effective, inside: tuple[str, ...]) -> Any:
    def change(item: Any) -> Any:
        if not isinstance(item, Macro):
            return item
        if item.name in inside:
            circle = " -> ".join(f"%{name}" for name in (*inside, item.name))
            raise SmbrlError(f"{entry.place}: a macro is defined by itself: {circle}")
        definition = config.get(("", MACRO, item.name))
        if definition is not None:
            return _expand(definition.value, definition, config, (*inside, item.name))
        constants = gin.config._CONSTANTS.matching_selectors(item.name)
        if len(constants) == 1:
            return Constant(constants[0], gin.config._CONSTANTS[constants[0]])
        known = [name for _, selector, name in config if selector == MACRO]
        raise SmbrlError(
            f"{entry.place}: undefined macro {item}: {suggestion(item.name, known)} (define it: {item.name} = value)"
        )

    return convert(value, change)


def macros_in(entry: Entry, config: Effective) -> set[str]:
    """Names of the macros a value is made of, those inside other macros included."""
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        for leaf in leaves(waiting.pop().value):
            if isinstance(leaf, Macro) and leaf.name not in found:
                found.add(leaf.name)
                definition = config.get(("", MACRO, leaf.name))
                waiting += [definition] if definition is not None else []
    return found


# -- graph -----------------------------------------------------------------------------------------
def graph(config: Effective, names: Names) -> Graph:
    """Everything the root reaches, in the order of the parameters."""
    found: Graph = {}

    def visit(scope: tuple[str, ...], target: Configurable) -> None:
        if (scope, target.selector) in found:
            return
        node = found[scope, target.selector] = Node(scope, target)
        for name, parameter in target.parameters.items():
            entry = _most_specific(config, scope, target, name)
            if parameter.given or (entry is None and not parameter.has_default):
                continue
            value = without_macros(entry, config) if entry is not None else _default(parameter.default, names)
            node.uses[name] = Use(value, entry)
        for use in list(node.uses.values()):
            for leaf in leaves(use.value):
                if isinstance(leaf, Resolved):
                    # a reference with a scope replaces the scope it is built in, one without keeps it
                    visit(leaf.reference.scope or scope, leaf.target)

    for target in (names.root, *names.settings):
        visit((), target)
    return found


def _most_specific(config: Effective, scope: tuple[str, ...], target: Configurable, name: str) -> Entry | None:
    for depth in range(len(scope), -1, -1):
        entry = config.get(("/".join(scope[:depth]), target.selector, name))
        if entry is not None:
            return entry
    return None


def _default(value: Any, names: Names) -> Any:
    """A default with the parts in it as references, so that their bindings reach them like those of others."""

    def change(item: Any) -> Any:
        reference = names.reference_to(item) if inspect.isroutine(item) or isinstance(item, type) else None
        return item if reference is None else Resolved(reference, names.find(reference.name, ""))

    return convert(value, change)


def used(nodes: Graph, config: Effective) -> set[Key]:
    """Keys of the bindings that give some parameter its value, and of the macros in any binding."""
    keys = {use.entry.key for node in nodes.values() for use in node.uses.values() if use.entry is not None}
    for entry in config.values():
        if entry.target is not None:
            keys |= {("", MACRO, name) for name in macros_in(entry, config)}
    return keys
