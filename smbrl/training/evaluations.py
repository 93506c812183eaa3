"""What an evaluation leaves in the run's folder: a file with every episode."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import smbrl
from smbrl.errors import SmbrlError
from smbrl.training.evaluate import EvaluationResult
from smbrl.training.intervals import wilson

FOLDER = "evaluations"
TRAINED, POLICY = "as trained", "policy"
"""How an agent acted: with its planner, if it has one; or by its policy alone."""


def interval(result: EvaluationResult) -> tuple[float, float]:
    """95 % interval of the success rate (Wilson)."""
    return wilson(int(result.successes.sum()), len(result.successes))


def write(run: Path, result: EvaluationResult, *, how: str, seed: int | None, step: int, seconds: float) -> Path:
    """Store an evaluation; one of the same episodes at the same step is replaced.

    Args:
        run: its folder.
        result: the episodes.
        how: ``TRAINED`` or ``POLICY``.
        seed: of the episodes; None: those of the run's own final evaluation.
        step: env steps of training.
        seconds: that it took.

    Raises:
        SmbrlError: it cannot be written.
    """
    name = "final" if seed is None else f"seed{seed}"
    path = run / FOLDER / f"step{step}-{how.replace(' ', '-')}-{name}-{len(result.returns)}.json"
    content: dict[str, Any] = {
        "smbrl": smbrl.__version__,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "how": how,
        "seed": seed,
        "step": step,
        "seconds": round(seconds, 2),
        "success": result.success,
        "success_95": list(interval(result)),
        "return": float(result.returns.mean()),
        "returns": result.returns.tolist(),
        "lengths": result.lengths.tolist(),
        "successes": result.successes.tolist(),
    }
    if result.subtasks and result.completed is not None:
        content["subtasks"] = list(result.subtasks)
        content["completed"] = [[at if at >= 0 else None for at in row] for row in result.completed.tolist()]
    try:
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(content) + "\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise SmbrlError(f"cannot write {path} ({error.strerror}): make room or allow it, then try again") from error
    return path


@dataclass(frozen=True)
class Completions:
    """When each sub-task was completed in each episode of an evaluation.

    Attributes:
        subtasks: names, in the task's order.
        steps: env steps, -1 for never, ``(episodes, sub-tasks)``.
        lengths: env steps of the episodes.
        step: env steps of training.
        how: the agent acted.
    """

    subtasks: Sequence[str]
    steps: NDArray[np.int64]
    lengths: NDArray[np.int64]
    step: int
    how: str


def latest_completions(run: Path) -> Completions | None:
    """Of the run's evaluation that was made last; None where none has any. Files that are damaged are passed over."""
    found: list[tuple[str, dict[str, Any]]] = []
    for path in (run / FOLDER).glob("*.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("completed"):
            found.append((str(content.get("created")), content))
    if not found:
        return None
    _, content = max(found, key=lambda pair: pair[0])
    steps = [[-1 if at is None else at for at in row] for row in content["completed"]]
    return Completions(
        tuple(content["subtasks"]),
        np.array(steps, np.int64),
        np.array(content["lengths"], np.int64),
        int(content["step"]),
        str(content["how"]),
    )
