"""Whole methods on the Maze, killed at random instants: the numbers of the uninterrupted run."""

from __future__ import annotations

import io
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_helpers import cpu_seconds, ended, forked, numbers

from smbrl import config
from smbrl.data import store
from smbrl.tracking.progress import ProgressBars
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder
from smbrl.training.run import begin, execute

SMALL = (
    "Online.steps=2400",
    "Online.warmup_steps=800",
    "Online.update_every=40",
    "Online.batch=4",
    "Maze.time_limit=150",
    "Evaluation.every=800",
    "Checkpoints.every_seconds=0.1",
    "Tracking.enabled=False",
    'Experiment.device="cpu"',
)
SEARCH = ("CEM.samples=16", "CEM.policy_samples=4", "CEM.elites=4", "CEM.iterations=2")
FLAT = (
    "Online.envs=4",
    "Online.first_updates=4",
    "Online.updates=1",
    "Evaluation.envs=4",
    "Evaluation.every_episodes=4",
    "Evaluation.episodes=4",
)
RECURRENT = ("RSSM.hidden=16", "RSSM.deterministic=16", "RSSM.stochastic=4")
OFFLINE = (
    "Maze.trajectories=12",
    "Pretraining.updates=40",
    "Pretraining.batch=4",
    "Pretraining.validation_batch=4",
)
DISCOVERY = (
    "Maze.radius=17.0",  # found at random: there is a reward to plan for
    "DADS.unsupervised_steps=1200",
    "DADS.explore_hold=20",
    "DADS.others=4",
    "MPPI.samples=8",
    "MPPI.iterations=1",
    "MPPI.horizon=2",
    "MPPI.first_horizon=2",
)
METHODS = {  # files, settings, how often it is killed
    "skimo": (
        ("skimo_maze", "budgets/smoke"),
        (*SEARCH, *OFFLINE),
        10,
    ),
    "tdmpc": (("tdmpc_maze",), (*FLAT, *SEARCH, "LatentMPC.hidden=32", "SkillDynamics.hidden=32"), 3),
    "dreamer": (("dreamer_maze",), (*FLAT, *RECURRENT, "Dreamer.window=9", "Dreamer.imagination=3"), 3),
    "lsp": (("lsp_maze",), (*FLAT, *SEARCH, *RECURRENT, "LSP.window=9", "LSP.imagination=3"), 3),
    "dads": (
        ("dads_maze",),
        (*FLAT, *DISCOVERY),
        3,
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does")
@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_killed_comes_to_the_same_numbers(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, overrides, planned = METHODS[method]
    settings = config.load(files, (*SMALL, *overrides))

    def work(path: Path, home: str) -> Callable[[], Any]:
        def run() -> None:
            os.environ["SMBRL_HOME"] = str(tmp_path / home)
            made: Experiment = settings.build()
            folder = RunFolder.open(path) if (path / "run.json").exists() else begin(path, made, settings.text)
            execute(made, folder, bars=ProgressBars(io.StringIO(), quiet=True))

        return run

    for home in ("one", "two") if method == "skimo" else ():
        monkeypatch.setenv("SMBRL_HOME", str(tmp_path / home))
        store.ensure(settings.build().task, seed=0)
    before = cpu_seconds()
    assert ended(forked(work(tmp_path / "whole", "one")), 300) == 0
    whole = cpu_seconds() - before  # unlike wall time the same on a busy machine
    rng = random.Random(1)
    kills = 0
    while True:
        child = forked(work(tmp_path / "killed", "two"))
        status = ended(child, 300, rng.uniform(0.1, 0.3 + whole / 8) if kills < planned else float("inf"))
        if status is not None:
            assert status == 0
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    assert kills == planned, "the run is too short to be killed so often"
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
