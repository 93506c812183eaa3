"""What a tracking server is told of a run besides its metrics; and runs that it was not told of in time."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from smbrl.errors import SmbrlError
from smbrl.tracking.mirror import STATE, Parent
from smbrl.tracking.mlflow import Tracking
from smbrl.tracking.tracker import Tracker
from smbrl.training import identity
from smbrl.training.folder import CONFIG, OPERATIVE, RunFolder

STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "running": "KILLED", "new": "KILLED"}
"""MLflow's word for a state of a run that no process holds; any other state is FAILED."""
COMMON = ("method", "task", "agent", "dataset", "data_hash")
"""Tags that the seeds of a configuration share."""
LONGEST_NAME = 120
KEPT = ("plots/*.png", "videos/*.mp4", "evaluations/*.json", "model/*")
"""Files of a run folder that a server gets, besides its configuration."""


def tracker(folder: RunFolder, settings: Tracking) -> Tracker:
    """The tracker of a run: experiment by task, gathered under the parent of its configuration.

    Args:
        folder: of the run.
        settings: of its tracking.
    """
    info = _info(folder)
    return Tracker(folder.path, settings, experiment=info["task"], parent=parent(folder, info, settings.group))


def parent(folder: RunFolder, info: Mapping[str, Any], name: str = "") -> Parent:
    """The parent of a run; that of its configuration where no name is given."""
    found = identity.bindings(folder.config)
    tags = identity.tags(info)
    if name:
        return Parent(f"named {_safe(name)}", name, {"task": tags.get("task", "?")}, {})
    overrides = [text for text in info.get("overrides", []) if not text.startswith((*identity.SEEDS, *identity.ASIDE))]
    title = " ".join([tags["method"], *overrides])
    title = title if len(title) <= LONGEST_NAME else title[: LONGEST_NAME - 4] + " ..."
    return Parent(
        identity.group(found), title, {key: tags[key] for key in COMMON if key in tags}, identity.essence(found)
    )


def _info(folder: RunFolder) -> dict[str, Any]:
    info = folder.info()
    return {**info, "task": identity.task(info, identity.bindings(folder.config))}


def _safe(name: str) -> str:
    """A name that can stand in a filter of MLflow."""
    return re.sub(r"['\"`\\\\]", "_", name)


def about(to: Tracker, folder: RunFolder) -> None:
    """Parameters, tags and configuration of a run."""
    info = _info(folder)
    to.params(identity.bindings(folder.config))
    to.tags({**identity.tags(info), "command": command(info)})
    for name in (CONFIG, OPERATIVE):
        if (folder.path / name).exists():
            to.artifact(folder.path / name)


def command(info: Mapping[str, Any]) -> str:
    """What was typed, as far as the run knows it."""
    words = ["smbrl train", *(f"--gin {name}" for name in info.get("gin", []))]
    words += [f"-o {text}" for text in info.get("overrides", [])]
    return " ".join([*words, f"--seed {info.get('seed', 0)}"])


def settings(folder: RunFolder) -> Tracking:
    """How a run was tracked, from its configuration; what an older smbrl did not know has its default."""
    found = identity.bindings(folder.config)
    names = [field.name for field in fields(Tracking) if f"Tracking.{field.name}" in found]
    return Tracking(**{name: ast.literal_eval(found[f"Tracking.{name}"]) for name in names})


def add(folder: RunFolder, files: Sequence[Path]) -> None:
    """Send files that a run got after its end, where a server mirrors it; while that is away, ``sync`` is for later."""
    if (folder.path / STATE).exists() and not folder.busy:
        found = settings(folder)
        sync(folder, found, found.patience, files)


def sync(folder: RunFolder, settings: Tracking, patience: float = 600.0, files: Sequence[Path] | None = None) -> bool:
    """Send a run that nobody is working on to its tracking server, as far as it is not there.

    Args:
        folder: of the run.
        settings: where to; ``enabled`` or not.
        patience: seconds, at most.
        files: of the run folder; None: all that are for a server.

    Returns:
        Whether the server has everything.

    Raises:
        SmbrlError: the run is being worked on (and is mirrored anyway), or has nothing to send.
    """
    with folder.locked():
        info = folder.info()
        if not folder.metrics.exists():
            raise SmbrlError(f"run {folder.name} has no metrics yet: there is nothing to send")
        to = tracker(folder, replace(settings, enabled=True, patience=patience))
        about(to, folder)
        found = [path for pattern in KEPT for path in sorted(Path(folder.path).glob(pattern))]
        for path in found if files is None else files:
            to.artifact(path)
        return to.close(STATUS.get(str(info.get("state")), "FAILED"))
