"""``smbrl data``: generate, list, inspect, import and export offline data sets."""

from __future__ import annotations

import json
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from smbrl_cli import options

from smbrl.errors import SmbrlError

if TYPE_CHECKING:
    from smbrl.data.store import Dataset
    from smbrl.interfaces import Task

app = typer.Typer(help="Offline data sets: generate, list, inspect, import, export.")

TaskName = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="A task by name (Maze) instead of a gin file.")
]


@app.command()
def generate(
    gin: options.OptionalGin = None,
    task: TaskName = None,
    overrides: options.Set = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the data; default: Pretraining.data_seed of the gin file.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: every core. Does not change the data.")
    ] = None,
) -> None:
    """Generate a task's offline data, unless they are in the store already."""
    from smbrl.data import store
    from smbrl.tracking.progress import ProgressBars
    from smbrl.training.device import usable_cores

    chosen, default_seed = _task(gin, task, overrides)
    workers = usable_cores() if workers is None else workers
    seed = default_seed if seed is None else seed
    found = store.available(chosen, seed=seed)
    if found is None:
        try:
            with ProgressBars() as bars, bars.phase("offline data", 0, "episodes") as bar:
                found = store.ensure(chosen, seed=seed, workers=workers, progress=bar.callback)
        except KeyboardInterrupt:
            typer.echo("interrupted: nothing is stored; the same command begins anew", err=True)
            raise typer.Exit(130) from None
        typer.echo("generated:")
    else:
        typer.echo("already in the store:")
    _summary(found)


@app.command("list")
def list_() -> None:
    """List the data sets in the store."""
    from rich.console import Console
    from rich.table import Table

    from smbrl.data import store

    names = store.names()
    if not names:
        typer.echo(f"no data set in {store.root()}; make one: smbrl data generate --task Maze")
        return
    table = Table(box=None, header_style="bold")
    for heading in ("id", "episodes", "steps", "seed", "content", "created", "source"):
        table.add_column(heading, justify="right" if heading in ("episodes", "steps", "seed") else "left", no_wrap=True)
    problems: list[str] = []
    for name in names:
        try:
            provenance = store.load(name).provenance
        except SmbrlError as error:
            problems.append(str(error))
            continue
        table.add_row(
            name,
            f"{provenance.get('episodes', 0):,}",
            f"{provenance.get('steps', 0):,}",
            str(provenance.get("seed", "")),
            str(provenance["content_hash"])[:12],
            str(provenance.get("created", ""))[:16].replace("T", " "),
            str(provenance.get("source", "")),
        )
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(table)
    for problem in problems:
        typer.echo(f"warning: {problem}", err=True)
    typer.echo(f"in {store.root()}")


@app.command()
def inspect(
    dataset: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A data set's id, or the beginning of it.")
    ] = None,
    gin: options.OptionalGin = None,
    task: TaskName = None,
    overrides: options.Set = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the data, with --gin or --task.")] = None,
    beside: Annotated[
        str | None,
        typer.Option("--with", metavar="ID", help="A second data set to put beside it (tasks of sub-tasks)."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", "-p", metavar="PATH", help="Where to draw; default: beside the data, in the store."),
    ] = None,
) -> None:
    """Print a data set's statistics and provenance and draw what it holds (the last line says where).

    Checks the data against their hash.
    """
    from smbrl.data import inspection, store

    chosen: Task | None = None
    if gin or task:
        chosen, default_seed = _task(gin, task, overrides)
    if dataset is not None:
        found = store.load(dataset)
    elif chosen is not None:
        asked = store.available(chosen, seed=default_seed if seed is None else seed)
        if asked is None:
            raise SmbrlError(
                "these data are not in the store: make them with `smbrl data generate` and the same options"
            )
        found = asked
    else:
        raise SmbrlError("which data set? give an id (see `smbrl data list`), --gin FILE or --task NAME")
    numbers = inspection.statistics(found)
    _summary(found)
    shortest, median, mean, longest = numbers.lengths
    typer.echo(f"  lengths    {shortest} to {longest} steps, mean {mean:.1f}, median {median:g}")
    typer.echo(f"  size       {numbers.megabytes:.1f} MB")
    typer.echo(f"  {'':<16}{'min':>10}{'max':>10}{'mean':>10}{'std':>10}")
    for name, rows in (("observation", numbers.observations), ("action", numbers.actions)):
        for index, row in enumerate(rows):
            typer.echo(f"  {f'{name} {index}':<16}" + "".join(f"{value:10.3f}" for value in row))
    typer.echo(f"  {100 * numbers.saturated:.1f} % of action elements at their limit")
    known = chosen or _recorded_task(found)
    other = store.load(beside) if beside is not None else None
    path = picture or found.path / _picture(other)
    try:
        if known is not None and known.subtasks:
            _compare([found] if other is None else [found, other], known, path)
        elif other is not None:
            raise SmbrlError(
                "--with compares what sub-tasks data sets do: say of which task, --task Kitchen for example"
            )
        else:
            inspection.draw_coverage(found, path, known)
    except (OSError, ValueError) as error:
        raise SmbrlError(f"cannot draw to {path} ({error}): give another file with --picture") from error
    typer.echo(f"  picture    {path}")


def _picture(other: Dataset | None) -> str:
    """File name of the picture of a data set, alone or beside another."""
    return "inspection.png" if other is None else f"inspection-with-{other.id.replace('/', '-')}.png"


def _compare(datasets: list[Dataset], task: Task, path: Path) -> None:
    """Say and draw how sub-tasks follow each other."""
    from smbrl.data import comparison

    comparison.draw_comparison(datasets, task, path)
    for dataset in datasets:
        lengths = dataset.arrays.lengths
        typer.echo(f"  sub-tasks of {dataset.id}: {len(lengths):,} episodes of {lengths.mean():.1f} steps on average")
        for line in comparison.lines(comparison.transitions(dataset, task)):
            typer.echo(f"    {line}")


class Last(StrEnum):
    """What becomes of an episode's last action where nobody knows what it led to."""

    REPEAT = "repeat"
    DROP = "drop"


@app.command("import")
def import_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="An .hdf5 or .npz file in D4RL's form, a pickle of trajectories (.pkl, .gz), a Minari data set's "
            "folder or id, a CALVIN recording's folder, or a name of D4RL's (kitchen-mixed-v0).",
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Id to store it under (NAMESPACE/NAME-vN); default: its own.")
    ] = None,
    elements: Annotated[
        str | None,
        typer.Option("--elements", metavar="RANGES", help="Keep these elements of the observation, e.g. 0:9,18:39."),
    ] = None,
    last: Annotated[
        Last,
        typer.Option(
            help="Of an episode whose last action's outcome is not in the file: repeat the observation, or "
            "drop the action."
        ),
    ] = Last.REPEAT,
    mirror: Annotated[
        list[str] | None,
        typer.Option("--mirror", metavar="URL", help="Base address to ask for D4RL's files first. May be repeated."),
    ] = None,
    gin: options.OptionalGin = None,
    task: TaskName = None,
    overrides: options.Set = None,
) -> None:
    """Bring a data set from elsewhere into the store, unchanged; --task or --gin checks that it fits."""
    from smbrl.data.importing import import_data
    from smbrl.data.sources import parse_elements
    from smbrl.tracking.progress import Phase, ProgressBars

    chosen = _task(gin, task, overrides)[0] if gin or task else None
    kept = None if elements is None else parse_elements(elements)
    try:
        with ExitStack() as stack:
            phases: list[Phase] = []

            def show(received: int, size: int) -> None:
                if not phases:  # a bar for downloads only
                    phases.append(
                        stack.enter_context(stack.enter_context(ProgressBars()).phase("download", 0, "bytes"))
                    )
                phases[0].callback(received, size)

            found = import_data(
                what,
                name=name,
                spec=chosen.spec if chosen is not None else None,
                elements=kept,
                last=last.value,
                mirrors=mirror or (),
                progress=show,
            )
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing is stored; a download goes on where it stopped", err=True)
        raise typer.Exit(130) from None
    typer.echo("imported:")
    _summary(found)
    typer.echo(f"  to pre-train on it: -o TASK.data='{found.id}' (for the maze: -o \"Maze.data='{found.id}'\")")


@app.command()
def export(
    dataset: Annotated[str, typer.Argument(metavar="ID", help="A data set's id, or the beginning of it.")],
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]",
            help="A new .hdf5 or .h5 file (D4RL's form) or folder (Minari); default: among Minari's own data sets.",
        ),
    ] = None,
) -> None:
    """Copy a data set out of the store, for Minari or for programs that read D4RL's files. Nothing is lost."""
    from smbrl.data import exporting, store

    found = store.load(dataset)
    if path is not None and path.suffix in (".hdf5", ".h5"):
        made = exporting.to_d4rl(found, path)
    elif path is not None and path.suffix:
        raise SmbrlError(f"{path} has suffix {path.suffix}: .hdf5 or .h5 makes a file, no suffix a Minari folder")
    else:
        made = exporting.to_minari(found, path)
    typer.echo(f"exported {found.id} to {made}")


def _task(gin: list[str] | None, name: str | None, overrides: list[str] | None) -> tuple[Task, int]:
    """The task that the options name, and the data's seed."""
    from smbrl.training.choose import choose_task

    return choose_task(gin or (), name, overrides or ())


def _recorded_task(dataset: Dataset) -> Task | None:
    """The task that generated the data, as far as this installation has it."""
    from smbrl.interfaces import Task
    from smbrl.registry import load_plugins

    name, settings = dataset.provenance.get("task"), dataset.provenance.get("settings")
    part = load_plugins().parts.get(str(name))
    if part is None or not issubclass(part.cls, Task) or not isinstance(settings, dict):
        return None
    try:
        return part.cls(**settings)
    except (TypeError, ValueError, SmbrlError):
        return None  # the task's parameters have changed since


def _summary(dataset: Dataset) -> None:
    provenance = dataset.provenance
    typer.echo(dataset.id)
    typer.echo(f"  path       {dataset.path}")
    typer.echo(f"  episodes   {provenance['episodes']:,}")
    typer.echo(f"  steps      {provenance['steps']:,}")
    typer.echo(f"  content    sha256 {dataset.content_hash}")
    made = f"{provenance.get('source')} {provenance.get('created')}"
    typer.echo(f"  made       {made}, seed {provenance['seed']}" if "seed" in provenance else f"  made       {made}")
    typer.echo("  versions   " + ", ".join(f"{name} {version}" for name, version in provenance["versions"].items()))
    for name, value in (provenance.get("parameters") or {}).items():
        text = json.dumps(value)
        shown = f"{len(value)} items" if isinstance(value, list) and len(text) > 80 else text
        typer.echo(f"  parameter  {name} = {shown}")
