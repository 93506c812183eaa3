"""``smbrl predict RUN``: how far ahead a trained model sees, against a flat model on the same data."""

from __future__ import annotations

from typing import Annotated

import typer
from smbrl_cli import options


def command(
    run: options.Run,
    steps: Annotated[int, typer.Option(help="Env steps to predict, open loop.")] = 500,
    trajectories: Annotated[int, typer.Option("--trajectories", "-n", help="Held-out trajectories.")] = 100,
    flat_updates: Annotated[
        int | None,
        typer.Option(help="Updates of the flat model; default: as many as the run pre-trained with; 0: no flat model."),
    ] = None,
    flat_window: Annotated[int, typer.Option(help="Env steps in a training window of the flat model.")] = 10,
    device: options.Device = None,
) -> None:
    """Long-horizon prediction on held-out trajectories: errors at 100, 250 and 500 steps, curves, pictures."""
    from rich.console import Console
    from rich.table import Table

    from smbrl.analysis.foresight import check, foresee
    from smbrl.tracking.progress import ProgressBars
    from smbrl.training.load import load_run

    check(steps, trajectories, flat_updates, flat_window)
    loaded = load_run(run, device)
    with ProgressBars() as bars:
        found = foresee(
            loaded,
            bars,
            steps=steps,
            trajectories=trajectories,
            flat_updates=flat_updates,
            flat_window=flat_window,
        )
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("error after", justify="right")
    for prediction in found.predictions:
        table.add_column(f"{prediction.name}: mean ± std (median)", justify="right")
    for mark in found.predictions[0].table():
        rows = [prediction.table()[mark] for prediction in found.predictions]
        table.add_row(f"{mark} steps", *(f"{r['mean']:.2f} ± {r['std']:.2f} ({r['median']:.2f})" for r in rows))
        if any(r["lost"] for r in rows):
            table.add_row("lost", *(f"{100 * r['lost']:.0f} %" for r in rows))
    Console(width=None if Console().is_terminal else 200).print(table)
    limit = found.predictions[0].limit
    if any(prediction.lost.any() for prediction in found.predictions):
        typer.echo(f"lost: farther off than {limit:.1f}, the size of the whole scene; counts as that")
    for path in found.files:
        typer.echo(str(path))
