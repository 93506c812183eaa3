"""``smbrl runs``: what was run here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from smbrl.training.folder import RunFolder


def command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="With the runs; default: $SMBRL_RUNS or ./runs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List runs: what they are, how far they are, what came out."""
    from rich.console import Console
    from rich.table import Table

    from smbrl.errors import SmbrlError
    from smbrl.training.folder import all_runs, runs_root

    root = folder or runs_root()
    if folder is not None and not folder.is_dir():
        raise SmbrlError(f"there is no folder {folder}")
    rows = [row(run) for run in all_runs(root)]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        typer.echo(f"no runs in {root}: start one with smbrl train --gin skimo_maze")
        return
    table = Table(box=None, header_style="bold")
    for title in ("run", "config", "seed", "state", "step", "success", "started"):
        table.add_column(title, no_wrap=True)
    for entry in rows:
        success = "" if entry["success"] is None else f"{entry['success']:.2f}"
        step = f"{entry['step']:,}" + (f" / {entry['steps']:,}" if entry["phase"] == "online" else "")
        state = entry["state"] if entry["state"] != "running" else f"running: {entry['phase']}"
        when = entry["created"].replace("T", " ")[:16]
        table.add_row(entry["name"], entry["config"], str(entry["seed"]), state, step, success, when)
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)  # a file or a pipe has no width to keep to


def row(run: RunFolder) -> dict[str, Any]:
    """One run as plain values; a run that says it is running but that no process holds was killed."""
    info = run.info()
    state = info.get("state", "?")
    if state in ("running", "new") and not run.busy:
        state = "killed"
    return {
        "name": run.name,
        "config": info.get("config", info.get("agent", "?")),
        "task": info.get("task"),
        "agent": info.get("agent"),
        "seed": info.get("seed"),
        "state": state,
        "phase": info.get("phase", ""),
        "step": info.get("step", 0),
        "steps": info.get("steps", 0),
        "success": info.get("success"),
        "created": info.get("created", ""),
        "path": str(run.path),
    }
