"""``smbrl reproduce STUDY``: run what a paper compares, and put the outcome beside its figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from smbrl_cli.calling import CALL

from smbrl.errors import SmbrlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smbrl.training.study import Method, Study, StudyRun


def command(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A packaged study (maze), or a .toml file.")],
    budget: Annotated[
        str | None, typer.Option(metavar="NAME|STEPS", help="One of the study's budgets, or env steps of every run.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="METHOD", help="Only this method. May be repeated.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of the runs; default: STUDY-BUDGET in $SMBRL_RUNS or ./runs.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time; each takes one core.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and stop.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Run nothing; report on what is there.")] = False,
) -> None:
    """Run every method of a study with its seeds and compare them with what was published.

    Can be stopped at any time: the same command goes on where it was. What is finished is not run again.
    """
    from smbrl import registry
    from smbrl.sweeps.board import Board
    from smbrl.training import jobs as work
    from smbrl.training import study as studies
    from smbrl.training.device import usable_cores
    from smbrl.training.folder import runs_root
    from smbrl.training.work import Processes, cuda_devices
    from smbrl.training.work import work as bring

    if jobs < 1:
        raise SmbrlError(f"--jobs is {jobs}; expected at least 1")
    loaded = studies.load(study, registry.load_plugins())
    name, overrides = loaded.overrides(budget)
    methods = loaded.chosen(only or ())
    root = runs or runs_root() / f"{loaded.name}-{name}"
    planned = studies.plan(methods, overrides, root)
    for job in planned:
        job.check()
    if dry_run:
        for job in planned:
            typer.echo(f"{job.path.name}: {job.state()}: smbrl {' '.join(job.arguments(look=True))}")
        return
    interrupted = False
    if not report:
        work.check(planned)
        try:
            cores = max(1, usable_cores() // jobs)
            with Board(planned, ["method"], lambda job: [job.method.name], loaded.metric, lambda: jobs) as board:
                bring(planned, Processes(CALL, jobs, cores, cuda_devices(jobs)), board)
        except KeyboardInterrupt:
            interrupted = True
    _print(loaded, methods, planned, root)
    if interrupted or (not report and any(job.state() != "finished" for job in planned)):
        typer.echo(f"not finished; to go on: smbrl reproduce {' '.join(sys.argv[2:])}", err=True)
        raise typer.Exit(130 if interrupted else 1)


def _print(study: Study, methods: Sequence[Method], jobs: Sequence[StudyRun], root: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from smbrl.analysis import reproduction

    titles, lines = reproduction.table(reproduction.rows(study, methods, jobs), study.metric)
    if not lines:
        typer.echo(f"nothing has been run in {root} yet")
        return
    table = Table(box=None, header_style="bold")
    for number, title in enumerate(titles):
        table.add_column(title, justify="left" if number == 0 else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
    for path in reproduction.write(study, methods, jobs, root):
        typer.echo(str(path))
