"""Pre-trained models, kept where every run finds them again.

::

    $SMBRL_HOME/pretrained/<hash>/      a checkpoint folder: the model's tensors, and the log of its pre-training
    $SMBRL_HOME/pretrained/<hash>.lock  held by the process that is making it

The hash is that of everything the numbers depend on, so five seeds and ten ablations of what comes after
pre-training share one model, and another data set, network or budget never does.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, TaskSpec
from smbrl.training.checkpoint import DamagedError, read, write
from smbrl.training.settings import Pretraining

logger = logging.getLogger("smbrl.training.pretrained")
VERSION = 1
"""Raised when pre-training computes something else from the same inputs."""

Lines = list[tuple[int, dict[str, float]]]
"""(step, metrics) in the order they were logged."""


@dataclass(frozen=True)
class Pretrained:
    """What is stored.

    Attributes:
        model: ``Agent.pretrained_state()``.
        lines: the log of its pre-training.
        path: where it lies.
    """

    model: dict[str, Tensor]
    lines: Lines
    path: Path


def key(agent: Agent, spec: TaskSpec, data: str, settings: Pretraining, seed: int) -> dict[str, Any]:
    """Everything that the result of pre-training depends on, JSON-able.

    Args:
        agent: prepared (its precision matters).
        spec: of the task.
        data: content hash of the data set.
        settings: of the phase.
        seed: of the phase.
    """
    matters = {
        name: getattr(settings, name)
        for name in ("updates", "batch", "validation_share", "validate_every", "validation_batch", "log_every")
    }
    return {
        "version": VERSION,
        "agent": {"class": type(agent).__name__, **agent.pretrain_key()},
        "task": asdict(spec),
        "data": data,
        "settings": matters,
        "seed": seed,
        "precision": str(agent.compute.dtype),
    }


class PretrainedStore:
    """The folder of pre-trained models.

    Args:
        root: see above.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def name(self, key: dict[str, Any]) -> str:
        """The hash of a key.

        Raises:
            SmbrlError: the agent's part of it is not JSON.
        """
        try:
            text = json.dumps(key, sort_keys=True)
        except TypeError as error:
            raise SmbrlError(f"{key['agent']['class']}.pretrain_key() is not JSON ({error}): mend that part") from error
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def find(self, key: dict[str, Any]) -> Pretrained | None:
        """The model made from these inputs; a damaged one is a warning and goes."""
        path = self.root / self.name(key)
        if not path.is_dir():
            return None
        try:
            state, _ = read(path)
        except DamagedError as error:
            logger.warning(f"the pre-trained model {path} is damaged: {error}; it is made anew")
            shutil.rmtree(path, ignore_errors=True)
            return None
        return Pretrained(state["model"], [(int(step), dict(line)) for step, line in state["lines"]], path)

    def keep(self, key: dict[str, Any], model: dict[str, Tensor], lines: Lines, **about: Any) -> Path:
        """Store a model; one that somebody else stored meanwhile stays.

        Raises:
            SmbrlError: the disk does not take it.
        """
        path = self.root / self.name(key)
        try:
            write(path, {"model": dict(model), "lines": [list(line) for line in lines]}, key=key, **about)
        except OSError as error:
            raise SmbrlError(
                f"cannot store the pre-trained model {path} ({error.strerror}): make room, resume"
            ) from error
        return path

    @contextmanager
    def making(self, key: dict[str, Any], waiting: Callable[[str], None]) -> Iterator[None]:
        """Be the only process that makes this model; wait while another one does.

        Args:
            key: of the model.
            waiting: called once with a line that says what is waited for.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / f"{self.name(key)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting("another run is pre-training the same model: waiting for it")
            lock.acquire(poll_interval=0.5)
        try:
            yield
        finally:
            lock.release()
