"""A run of a few seconds: does it train at all?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from smbrl import config
from smbrl.tracking.progress import ProgressBars
from smbrl.training.run import Summary, begin, execute

TINY = {
    "Pretraining.updates": 4,
    "Pretraining.batch": 4,
    "Pretraining.validation_share": 0.2,
    "Pretraining.validation_batch": 4,
    "Pretraining.validate_every": 2,
    "Pretraining.log_every": 2,
    "Online.steps": 300,
    "Online.envs": 2,
    "Online.warmup_steps": 120,
    "Online.warmup_successes": 0,
    "Online.warmup_patience": None,
    "Online.first_updates": 2,
    "Online.updates": 1,
    "Online.update_every": 60,
    "Online.batch": 4,
    "Online.capacity": 1000,
    "Online.log_every": 60,
    "Evaluation.episodes": 2,
    "Evaluation.every": 0,
    "Evaluation.envs": 2,
    "Tracking.enabled": False,
}
"""Every phase once."""


def tiny_run(gin: Sequence[str], folder: Path, overrides: Sequence[str] = (), *, home: Path | None = None) -> Summary:
    """Train, in seconds: data, pre-training, online learning and evaluation, each hardly begun.

    Args:
        gin: gin files, as ``smbrl train --gin`` takes them; later ones win.
        folder: an empty one; the run goes there.
        overrides: ``Name.parameter=value``, to make the task small, say: ``Maze.trajectories=8``.
        home: of data and pre-trained models; None: the folder, too, so that nothing is read or written elsewhere.

    Returns:
        What the run came to; ``summary.results`` has its final evaluation.

    Raises:
        SmbrlError: the configuration is wrong.
    """
    bindings = [f"{name}={value!r}" for name, value in TINY.items()]
    with mock.patch.dict(os.environ, {"SMBRL_HOME": str(home or folder / "home")}):
        loaded = config.load(gin, [*bindings, *overrides])
        experiment = loaded.build()
        run = begin(folder / "run", experiment, loaded.text, {"gin": list(gin), "overrides": list(overrides)})
        return execute(experiment, run, bars=ProgressBars(quiet=True))
