"""``smbrl bench``: how fast this machine is with a configuration, and how long its run will take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from smbrl_cli import options

from smbrl.errors import SmbrlError

if TYPE_CHECKING:
    from smbrl.benchmark import Benchmark
    from smbrl.throughput import Throughput


def command(
    gin: options.Gin,
    overrides: options.Set = None,
    device: options.Device = None,
    seconds: Annotated[float, typer.Option(help="Spent on each measurement.")] = 2.0,
    envs: Annotated[
        bool, typer.Option("--envs", help="Only environments: one, several in a process, a process on each core.")
    ] = False,
) -> None:
    """Measure updates, decisions and env steps per second with the shapes of FILE, and estimate the run's time.

    Trains nothing and needs no data. For the Maze, ratios are to the released SkiMo's times on one core; with
    --gin budgets/release_shapes as the last file, for exactly its batch sizes and search.

    With --envs, how env steps per second scale: a run steps its environments one after the other in one process, and
    further cores are for further runs, so processes side by side are what as many runs would get.
    """
    from smbrl import benchmark, config, throughput
    from smbrl.training.device import usable_cores

    if seconds <= 0:
        raise SmbrlError(f"--seconds is {seconds:g}; it must be more than 0")
    flags = [f"Experiment.device={device!r}"] if device is not None else []
    experiment = config.load(gin, [*(overrides or ()), *flags]).build()
    if envs:
        _print_scaling(
            throughput.scaling(
                experiment.task,
                seconds,
                envs=experiment.online.envs,
                processes=usable_cores(),
                tell=lambda what: typer.echo(f"measuring {what} ...", err=True),
            ),
            type(experiment.task).__name__,
        )
        return
    found = benchmark.run(experiment, seconds, lambda what: typer.echo(f"measuring {what} ...", err=True))
    _print(found, experiment.machine.describe())


def _print(found: Benchmark, machine: dict[str, str | int | bool]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120, soft_wrap=True)
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "of", "ms", "best ms", "per second", "GFLOP", "of peak", "x release"):
        table.add_column(name, justify="left" if name in ("", "of") else "right", no_wrap=True)
    for row in found.rows:
        share = "" if not row.flops else f"{row.flops / row.seconds / found.peak_flops:.0%}"
        table.add_row(
            row.name,
            row.size,
            f"{1e3 * row.seconds:.3f}",
            f"{1e3 * row.best:.3f}",
            f"{(1 if row.name.endswith('update') else row.units) / row.seconds:.1f}",
            "" if row.flops is None else f"{row.flops / 1e9:.2f}",
            share,
            "" if row.ratio is None else f"{row.ratio:.1f}",
        )
    console.print(table)
    console.print(
        f"matrix products: {found.peak_flops / 1e9:.0f} GFLOP/s at their best; peak memory {found.memory:.0f} MiB"
        + "".join(f"; {note}" for note in found.notes),
        highlight=False,
    )
    phases = ", ".join(f"{name} {_duration(value)}" for name, value in found.estimate.items())
    console.print(f"the run will take about {_duration(sum(found.estimate.values()))}: {phases}", highlight=False)
    console.print("(without generating data and without the evaluations on the way)", highlight=False)


def _print_scaling(found: list[Throughput], task: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from smbrl.throughput import named

    console = Console(width=120, soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in (task, "env steps/s", "x the first", "per core", "share of a core"):
        table.add_column(title, justify="left" if title == task else "right", no_wrap=True)
    for row in found:
        table.add_row(
            named(row.processes, row.envs),
            f"{row.rate:,.0f}",
            f"{row.rate / found[0].rate:.2f}",
            f"{row.per_core:,.0f}",
            f"{row.share:.0%}",
        )
    console.print(table)
    console.print("random actions, resets included; per core: env steps per second of processor time", highlight=False)
    if any(row.busy for row in found):
        console.print(
            "the machine is busy: processes waited for a core, env steps/s and x are less than it can do; per core "
            "is what a core does undisturbed",
            highlight=False,
        )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
