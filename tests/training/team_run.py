"""A tiny run, to be started by torchrun or alone: ``team_run.py FOLDER AGENT``."""

from __future__ import annotations

import io
import sys
from functools import partial
from pathlib import Path

import gin
from line_world import LineAgent, LineTask
from smbrl_plugins.agents.latent_mpc import LatentMPC
from smbrl_plugins.skills.skimo_vae import SkiMoVAE

from smbrl.errors import SmbrlError
from smbrl.tracking.progress import ProgressBars
from smbrl.training.experiment import Experiment
from smbrl.training.follow import follows
from smbrl.training.run import begin, execute

SETTINGS = {
    "Pretraining.updates": 12,
    "Pretraining.batch": 8,
    "Pretraining.validation_share": 0.2,
    "Pretraining.validation_batch": 4,
    "Pretraining.validate_every": 4,
    "Pretraining.log_every": 1,
    "Online.steps": 60,
    "Online.warmup_steps": 30,
    "Online.log_every": 30,
    "Online.update_every": 30,
    "Online.updates": 1,
    "Online.batch": 4,
    "Evaluation.episodes": 1,
    "Evaluation.every": 0,
    "Tracking.enabled": False,
}
SKILLS = partial(SkiMoVAE, skill=3, horizon=3, latent=16, hidden=16, layers=2, cloned_steps=2)
AGENTS = {
    "skimo": partial(LatentMPC, skills=SKILLS, latent=16, hidden=16, layers=2, window=4, clip=0.5),
    "own optimiser": LineAgent,
}


def main(folder: Path, agent: str) -> None:
    for name, value in SETTINGS.items():
        gin.bind_parameter(name, value)
    experiment = Experiment(LineTask, AGENTS[agent], device="cpu", precision="float32")  # type: ignore[arg-type]
    if follows(experiment):
        return
    execute(experiment, begin(folder, experiment, "# none\n"), bars=ProgressBars(io.StringIO(), quiet=True))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except SmbrlError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
