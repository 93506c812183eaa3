"""``smbrl export RUN``: a trained agent as a folder that acts on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from smbrl_cli import options


def command(
    run: options.Run,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where to; default: RUN-policy in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> None:
    """Write policy, skills and dynamics as one folder, with a model card.

    smbrl.load(FOLDER).act(observation) acts, without simulator or training stack.
    """
    from smbrl.exporting import export
    from smbrl.training.folder import RunFolder

    folder = RunFolder.find(run)
    path = to or Path(f"{folder.name}-policy")
    about = export(folder, path, force=force)
    evaluation = about["evaluation"]
    typer.echo(f"{path}  {about['method']} on {about['task']}, {about['phase']} step {about['step']:,}")
    typer.echo(f"{about['parameters']:,} numbers, {about['bytes'] / 1e6:.1f} MB")
    if evaluation:
        typer.echo(f"success {evaluation['success']:.3f} in {evaluation['episodes']} episodes ({evaluation['when']})")
    typer.echo(f'python -c "import smbrl; print(smbrl.load({str(path)!r}))"')
