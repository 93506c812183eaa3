"""``smbrl sync [RUN ...]``: bring MLflow up to date with runs on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from smbrl.errors import SmbrlError


def command(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN...]", help="Runs; default: all in $SMBRL_RUNS or ./runs.")
    ] = None,
    uri: Annotated[
        str, typer.Option(metavar="URI", help="Tracking address; default: what each run was configured with.")
    ] = "",
    patience: Annotated[float, typer.Option(metavar="SECONDS", help="For each run, at most.")] = 600.0,
) -> None:
    """Send runs to MLflow as far as it lacks them: after an outage, to another server, with later videos and plots.

    Nothing is sent twice; runs that are going on are left out, they send for themselves.
    """
    from dataclasses import replace

    from smbrl.training import announce
    from smbrl.training.folder import RunFolder, all_runs, runs_root

    if not patience > 0:
        raise SmbrlError(f"--patience is {patience:g}; it must be more than 0 seconds")
    folders = [RunFolder.find(name) for name in runs] if runs else all_runs()
    if not folders:
        raise SmbrlError(f"there is no run in {runs_root()}: name runs")
    missed = 0
    for folder in folders:
        if folder.busy and not runs:
            typer.echo(f"{folder.name}: going on, left out", err=True)
            continue
        settings = announce.settings(folder)
        sent = announce.sync(folder, replace(settings, uri=uri or settings.uri), patience)
        missed += not sent
        typer.echo(f"{folder.name}: {'complete' if sent else 'NOT complete'}")
    if missed:
        raise typer.Exit(1)
