"""smbrl config: what a gin file amounts to, and whether gin files are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from smbrl_cli import options

from smbrl.errors import SmbrlError

if TYPE_CHECKING:
    from smbrl.config import Config
    from smbrl.registry import Registry

app = typer.Typer(help="What a gin file amounts to, and whether it is right.")


@app.command("show")
def show(
    gin: options.Gin,
    overrides: options.Set = None,
    bound: Annotated[bool, typer.Option("--bound", help="Leave the defaults out.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Only bindings: a gin file that needs no other.")] = False,
) -> None:
    """Print every parameter of a run, with its value and the file and line it comes from.

    The output is itself a gin file that gives the same run.
    """
    from smbrl import config

    loaded = config.load(gin, overrides or ())
    print(loaded.text if plain and not bound else _explained(loaded, bound=bound, places=not plain), end="")


@app.command("check")
def check(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Gin files; none checks all that are shipped.")
    ] = None,
    overrides: options.Set = None,
) -> None:
    """Check gin files, each by itself, and print a line for each.

    An overlay (a file that changes another) says in its first line what it is for, '# overlay on: skimo_maze', and is
    checked on top of that. Files in folders that say nothing are parts of others, and are checked with those.
    """
    from smbrl.registry import load_plugins

    registry = load_plugins()
    chosen = [(name, name) for name in files] if files else _shipped(registry)
    width = max(len(label) for _, label in chosen)
    faults = 0
    for name, label in chosen:
        try:
            base = _check(name, overrides or [], registry)
        except SmbrlError as error:
            faults += 1
            print(f"{label:{width}}  wrong  {error}")
        else:
            print(f"{label:{width}}  right" + (f"  on top of {base}" if base else ""))
    if faults:
        raise SmbrlError(f"{faults} of {len(chosen)} gin files are wrong")


def _check(name: str, overrides: list[str], registry: Registry) -> str | None:
    """Check one file; what it was checked on top of, where it is an overlay."""
    from smbrl import config
    from smbrl.config.files import open_file, overlay_base

    base = overlay_base(open_file(name, registry).text)
    config.load([*(base.split() if base else []), name], overrides, registry=registry)
    return base


def _shipped(registry: Registry) -> list[tuple[str, str]]:
    """Shipped files that can be checked: complete ones and overlays, with the plugin they come from."""
    from smbrl.config.files import overlay_base, packaged_file, packaged_files

    found = []
    for name, entry in packaged_files(registry):
        try:
            chosen = "/" not in name or overlay_base(packaged_file(name, entry).text) is not None
        except SmbrlError:
            chosen = True  # checking it says what is wrong
        if chosen:
            label = name if entry.source.built_in else f"{name} ({entry.source.distribution})"
            found.append((name, label))
    if not found:
        raise SmbrlError("no gin file is shipped by any plugin: give the files to check")
    return found


def _explained(config: Config, *, bound: bool, places: bool) -> str:
    """gin source with the place of each value as a comment."""
    blocks: dict[str, list[tuple[str, str]]] = {}
    for parameter in config.parameters():
        if bound and parameter.place is None:
            continue
        value = parameter.value
        line = f"{parameter.owner}.{parameter.name} = {value}"
        if value is None:
            line = f"# {parameter.owner}.{parameter.name} has a default that gin cannot write"
        blocks.setdefault(parameter.owner, []).append((line, parameter.place or "default"))
    unused = [(f"# {name} = {value}", f"{place}: {reason}") for name, value, place, reason in config.not_used]
    everything = [pair for block in blocks.values() for pair in block] + unused
    width = min(60, max((len(line) for line, _ in everything), default=0))

    def write(pairs: list[tuple[str, str]]) -> str:
        return "".join(f"{line:{width}}  # {place}\n" if places else f"{line}\n" for line, place in pairs)

    text = "\n".join(write(block) for block in blocks.values())
    if unused and places:
        text += "\n# not used, because a later file or an override replaced what it is for:\n" + write(unused)
    return text
