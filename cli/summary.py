"""What ``train`` and ``resume`` share: running, and saying at the end what came out and how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.panel import Panel

    from smbrl.tracking.tracker import Tracker
    from smbrl.training.experiment import Experiment
    from smbrl.training.folder import RunFolder
    from smbrl.training.run import Summary

PHASES = {"data": "data", "pretrain": "pre-training", "online": "online learning", "final": "evaluation"}


def finish(experiment: Experiment, folder: RunFolder, operative: str, *, quiet: bool) -> None:
    """Bring a run to its end and print the summary; exit code 130 where it was interrupted."""
    from rich.console import Console

    from smbrl import exporting
    from smbrl.analysis import report
    from smbrl.tracking.progress import ProgressBars
    from smbrl.training.run import execute
    from smbrl.training.session import InterruptedRunError

    drawn, kept = report.finish(experiment), exporting.finish(experiment)

    def finished(folder: RunFolder, tracker: Tracker) -> None:
        drawn(folder, tracker)
        kept(folder, tracker)

    try:
        summary = execute(experiment, folder, operative=operative, bars=ProgressBars(quiet=quiet), finish=finished)
    except InterruptedRunError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(130) from None
    Console().print(panel(summary))


def panel(summary: Summary) -> Panel:
    """The result of a run, its times, where things are, what to do next."""
    from rich.panel import Panel
    from rich.table import Table

    from smbrl.tracking.progress import duration

    table = Table.grid(padding=(0, 2))
    results = summary.results
    if "success" in results:
        line = f"{results['success']:.2f} of {results['episodes']:.0f} episodes" if "episodes" in results else ""
        table.add_row("success", line)
        table.add_row("return, length", f"{results['return']:.4g}, {results['length']:.4g} env steps")
    table.add_row("env steps", f"{summary.steps:,}")
    table.add_row("updates", f"{results.get('updates', 0):,.0f}")
    if "first_success" in results:
        table.add_row("first success", f"in training after {results['first_success']:,.0f} env steps")
    times = [f"{title} {duration(summary.seconds[key])}" for key, title in PHASES.items() if key in summary.seconds]
    table.add_row("time", ", ".join(times))
    table.add_row("run", str(summary.folder.path))
    pictures = sorted(path.name for path in (summary.folder.path / "plots").glob("*.png"))
    if pictures:
        table.add_row("pictures", "plots/ " + ", ".join(pictures))
    if summary.pretrained:
        table.add_row("pre-trained model", summary.pretrained)
    name = summary.folder.name
    table.add_row("next", f"smbrl eval {name} · smbrl record {name} · smbrl runs · mlflow ui (see smbrl doctor)")
    return Panel(table, title=name, expand=False)
