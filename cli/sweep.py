"""``smbrl sweep``: many runs that differ in files, overlays, seeds and values; here or on a Ray cluster."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from smbrl_cli.calling import CALL

from smbrl.errors import SmbrlError

if TYPE_CHECKING:
    from smbrl.sweeps.plan import Plan
    from smbrl.sweeps.sweep import Sweep
    from smbrl.training.work import Audience, Executor

Texts = list[str] | None
WHAT, HOW = "What is run", "How it is run"
CLUSTER_ONLY = "--gpus is a share of a cluster's GPUs: add --ray, or leave it out (runs here take turns with all GPUs)"


def command(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.toml]", help="What is run, instead of the options below.")
    ] = None,
    gin: Annotated[
        Texts,
        typer.Option(
            "--gin",
            "-g",
            metavar="FILE[,FILE]",
            help="A gin file of every run, as of smbrl train. A,B: runs with A, and runs with B.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    overlay: Annotated[
        Texts,
        typer.Option(
            metavar="FILE|none", help="Runs with this file on top. Repeated: runs with each.", rich_help_panel=WHAT
        ),
    ] = None,
    overrides: Annotated[
        Texts,
        typer.Option(
            "--set", "-o", metavar="NAME.PARAM=VALUE", help="Override one binding of every run.", rich_help_panel=WHAT
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(metavar="0,1,2|0-4", help="Of every configuration.", rich_help_panel=WHAT)
    ] = "0",
    grid: Annotated[
        Texts,
        typer.Option(
            metavar="NAME.PARAM=[A,B]",
            help="Every one of these values. Repeated: every combination.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    random: Annotated[
        Texts,
        typer.Option(
            metavar="NAME.PARAM=loguniform(LOW,HIGH)",
            help="Values drawn from here: uniform, loguniform, int, logint, choice.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="How often random values are drawn.", rich_help_panel=WHAT)] = 0,
    sample_seed: Annotated[int, typer.Option(help="Of the drawing, or of the search.", rich_help_panel=WHAT)] = 0,
    optuna: Annotated[
        int,
        typer.Option(metavar="TRIALS", help="Let Optuna choose the values, this many times.", rich_help_panel=WHAT),
    ] = 0,
    metric: Annotated[
        str,
        typer.Option(
            "--metric", "-m", help="Tabulated; what Optuna improves, as a mean over seeds.", rich_help_panel=WHAT
        ),
    ] = "",
    direction: Annotated[
        str, typer.Option(help="Of the metric: maximize or minimize.", rich_help_panel=WHAT)
    ] = "maximize",
    runs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Of the sweep; default: by its content, in $SMBRL_RUNS or ./runs. Alone: go on with what is there.",
            rich_help_panel=HOW,
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="Runs at a time; 0: as many as cores allow.", rich_help_panel=HOW)
    ] = 0,
    cores: Annotated[
        int, typer.Option(help="Of each run; 0: all cores / --jobs, on a cluster 1.", rich_help_panel=HOW)
    ] = 0,
    ray: Annotated[
        str | None,
        typer.Option(metavar="local|auto|HOST:PORT", help="On this Ray cluster.", rich_help_panel=HOW),
    ] = None,
    gpus: Annotated[
        float, typer.Option(help="Of the cluster, for each run; may be a part.", rich_help_panel=HOW)
    ] = 0.0,
    retries: Annotated[
        int, typer.Option(help="Further attempts at a run that fails or is killed.", rich_help_panel=HOW)
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and how long it will take.", rich_help_panel=HOW)
    ] = False,
) -> None:
    """Run many configurations with their seeds, some at a time, and put the results side by side.

    Can be stopped at any time: the same command (or: smbrl sweep --runs FOLDER) goes on where it was.
    """
    from smbrl.sweeps import plan as plans
    from smbrl.sweeps import sweep as sweeps
    from smbrl.training.device import usable_cores
    from smbrl.training.folder import runs_root

    for name, value in (("jobs", jobs), ("cores", cores), ("retries", retries), ("gpus", gpus)):
        if value < 0:
            raise SmbrlError(f"--{name} is {value}; expected 0 or more")
    if gpus and ray is None:
        raise SmbrlError(CLUSTER_ONLY)
    said = [
        *(("--gin", gin), ("--overlay", overlay), ("--set", overrides), ("--grid", grid), ("--random", random)),
        *(("--samples", samples), ("--optuna", optuna), ("--sample-seed", sample_seed), ("--metric", metric)),
        *(("--seeds", seeds != "0"), ("--direction", direction != "maximize")),
    ]
    given = [name for name, value in said if value]
    if file is not None and given:
        raise SmbrlError(
            f"{file} says what is run, and so does {given[0]}: write it into the file, or leave the file out"
        )
    wanted: Sweep | None = None
    if file is not None:
        wanted = sweeps.load(file)
    elif gin:
        numbers = {"samples": samples, "sample_seed": sample_seed, "trials": optuna}
        wanted = sweeps.of_options(
            gin, overrides or (), overlay or (), seeds, grid or (), random or (),
            **numbers, metric=metric, direction=direction,
        )  # fmt: skip
    elif runs is None or set(given) - {"--metric"}:  # going on may look at another metric
        raise SmbrlError("no gin file is given: add --gin NAME, e.g. --gin skimo_maze, or name a .toml file")
    plan = plans.obtain(wanted, runs or runs_root() / (wanted.name if wanted else ""))
    if metric and wanted is None:
        plan.sweep = sweeps.of_plain({**plan.sweep.plain(), "metric": metric}, "--metric")
    jobs, cores = (jobs or max(1, usable_cores() // (cores or 1)), cores) if ray is None else (jobs, cores or 1)
    cores = cores or max(1, usable_cores() // jobs)
    if dry_run:
        _describe(plan, jobs)
        return
    with plan.locked():
        _work(plan, jobs, cores, ray, gpus, retries)


def _work(plan: Plan, jobs: int, cores: int, ray: str | None, gpus: float, retries: int) -> None:
    """Run what is not over, and print what came out."""
    from smbrl.sweeps import results
    from smbrl.sweeps.board import Board
    from smbrl.sweeps.search import Search
    from smbrl.training.work import Processes, cuda_devices, work

    interrupted = False
    with ExitStack() as stack:
        executor: Executor
        if ray is None:
            executor = Processes(CALL, jobs, cores, cuda_devices(jobs))
        else:
            from smbrl.sweeps.cluster import Cluster

            executor = stack.enter_context(Cluster(CALL, ray, jobs, cores, gpus))
        plan.save()
        typer.echo(f"{_what(plan)} in {plan.folder}", err=True)
        try:
            with Board(
                plan.runs, results.titles_of(plan), lambda run: results.cells(plan, run),
                plan.sweep.metric or "eval/success", lambda: executor.slots,
            ) as board:  # fmt: skip
                audience: Audience = Search(plan, board) if plan.sweep.trials else board
                work(plan.runs, executor, audience, retries=retries)
        except KeyboardInterrupt:
            interrupted = True
    _print(plan)
    done = sum(run.state() == "finished" for run in plan.runs)
    total = max(len(plan.runs), plan.sweep.trials * len(plan.sweep.methods[0].seeds))
    if interrupted or done < total:
        more = "" if ray is None else f" --ray {shlex.quote(ray)}"
        line = f"smbrl sweep --runs {shlex.quote(str(plan.folder))} --jobs {jobs}{more}"
        typer.echo(f"{done} of {total} runs are finished; to go on: {line}", err=True)
        raise typer.Exit(130 if interrupted else 1)


def _what(plan: Plan) -> str:
    if plan.sweep.trials:
        return f"a search of {plan.sweep.trials} configurations, {len(plan.sweep.methods[0].seeds)} runs each,"
    return f"{len(plan.runs)} runs of {len(plan.configurations())} configurations"


def _describe(plan: Plan, jobs: int) -> None:
    """The dry run."""
    from smbrl.sweeps import estimate as estimates
    from smbrl.sweeps import results
    from smbrl.tracking.progress import duration
    from smbrl.training.folder import runs_root

    for run in plan.runs:
        words = [word for name in run.gin for word in ("--gin", name)]
        words += [word for text in run.overrides if not text.startswith("Tracking.") for word in ("-o", text)]
        typer.echo(f"{run.name}: {run.state()}: {shlex.join([*words, '--seed', str(run.seed)])}")
    if plan.sweep.trials:
        seeds = len(plan.sweep.methods[0].seeds)
        new = plan.sweep.trials - len(plan.configurations())
        typer.echo(f"and {new} configurations that Optuna chooses, {seeds} runs each, from")
        for one in plan.sweep.random:
            typer.echo(f"  {one}")
    known = [*estimates.measured(runs_root()), *estimates.measured(plan.folder)]
    waiting = estimates.open_runs(plan.runs)
    total = len(waiting)
    by_configuration = {run.configuration: estimates.estimate(run, known) for run in reversed(waiting)}
    found = [by_configuration[run.configuration] for run in waiting]
    if plan.sweep.trials:
        found += [estimates.estimate(plan.example(), known)] * (new * seeds)
        total += new * seeds
    typer.echo(f"{total} runs to do, in {plan.folder}")
    unknown = sum(one.seconds is None for one in found)
    if unknown:
        which = "none" if unknown == total else f"{total - unknown} of {total}"
        typer.echo(
            f"how long: unknown; {which} of these has a method and task of which a run was finished in {runs_root()}: "
            "smbrl bench --gin FILE measures one"
        )
    elif total:
        slots = jobs or 1
        online = estimates.makespan([one.seconds or 0.0 for one in found], slots)
        names = sorted({name for one in found for name in one.based_on})
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        more = max(one.pretraining for one in found)
        typer.echo(f"how long: about {duration(online)} with {slots} at a time, as fast as {shown} was")
        if more >= 1:
            typer.echo(f"and up to {duration(more)} for each pre-training whose model is not stored yet")
    if not plan.sweep.trials and plan.runs and not waiting:
        typer.echo(f"everything is finished: {results.next_line(plan, results.metric_of(plan))}")


def _print(plan: Plan) -> None:
    """The table of results, its file, the command to go on with."""
    from rich.console import Console
    from rich.table import Table

    from smbrl.sweeps import results

    if not any(run.state() == "finished" for run in plan.runs):
        return
    metric = results.metric_of(plan)
    found = results.results(plan, metric)
    titles, lines = results.table(plan, found, metric)
    table = Table(box=None, header_style="bold", caption="± standard deviation over seeds", caption_justify="left")
    for title in titles:
        left = title in ("", *results.titles_of(plan))
        table.add_column(title, justify="left" if left else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
    typer.echo(str(results.write(plan, found, metric)))
    typer.echo(f"next: {results.next_line(plan, metric)}")
