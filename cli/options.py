"""Options and arguments that several commands share, as annotations for typer."""

from __future__ import annotations

from typing import Annotated

import typer

Gin = Annotated[
    list[str],
    typer.Option(
        "--gin",
        "-g",
        metavar="FILE",
        help="A gin file: a path, or the name of a packaged one (skimo_maze). May be repeated; later ones win.",
    ),
]
"""``gin: options.Gin`` (required, one or more)."""

OptionalGin = Annotated[
    list[str] | None,
    typer.Option(
        "--gin", "-g", metavar="FILE", help="A gin file: a path, or the name of a packaged one. May be repeated."
    ),
]
"""``gin: options.OptionalGin = None``."""

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-o",
        metavar="NAME.PARAM=VALUE",
        help="Override one binding, e.g. -o Online.steps=1000 or -o 'LatentMPC.planner=@CEM'. May be repeated.",
    ),
]
"""``overrides: options.Set = None``; pass ``overrides or ()`` to ``smbrl.config.load``."""

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run: its folder, its name, or 'last'.")]
"""``run: options.Run``."""

Device = Annotated[str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")]
"""``device: options.Device = None``."""
