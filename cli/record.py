"""``smbrl record RUN``: videos of a trained agent."""

from __future__ import annotations

from typing import Annotated

import typer
from smbrl_cli import options

from smbrl.errors import SmbrlError


def command(
    run: options.Run,
    episodes: Annotated[int, typer.Option("--episodes", "-n", help="How many, a file each.")] = 3,
    seed: Annotated[
        int | None, typer.Option(help="Of the episodes; default: those of the run's own final evaluation.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Length of a video at most; longer episodes are played faster.")
    ] = 20.0,
    explore: Annotated[
        bool, typer.Option("--explore", help="Act as in training instead of deterministically.")
    ] = False,
    device: options.Device = None,
) -> None:
    """Film episodes of a run into its videos folder."""
    from smbrl.analysis.video import record
    from smbrl.tracking.progress import ProgressBars
    from smbrl.training import announce
    from smbrl.training.load import load_run
    from smbrl.training.seeding import derive

    if episodes < 1 or seconds <= 0:
        raise SmbrlError(f"{episodes} episodes of {seconds:g} s: ask for at least 1 episode and more than 0 seconds")
    loaded = load_run(run, device)
    step = loaded.step if loaded.phase == "online" else 0
    chosen = derive(loaded.experiment.seed, "final") if seed is None else derive(seed, "judge")
    lines, paths = [], []
    with ProgressBars() as bars, bars.phase("recording", episodes, "episodes") as bar:
        for number in range(episodes):
            path = loaded.folder.videos / f"step{step}-{'final' if seed is None else f'seed{seed}'}-{number}.mp4"
            seen = record(
                loaded.agent,
                loaded.task,
                path,
                seed=chosen,
                episode=number,
                step=step,
                mode="explore" if explore else "evaluate",
                seconds=seconds,
            )
            bar.advance()
            outcome = "solved" if seen.success else "not solved"
            if loaded.task.subtasks:
                when = ", ".join(f"{name} at {at}" for name, at in seen.completed.items())
                outcome += f", {len(seen.completed)} of {len(loaded.task.subtasks)} sub-tasks" + f": {when}" * bool(
                    when
                )
            paths.append(path)
            lines.append(f"{path}  {seen.steps} steps, return {seen.rewards.sum():g}, {outcome}")
    announce.add(loaded.folder, paths)
    for line in lines:
        typer.echo(line)
