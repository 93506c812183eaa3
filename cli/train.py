"""``smbrl train``: data, pre-training, online learning and evaluation in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from smbrl_cli import options

from smbrl.errors import SmbrlError


def command(
    gin: options.Gin,
    overrides: options.Set = None,
    seed: Annotated[int | None, typer.Option(help="Of the run: Experiment.seed.")] = None,
    device: options.Device = None,
    precision: Annotated[
        str | None, typer.Option(metavar="PRECISION", help="Of matrix products: auto, float32 or bfloat16.")
    ] = None,
    compile: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile the networks (minutes at the start; default: off)."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of torch on the CPU; 0 is one per core.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the run; its folder is NAME in $SMBRL_RUNS or ./runs.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="FOLDER", help="The run's folder itself.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train: generate or find the data, pre-train or find the model, learn online, evaluate.

    Can be stopped at any time and continued with smbrl resume.
    """
    from smbrl_cli.summary import finish

    from smbrl import config
    from smbrl.training.folder import default_name, runs_root
    from smbrl.training.follow import follows
    from smbrl.training.run import begin
    from smbrl.training.versioning import git_state

    if name is not None and run_dir is not None:
        raise SmbrlError("--name and --run-dir both say where the run goes: give one of them")
    if name is not None and (not name.strip() or Path(name).name != name):
        raise SmbrlError(f"--name {name!r} is no folder name: for a path use --run-dir")
    flags = {
        "seed": seed,
        "device": device,
        "precision": precision,
        "compile": None if compile is None else ("on" if compile else "off"),
        "threads": threads,
    }
    chosen = [f"Experiment.{flag}={value!r}" for flag, value in flags.items() if value is not None]
    loaded = config.load(gin, [*(overrides or ()), *chosen])
    experiment = loaded.build()
    if follows(experiment):
        return
    stem = Path(gin[0]).stem
    path = run_dir or runs_root() / (name or default_name(stem, experiment.seed))
    about = {"config": stem, "gin": list(gin), "overrides": list(overrides or ()), "git": git_state()}
    folder = begin(path, experiment, loaded.text, about)
    finish(experiment, folder, loaded.operative, quiet=quiet)
