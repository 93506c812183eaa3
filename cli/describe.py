"""smbrl describe NAME: what a part is, and the gin lines that configure it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from smbrl.errors import SmbrlError, suggestion

if TYPE_CHECKING:
    from smbrl.config.names import Configurable, Names


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A part or setting, as `smbrl list` has it, or a kind.")],
) -> None:
    """Describe a part, a setting or a kind of part: what it does, its parameters, how to use it."""
    from smbrl.config import known_names
    from smbrl.config.files import packaged_names
    from smbrl.interfaces import KINDS
    from smbrl.registry import load_plugins

    registry = load_plugins()
    kind = name.lower().replace("-", "_").replace(" ", "_")
    contracts = {contract.__name__: key for key, contract in KINDS.items()}
    if kind in KINDS or name in contracts:
        print(_contract(contracts.get(name, kind)))
        return
    names = known_names(registry)
    known = {configurable.name: configurable for configurable in names.all()}
    if name not in known:
        if name in packaged_names(registry):
            raise SmbrlError(f"{name} is a gin file: smbrl config show --gin {name}")
        choices = [*known, *contracts]
        raise SmbrlError(f"unknown name {name!r}: {suggestion(name, choices)}{registry.excuse(name)}")
    print(_described(known[name], names))


def _contract(kind: str) -> str:
    from smbrl.faults import spoken
    from smbrl.interfaces import KINDS
    from smbrl.registry import load_plugins

    contract = KINDS[kind]
    parts = [info.name for info in load_plugins().of_kind(kind)]
    required = sorted(getattr(contract, "__abstractmethods__", ()))
    return "\n".join(
        [
            f"{contract.__name__} (contract of every {spoken(kind)})",
            "",
            inspect.getdoc(contract) or "",
            "",
            f"A {spoken(kind)} must define: {', '.join(required)}",
            f"There are: {', '.join(parts) or 'none'}",
        ]
    )


def _described(known: Configurable, names: Names) -> str:
    from smbrl.config.config import literal
    from smbrl.config.types import Resolved, spell

    bindable = [parameter for parameter in known.parameters.values() if not parameter.given]
    given = [parameter.name for parameter in known.parameters.values() if parameter.given]
    lines = [f"{known.name} ({_kind(known)})", "", inspect.getdoc(known.target) or "No description.", ""]
    if bindable:
        lines.append("Parameters:")
        rows = []
        for parameter in bindable:
            default = parameter.default
            reference = names.reference_to(default)
            value = Resolved(reference, names.find(reference.name, "")) if reference else default
            shown = (literal(value) or repr(default)) if parameter.has_default else "(must be bound)"
            rows.append((parameter.name, shown, spell(parameter.annotation)))
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines += [f"  {row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}" for row in rows]
    else:
        lines.append("No parameters that a gin file can bind.")
    if given:
        lines.append(f"Whoever builds it passes: {', '.join(given)}")
    lines += ["", "In a gin file:", *(f"  {line}" for line in _usage(known, names))]
    return "\n".join(lines)


def _kind(known: Configurable) -> str:
    if known.part is None:
        return f"{known.spoken} of {known.target.__module__.split('.')[0]}"
    return f"{known.spoken} of {known.part.source}"


def _usage(known: Configurable, names: Names) -> list[str]:
    """Lines a user can copy: where the part goes, and its first parameters with their defaults."""
    from smbrl.config.config import literal

    lines = []
    if known.part is not None:
        for owner in names.all():
            for parameter in owner.parameters.values():
                if not parameter.given and known.name in names.accepted(parameter.annotation):
                    lines.append(f"{owner.name}.{parameter.name} = @{known.name}")
    for parameter in known.parameters.values():
        value = literal(parameter.default) if parameter.has_default and not parameter.given else None
        if value is not None:
            lines.append(f"{known.name}.{parameter.name} = {value}")
    return lines[:8] + ([f"... ({len(lines) - 8} more)"] if len(lines) > 8 else [])
