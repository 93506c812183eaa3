"""``smbrl eval RUN``: how good a trained agent is."""

from __future__ import annotations

from typing import Annotated

import typer
from smbrl_cli import options

from smbrl.errors import SmbrlError


def command(
    run: options.Run,
    episodes: Annotated[int, typer.Option("--episodes", "-n", help="How many.")] = 100,
    seed: Annotated[
        int | None, typer.Option(help="Of the episodes; default: those of the run's own final evaluation.")
    ] = None,
    planner: Annotated[
        bool | None,
        typer.Option("--planner/--policy", help="Plan, or act by the policy alone; default: as the run was trained."),
    ] = None,
    envs: Annotated[int, typer.Option(help="Environments that act in lock-step.")] = 10,
    plots: Annotated[bool, typer.Option("--plots", help="Draw the run's pictures anew.")] = False,
    device: options.Device = None,
) -> None:
    """Evaluate a run's deterministic policy; success with its 95 % interval, written into the run's folder.

    Where the task has sub-tasks: their rates, and plots/subtasks.png with when each was completed.
    """
    from rich.console import Console
    from rich.table import Table

    from smbrl.analysis.judging import judge
    from smbrl.tracking.progress import ProgressBars
    from smbrl.training import announce
    from smbrl.training.load import load_run

    if episodes < 1:
        raise SmbrlError(f"{episodes} episodes tell nothing: ask for at least 1")
    loaded = load_run(run, device)
    plans = getattr(getattr(loaded.agent, "planner", None), "searches", False)
    if planner and not plans:
        raise SmbrlError(f"run {loaded.folder.name} was trained without a planner: leave --planner out")
    with ProgressBars() as bars, bars.phase("evaluation", episodes, "episodes") as bar:
        found = judge(
            loaded,
            episodes=episodes,
            seed=seed,
            policy=planner is False,
            envs=max(1, envs),
            progress=bar.callback,
        )
    result, (low, high) = found.result, found.interval
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("run", f"{loaded.folder.name}, {loaded.phase} step {loaded.step:,}")
    table.add_row("acting", "planner" if plans and planner is not False else "policy")
    table.add_row("episodes", f"{len(result.returns)}")
    table.add_row("success", f"{result.success:.3f}   95 % interval {low:.3f} to {high:.3f}")
    table.add_row("return", f"{result.returns.mean():.2f} ± {result.returns.std():.2f}")
    if result.subtasks and result.completed is not None:
        done = result.completed >= 0
        rates = ", ".join(f"{name} {share:.2f}" for name, share in zip(result.subtasks, done.mean(0), strict=True))
        table.add_row("sub-tasks", f"{done.sum(1).mean():.2f} of {len(result.subtasks)}: {rates}")
    table.add_row("length", f"{result.lengths.mean():.0f} ± {result.lengths.std():.0f} steps")
    table.add_row("took", f"{found.seconds:.1f} s, {result.lengths.sum() / max(found.seconds, 1e-9):,.0f} steps/s")
    table.add_row("written", str(found.path))
    if found.picture is not None:
        table.add_row("picture", str(found.picture))
    Console(width=None if Console().is_terminal else 200).print(table)
    announce.add(loaded.folder, [path for path in (found.path, found.picture) if path is not None])
    if plots:
        from smbrl.analysis.report import Subject, report

        for path in report(Subject.of(loaded)):
            typer.echo(f"picture  {path}")
