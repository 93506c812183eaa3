"""``smbrl resume``: go on with a run that was stopped, killed or interrupted."""

from __future__ import annotations

from typing import Annotated

import typer
from smbrl_cli import options


def command(
    run: options.Run,
    device: options.Device = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Go on with a run, to the numbers it would have come to had it not been stopped."""
    from smbrl_cli.summary import finish

    from smbrl import config
    from smbrl.training.folder import RunFolder
    from smbrl.training.follow import follows

    folder = RunFolder.find(run)
    overrides = [] if device is None else [f"Experiment.device={device!r}"]
    loaded = config.load_text(folder.config, overrides, label=str(folder.path / "config.gin"))
    experiment = loaded.build()
    if follows(experiment):
        return
    finish(experiment, folder, loaded.operative, quiet=quiet)
