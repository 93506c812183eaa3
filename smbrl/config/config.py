"""A checked configuration: write it back, explain it, build it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gin
import gin.config

from smbrl.config.check import Checked
from smbrl.config.names import Names
from smbrl.config.parse import Macro, leaves
from smbrl.config.resolve import Key, Node
from smbrl.config.types import Constant, Resolved
from smbrl.errors import SmbrlError
from smbrl.registry import PartInfo

_CALL_NOTE = re.compile(r"\n  In call to configurable '(\w+)'")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a run.

    Attributes:
        owner: the part or setting, with its scope.
        name: of the parameter.
        value: as gin source; None where it has no literal (a default that is an object).
        place: ``file:line`` or the override; None for a default.
    """

    owner: str
    name: str
    value: str | None
    place: str | None


class Config:
    """What a run is made of, checked.

    Attributes:
        not_used: bindings without effect because a later file or an override replaced what they were for:
            ``(name, value, place, reason)``.
    """

    def __init__(self, checked: Checked, names: Names) -> None:
        self._checked = checked
        self._names = names
        self.not_used = [
            (entry.binding.name, literal(entry.value) or "...", entry.place, _short(reason, entry.binding.name))
            for entry, reason in checked.not_used
        ]

    @property
    def text(self) -> str:
        """The complete configuration in gin syntax, defaults included; ``load_text`` gives the same config back.

        It needs no other file. Order and form depend on the values only, so equal texts are equal configs.
        """
        return self._render(self._checked.nodes.values(), complete_names=False)

    @property
    def bound(self) -> dict[str, str]:
        """What was bound, without defaults: name -> gin source."""
        return {f"{p.owner}.{p.name}": p.value or "" for p in self.parameters() if p.place is not None}

    @property
    def operative(self) -> str:
        """Every parameter that objects built so far got from gin, in gin's own format (after ``build``)."""
        return str(gin.operative_config_str(max_line_length=110))

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter of the run, the root's first."""
        for node in self._checked.nodes.values():
            for name, use in node.uses.items():
                place = use.entry.place if use.entry is not None else None
                yield Parameter(node.name, name, literal(use.value), place)

    def below(self, owner: str, name: str) -> tuple[str, str, list[PartInfo]]:
        """What one parameter refers to, apart from the rest of the run.

        Args:
            owner, name: ``"Experiment"``, ``"agent"``.

        Returns:
            The parameter's value as gin source; gin source of everything that it reaches; the parts among that.

        Raises:
            KeyError: it is not part of this run.
        """
        nodes = self._checked.nodes
        start = next((node for node in nodes.values() if node.name == owner and name in node.uses), None)
        if start is None:
            raise KeyError(f"{owner}.{name}")
        reached: list[Node] = []

        def visit(node: Node, value: Any) -> None:
            for leaf in leaves(value):
                if isinstance(leaf, Resolved):
                    found = nodes[leaf.reference.scope or node.scope, leaf.target.selector]
                    if found not in reached:
                        reached.append(found)
                        for use in found.uses.values():
                            visit(found, use.value)

        value = start.uses[name].value
        visit(start, value)
        parts = {node.target.name: node.target.part for node in reached if node.target.part is not None}
        return literal(value) or "", self._render(reached, complete_names=False), list(parts.values())

    def value(self, name: str) -> Any:
        """The value of one parameter, ``"Experiment.seed"``; references come as their source, ``"@CEM"``.

        Raises:
            KeyError: it is not part of this run.
        """
        owner, _, parameter = name.rpartition(".")
        for node in self._checked.nodes.values():
            if node.name == owner and parameter in node.uses:
                value = node.uses[parameter].value
                return str(value) if isinstance(value, Resolved) else value
        raise KeyError(name)

    def activate(self) -> None:
        """Make this the configuration that gin fills in, instead of any before."""
        gin.clear_config()
        gin.parse_config(self._render(self._checked.nodes.values(), complete_names=True))

    def build(self) -> Any:
        """The experiment, constructed.

        Raises:
            SmbrlError: a part refuses its settings, or a binding has no effect because whoever builds the
                part passes a value of its own.
        """
        self.activate()
        root = gin.config._REGISTRY[self._names.root.selector].wrapper
        try:
            built = root()
        except SmbrlError as error:
            raise SmbrlError(plain_message(error)) from None
        except Exception as error:
            owner = _CALL_NOTE.search(str(error))
            name = owner.group(1) if owner is not None else ""
            origin = next((known.origin for known in self._names.all() if known.name == name), "")
            if origin and not isinstance(error, ValueError):  # foreign code: what it raises is not a bug of smbrl
                what = f"{type(error).__name__}: {plain_message(error)} ({_place(error)})"
                raise SmbrlError(f"{name}{origin} cannot be built: {what}; try: smbrl plugin check {name}") from error
            if owner is None or not isinstance(error, ValueError):
                raise
            raise SmbrlError(f"{name}{origin} refuses its settings: {plain_message(error)}") from error
        self.verify()
        return built

    def verify(self) -> None:
        """Look at what gin handed out so far; to be called again when parts were built after ``build``.

        Raises:
            SmbrlError: a binding of something that was built did not reach it.
        """
        handed = gin.config._OPERATIVE_CONFIG
        for node in self._checked.nodes.values():
            got = handed.get(("/".join(node.scope), node.target.selector))
            if got is None:
                continue  # not built yet
            for name, use in node.uses.items():
                if use.entry is not None and name not in got and use.value != node.target.parameters[name].default:
                    raise SmbrlError(
                        f"{use.entry.place}: {use.entry.binding.name} has no effect, "
                        f"whoever builds {node.target.name} passes its own value: remove the binding"
                    )

    def _render(self, nodes: Iterable[Node], *, complete_names: bool) -> str:
        """gin source; with complete names nothing another library registers can make it ambiguous."""
        written: set[Key] = set()
        blocks = []
        for node in nodes:
            lines = []
            for name, use in node.uses.items():
                scope = use.entry.binding.scope if use.entry is not None else "/".join(node.scope)
                key = (scope, node.target.selector, name)
                value = literal(use.value, complete_names=complete_names)
                if key in written or value is None:
                    continue
                written.add(key)
                owner = node.target.selector if complete_names else node.target.name
                lines.append(f"{scope}/{owner}.{name} = {value}" if scope else f"{owner}.{name} = {value}")
            if lines:
                blocks.append("\n".join(lines) + "\n")
        return "\n".join(blocks)


def literal(value: Any, *, complete_names: bool = False) -> str | None:
    """A value as gin source, or None where it has none."""
    match value:
        case Resolved() if complete_names:
            reference = value.reference
            call = "()" if reference.evaluate else ""
            return "@" + "/".join([*reference.scope, value.target.selector]) + call
        case Resolved() | Constant() | Macro():
            return str(value)
        case dict():
            pairs = [
                (literal(k, complete_names=complete_names), literal(v, complete_names=complete_names))
                for k, v in value.items()
            ]
            if any(k is None or v is None for k, v in pairs):
                return None
            return "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
        case list() | tuple():
            items = [literal(item, complete_names=complete_names) for item in value]
            known = [item for item in items if item is not None]
            if len(known) < len(items):
                return None
            inside = ", ".join(known)
            if isinstance(value, list):
                return f"[{inside}]"
            return f"({inside},)" if len(known) == 1 else f"({inside})"
        case bool() | None | int() | str():
            return repr(value) if type(value) in (bool, type(None), int, str) else None
        case float():
            return repr(value) if abs(value) < float("inf") else None  # inf and nan have no literal
    return None


def plain_message(error: BaseException) -> str:
    """An exception's message without what gin adds to it."""
    return _CALL_NOTE.split(str(error))[0].strip()


def _place(error: BaseException) -> str:
    """File and line where an exception was raised."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno}"


def _short(reason: str, name: str) -> str:
    """Why a binding is not used, where its name is shown beside it."""
    return reason.removeprefix(f"{name} has no effect, ")
