"""``smbrl doctor``: what this machine can do, and what to install."""

from __future__ import annotations

import typer


def command() -> None:
    """Look at Python, torch, devices, rendering, disk, data, MLflow and plugins. Exit code 1 if something is broken."""
    from rich.console import Console
    from rich.text import Text

    from smbrl.doctor import examine

    console = Console(soft_wrap=True)
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    broken = 0
    for finding in examine():
        line = Text.assemble((f"{finding.status:<5}", colours[finding.status]), f"{finding.topic:<10} {finding.found}")
        console.print(line)
        if finding.advice:
            console.print(Text(f"{'':16}-> {finding.advice}"))
        broken += finding.status == "fail"
    if broken:
        raise typer.Exit(1)
