"""smbrl plugin: write a new plugin, check one, list those that are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from smbrl_cli import options

from smbrl.errors import SmbrlError

app = typer.Typer(help="Plugins: write a new one, check one, list those that are installed.")


@app.command("new")
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the package: lower-case words with hyphens, my-idea.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--kind", "-k", help="Of its part: encoder, skill_model, dynamics, heads, planner, agent or task."
        ),
    ],
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="FOLDER", help="Where it goes (default: ./NAME).")
    ] = None,
) -> None:
    """Write a complete plugin project: a part that works, its gin file, its tests, a README."""
    from smbrl.registry import load_plugins
    from smbrl.scaffold import write_plugin

    target = folder or Path(name)
    written = write_plugin(name, kind.lower().replace("-", "_"), target, load_plugins())
    for path in written:
        print(target / path)
    package = name.replace("-", "_")
    base = "" if kind in ("agent", "task") else "--gin skimo_maze "
    print(f"\nnow: pip install -e {target}; pytest {target}; smbrl train {base}--gin {package}")


@app.command("check")
def check(
    package: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE", help="An installed plugin: its distribution, module or entry point; or a part."
        ),
    ],
    gin: options.OptionalGin = None,
    overrides: options.Set = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Also compare compiled networks with eager ones (minutes).")
    ] = False,
) -> None:
    """Run the conformance kit over a plugin: every part keeps its contract, every gin file is right.

    Parts are built with their defaults, or as the gin files that are given have them.
    """
    from smbrl.registry import load_plugins
    from smbrl.testing.plugins import check_gin, check_parts, chosen

    if overrides and not gin:
        raise SmbrlError("--set needs a configuration to change: add --gin FILE")
    registry = load_plugins()
    wrong = 0
    for state, parts in chosen(package, registry):
        print(f"{state.source}: {state.state}, imported in {state.seconds:.2f} s")
        for problem in state.problems:
            wrong += 1
            print(f"  {problem}")
        whole = len(parts) == len(state.parts)
        for checked in [
            *check_parts(parts, gin or (), overrides or (), compiled=compile),
            *(check_gin(state, registry) if whole else ()),
        ]:
            wrong += len(checked.findings)
            print(f"  {checked.name} ({checked.what}): {'right' if not checked.findings else ''}".rstrip())
            for finding in checked.findings:
                print(f"    {finding}")
    if wrong:
        raise SmbrlError(f"{wrong} finding(s) about {package}: mend them, then check again")


@app.command("list")
def list_plugins() -> None:
    """List plugins: name, distribution, version, parts, state."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from smbrl.registry import load_plugins

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("plugin", "distribution", "version", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("offers", overflow="fold")
    for state in load_plugins().states:
        offers = [f"{len(state.parts)} parts: {', '.join(sorted(state.parts))}"] if state.parts else []
        offers += [f"{state.environments} environment(s)"] if state.environments else []
        offers += [f"{state.gin_folders} folder(s) of gin files"] if state.gin_folders else []
        source = state.source
        lines = "; ".join(offers) or "nothing"
        table.add_row(source.plugin, source.distribution, source.version, state.state, Text(lines))
        for problem in state.problems:
            table.add_row("", "", "", "", Text(problem, style="yellow"))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(table)
