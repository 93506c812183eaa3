"""``smbrl compare [RUN ...]``: what differs, how runs learn, how sure that is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smbrl.errors import SmbrlError

if TYPE_CHECKING:
    from rich.console import Console

    from smbrl.analysis.comparison.comparison import Comparison
    from smbrl.analysis.comparison.tables import Table

Texts = list[str] | None
MOST = 40
"""Rows of the table of differences in the terminal."""
CHOOSE, HOW, RESULT = "Which runs", "How", "What is written"


def command(
    runs: Annotated[
        Texts,
        typer.Argument(metavar="[RUN...]", help="Runs, or folders of runs; default: all in $SMBRL_RUNS or ./runs."),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="URI|env",
            help="Take runs from MLflow; env: from where MLFLOW_TRACKING_URI says, or mlflow.db beside the runs.",
            rich_help_panel=CHOOSE,
        ),
    ] = None,
    experiment: Annotated[
        Texts, typer.Option(metavar="NAME", help="Only of this MLflow experiment.", rich_help_panel=CHOOSE)
    ] = None,
    task: Annotated[Texts, typer.Option(metavar="NAME", help="Only on this task.", rich_help_panel=CHOOSE)] = None,
    method: Annotated[Texts, typer.Option(metavar="NAME", help="Only of this method.", rich_help_panel=CHOOSE)] = None,
    tag: Annotated[
        Texts, typer.Option(metavar="NAME=VALUE", help="Only with this tag.", rich_help_panel=CHOOSE)
    ] = None,
    where: Annotated[
        Texts,
        typer.Option(metavar="NAME.PARAM=VALUE", help="Only with this gin binding.", rich_help_panel=CHOOSE),
    ] = None,
    finished: Annotated[
        bool, typer.Option("--finished", help="Only runs that came to their end.", rich_help_panel=CHOOSE)
    ] = False,
    metric: Annotated[
        str,
        typer.Option(
            "--metric", "-m", help="Default: eval/subtasks, eval/success or eval/return.", rich_help_panel=HOW
        ),
    ] = "",
    by: Annotated[
        Texts,
        typer.Option(
            metavar="method|NAME.PARAM",
            help="Group runs by this; default: those that differ in nothing but the seed.",
            rich_help_panel=HOW,
        ),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="Every run on its own.", rich_help_panel=HOW)] = False,
    smooth: Annotated[
        float, typer.Option(help="Weight of each run's moving average, from 0 (none) to 1.", rich_help_panel=HOW)
    ] = 0.0,
    bins: Annotated[int, typer.Option(help="Points of a curve, at most.", rich_help_panel=HOW)] = 40,
    curve: Annotated[str, typer.Option(help="What curves show: iqm, mean or median.", rich_help_panel=HOW)] = "iqm",
    at: Annotated[
        float | None,
        typer.Option(
            metavar="STEPS", help="Env steps of the scores; default: the last all reach.", rich_help_panel=HOW
        ),
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(help="Whose first reaching is sample efficiency; default: 0.9 of success.", rich_help_panel=HOW),
    ] = None,
    optimal: Annotated[
        float | None,
        typer.Option(help="What the optimality gap is to; default: 1 for success, else the best.", rich_help_panel=HOW),
    ] = None,
    reps: Annotated[int, typer.Option(help="Bootstrap resamples.", rich_help_panel=HOW)] = 2000,
    confidence: Annotated[float, typer.Option(help="Of the intervals.", rich_help_panel=HOW)] = 0.95,
    against: Annotated[
        str | None,
        typer.Option(metavar="paper|FILE", help="Published results to put beside.", rich_help_panel=HOW),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for report.html, PNG, SVG and CSV.", rich_help_panel=RESULT)
    ] = Path("comparison"),
    picture: Annotated[
        Path | None, typer.Option("--picture", "-p", help="Learning curves as this PNG, too.", rich_help_panel=RESULT)
    ] = None,
) -> None:
    """Compare runs: configurations, learning curves with intervals, aggregates, sample efficiency, wall time.

    Runs that differ in nothing but the seed count as one method. Statistics are rliable's.
    """
    from rich.console import Console

    from smbrl import registry
    from smbrl.analysis.comparison import groups, sources, tables
    from smbrl.analysis.comparison.comparison import Settings, compare
    from smbrl.analysis.comparison.statistics import Bootstrap
    from smbrl.training import published

    settings = Settings(
        metric, [groups.RUN] if each else by or (), smooth, bins, curve, at, level, optimal, Bootstrap(reps, confidence)
    )
    theirs = published.load(against, registry.load_plugins()) if against else None
    found = sources.from_mlflow(mlflow, runs or (), experiment or ()) if mlflow else sources.from_folders(runs or ())
    chosen = sources.Selection(experiment or (), task or (), method or (), tag or (), where or (), finished).of(found)
    comparison = compare(chosen, settings, theirs)
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    for one in comparison.tasks:
        _print(console, tables.difference_table(comparison.differences, one.title), MOST)
    _print(console, tables.summary(comparison))
    for one in comparison.tasks:
        _print(console, tables.task_table(comparison, one))
    for remark in [*comparison.remarks, *([f"Published: {comparison.source}"] if theirs else [])]:
        console.print(remark, style="dim", highlight=False)
    for path in _write(comparison, out, picture):
        typer.echo(str(path))


def _print(console: Console, table: Table, most: int | None = None) -> None:
    from rich.table import Table as Shown

    if not table.rows:
        return
    shown = Shown(box=None, header_style="bold", title=table.title, title_justify="left", title_style="bold")
    for place, title in enumerate(table.columns):
        shown.add_column(title, justify="left" if place == 0 else "right", overflow="fold")
    for row in table.rows[:most]:
        shown.add_row(*row)
    console.print(shown)
    if most is not None and len(table.rows) > most:
        console.print(f"... and {len(table.rows) - most} more: see report.html", style="dim")
    console.print()


def _write(comparison: Comparison, out: Path, picture: Path | None) -> list[Path]:
    """The report first, for that is what one opens."""
    from smbrl.analysis.comparison import page, pictures, tables

    title = ", ".join(task.title for task in comparison.tasks) + f": {len(comparison.all_labels)} methods compared"
    try:
        out.mkdir(parents=True, exist_ok=True)
        made = [page.write(comparison, out / "report.html", title)]
        made += pictures.draw(comparison, out)
        made += tables.write_csv(comparison, out)
    except OSError as error:
        raise SmbrlError(f"cannot write to {out} ({error.strerror}): give another folder with --out") from error
    if picture is not None:
        try:
            picture.parent.mkdir(parents=True, exist_ok=True)
            made.append(Path(shutil.copyfile(out / "curves.png", picture)))
        except OSError as error:
            raise SmbrlError(f"cannot draw to {picture} ({error.strerror}): give another --picture") from error
    return made
