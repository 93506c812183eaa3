"""``smbrl skills RUN``: what the skills of a run are, and whether its prior covers them."""

from __future__ import annotations

from typing import Annotated

import typer
from smbrl_cli import options


def command(
    run: options.Run,
    windows: Annotated[int, typer.Option("--windows", "-n", help="Held-out windows of one skill each.")] = 2000,
    device: options.Device = None,
) -> None:
    """Skills of held-out behaviour in the plane of their principal components, beside samples of the prior.

    Coloured by the sub-task that is completed next, or by the direction in which they lead.
    """
    from rich.console import Console
    from rich.table import Table

    from smbrl.analysis.skills import check, skill_map
    from smbrl.training import announce
    from smbrl.training.load import load_run

    check(windows)
    loaded = load_run(run, device)
    made = skill_map(loaded, windows=windows)
    found = made.embedding
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("run", f"{loaded.folder.name}, skills of {found.skills.shape[1]} numbers")
    table.add_row("windows", f"{len(found.skills):,} held out")
    shares = ", ".join(f"{100 * share:.0f} %" for share in found.explained[:4])
    table.add_row("variance", f"{shares} along the first components")
    if found.covered is not None:
        table.add_row("prior", f"95 % region has {100 * found.covered:.1f} % of the skills; KL {found.kl:.2f} nats")
    counts = ", ".join(f"{name} {count}" for name, count in found.meaning.counts().items() if count)
    if counts:
        table.add_row("next", counts)
    for path in made.files:
        table.add_row("written", str(path))
    Console(width=None if Console().is_terminal else 200).print(table)
    announce.add(loaded.folder, [path for path in made.files if path.suffix == ".png"])
