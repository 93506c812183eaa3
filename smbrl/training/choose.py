"""A task on its own, for commands that need no agent."""

from __future__ import annotations

from collections.abc import Sequence

import gin

from smbrl import config
from smbrl.errors import SmbrlError
from smbrl.interfaces import Task
from smbrl.registry import load_plugins


@gin.configurable(module="smbrl.choose")
class TaskAlone:
    """The root of a configuration that has a task and nothing else.

    Args:
        task: reference to a task, ``@Maze``.
    """

    def __init__(self, task: type[Task]) -> None:
        self.task: Task = task()


def choose_task(files: Sequence[str], name: str | None, overrides: Sequence[str] = ()) -> tuple[Task, int]:
    """The task of a run's gin files, or a task by name, and the seed of its data.

    Args:
        files: gin files of a whole run; empty where ``name`` is given.
        name: of a task; its data seed is 0.
        overrides: ``NAME.PARAM=VALUE``.

    Raises:
        SmbrlError: neither or both are given, or the configuration is wrong.
    """
    if bool(files) == bool(name):
        raise SmbrlError("say which task: either --gin FILE or --task NAME")
    if files:
        experiment = config.load(files, overrides).build()
        return experiment.task, int(experiment.pretraining.data_seed)
    known = load_plugins().get("task", name or "")  # the registry's own line where the name is unknown
    alone = config.load_text(f"TaskAlone.task = @{known.name}", overrides, label="--task", root=TaskAlone).build()
    return alone.task, 0
