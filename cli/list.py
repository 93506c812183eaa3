"""smbrl list: every part and gin file there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from smbrl.errors import SmbrlError, suggestion

if TYPE_CHECKING:
    from rich.table import Table

    from smbrl.registry import Registry

GIN = "gin"


def command(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]", help="encoder, skill_model, dynamics, heads, planner, agent, task, or gin for gin files."
        ),
    ] = None,
) -> None:
    """List parts and gin files, with the plugin they come from and a line about each."""
    from rich.console import Console

    from smbrl.interfaces import KINDS
    from smbrl.registry import load_plugins

    registry = load_plugins()
    wanted = None if kind is None else _kind(kind, [*KINDS, GIN])
    console = Console(soft_wrap=False, highlight=False)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width; cut names help nobody
    if wanted != GIN:
        console.print(_parts(registry, wanted))
    if wanted in (None, GIN):
        console.print(_gin_files(registry))


def _kind(given: str, known: list[str]) -> str:
    """``skill_model`` for "Skill models", "skill-model" and the like."""
    plain = given.lower().replace("-", "_").replace(" ", "_")
    for candidate in (plain, plain.removesuffix("s")):
        if candidate in known:
            return candidate
    raise SmbrlError(f"unknown kind {given!r}: {suggestion(plain, known)}")


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    return table


def _parts(registry: Registry, kind: str | None) -> Table:
    from rich.text import Text

    from smbrl.faults import spoken

    table = _table("kind", "part", "from", "what it is")
    last = None
    for info in registry.of_kind(kind):
        if last not in (None, info.kind):
            table.add_section()
        table.add_row(
            spoken(info.kind) if info.kind != last else "", info.name, _origin(info.source), Text(info.summary)
        )
        last = info.kind
    return table


def _gin_files(registry: Registry) -> Table:
    from rich.text import Text

    from smbrl.config.files import first_comment, overlay_base, packaged_file, packaged_files

    table = _table("gin file", "from", "what it is")
    for name, entry in packaged_files(registry):
        try:
            text = packaged_file(name, entry).text
        except SmbrlError as error:  # one file of one plugin; the rest of the list is still worth having
            table.add_row(name, _origin(entry.source), Text(f"error: {error}", style="red"))
            continue
        base = overlay_base(text)
        about = first_comment(text)
        table.add_row(name, _origin(entry.source), Text(f"on top of {base}: {about}" if base else about))
    return table


def _origin(source: object) -> str:
    from smbrl.discovery import Source

    assert isinstance(source, Source)
    plugin = "" if source.built_in or source.plugin == source.distribution else f" ({source.plugin})"
    return f"{source.distribution} {source.version}{plugin}".strip()
