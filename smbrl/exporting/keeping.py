"""The exported policy of a finished run, kept beside it and sent to MLflow."""

from __future__ import annotations

import logging
from collections.abc import Callable

from smbrl.exporting.export import tensors, write
from smbrl.tracking.tracker import Tracker
from smbrl.training import online
from smbrl.training.experiment import Experiment
from smbrl.training.folder import RunFolder

MODEL_FOLDER = "model"
"""In the run folder, and among MLflow's artifacts."""
logger = logging.getLogger("smbrl.exporting")


def finish(experiment: Experiment) -> Callable[[RunFolder, Tracker], None]:
    """What ``smbrl.training.run.execute`` calls at the end of a run: its policy goes to ``model/`` and to MLflow, where
    ``Tracking`` wants that."""

    def keep(folder: RunFolder, tracker: Tracker) -> None:
        settings = experiment.tracking
        if not settings.enabled or not settings.model_megabytes:
            return
        try:
            size = sum(value.nbytes for value in tensors(experiment.agent).values()) / 1e6
            if size > settings.model_megabytes:
                logger.warning(
                    f"the model has {size:.0f} MB and Tracking.model_megabytes is {settings.model_megabytes:g}: it is "
                    f"not sent to MLflow; smbrl export {folder.name} writes it"
                )
                return
            path = folder.path / MODEL_FOLDER
            step = int(folder.info()["step"])
            write(path, folder, experiment.agent, experiment.task.spec, phase=online.PHASE, step=step, force=True)
            for file in sorted(path.iterdir()):
                tracker.artifact(file)
        except Exception as error:  # a finished run is not lost because its policy cannot be written
            logger.warning(f"no exported policy: {type(error).__name__}: {error}")

    return keep
