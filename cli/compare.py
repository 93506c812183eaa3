"""``smbrl compare RUN RUN ...``: learning curves of several runs in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smbrl.errors import SmbrlError

if TYPE_CHECKING:
    from smbrl.training.folder import RunFolder


def command(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs: folders, names, or 'last'.")],
    metric: Annotated[str, typer.Option("--metric", "-m", help="What to draw, e.g. eval/success.")] = "train/success",
    picture: Annotated[Path, typer.Option("--picture", "-p", help="PNG to write.")] = Path("compare.png"),
    smooth: Annotated[float, typer.Option(help="Weight of the moving average of each run, from 0 (none) to 1.")] = 0.0,
    bins: Annotated[int, typer.Option(help="Points of a curve; runs of one method are pooled in them.")] = 40,
    each: Annotated[bool, typer.Option("--each", help="A curve per run instead of one per configuration.")] = False,
) -> None:
    """Draw learning curves; runs that differ in nothing but the seed are pooled: mean and standard deviation."""
    from smbrl.analysis.curves import compare
    from smbrl.analysis.style import short
    from smbrl.errors import suggestion
    from smbrl.tracking.record import Columns, read
    from smbrl.training.folder import RunFolder

    if not 0.0 <= smooth < 1.0 or bins < 2:
        raise SmbrlError(f"--smooth is {smooth:g} and --bins {bins}; expected a weight in [0, 1) and at least 2 bins")
    groups: dict[str, list[Columns]] = {}
    known: list[str] = []
    for name in runs:
        folder = RunFolder.find(name)
        columns = read(folder.metrics)
        known += columns.names
        groups.setdefault(folder.name if each else _label(folder), []).append(columns)
    try:
        made = compare(groups, picture, metric=metric, weight=smooth, bins=bins)
    except OSError as error:
        raise SmbrlError(f"cannot draw to {picture} ({error.strerror}): give another file with --picture") from error
    if made is None:
        raise SmbrlError(f"no run has logged {metric!r}; {suggestion(metric, known)}")
    for label, group in groups.items():
        ends = [f"{c.last(metric):.3g} at {short(c.steps(metric)[-1])}" for c in group if metric in c]
        typer.echo(f"{label}: {metric} {', '.join(ends) or 'not logged yet'}")
    typer.echo(str(made))


def _label(folder: RunFolder) -> str:
    """What a run was, without its seed."""
    info = folder.info()
    overrides = [text for text in info.get("overrides", []) if not text.startswith("Experiment.seed")]
    files = [Path(name).stem for name in info.get("gin", [])] or [str(info.get("config", folder.name))]
    return " ".join([" + ".join(files), *overrides])
