"""How long a sweep will take, judged by runs that were finished on this machine; no guess where there is none."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from smbrl import config
from smbrl.sweeps.plan import SweepRun
from smbrl.training import identity
from smbrl.training.folder import RunFolder, all_runs
from smbrl.training.jobs import OVER

LONGEST_BESIDES = 120.0
MOST = 50
"""Finished runs that are looked at, the latest first."""
STEPS, UPDATES, EPISODES = "Online.steps", "Pretraining.updates", "Evaluation.episodes"
PLACE = ("Experiment.task", "Experiment.agent", "Gymnasium.id")


@dataclass(frozen=True)
class Measured:
    """A run that was finished before.

    Attributes:
        name: of the run.
        bindings: of its configuration.
        group: equal to that of runs that differ in the seed only.
        seconds: by phase.
        besides: seconds that no phase counts: pictures, tracking.
    """

    name: str
    bindings: dict[str, str]
    group: str
    seconds: dict[str, float]
    besides: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """How long runs take.

    Attributes:
        seconds: of each run, without pre-training; None where nothing like it was finished here.
        pretraining: seconds of its pre-training, where no stored model is found.
        based_on: names of the runs that were measured.
    """

    seconds: float | None
    pretraining: float = 0.0
    based_on: tuple[str, ...] = ()


def measured(root: Path) -> list[Measured]:
    """Finished runs in a folder of runs and in the sweeps and studies inside it, the latest first."""
    folders = [*all_runs(root)]
    if root.is_dir():
        folders += [run for path in sorted(root.iterdir()) if path.is_dir() for run in all_runs(path)]
    done: list[tuple[str, RunFolder]] = []
    for folder in folders:
        info = folder.info()
        if info.get("state") == "finished":
            done.append((str(info.get("finished", "")), folder))
    done.sort(key=lambda pair: pair[0], reverse=True)
    found = []
    for _, folder in done[:MOST]:
        info, bindings = folder.info(), identity.bindings(folder.config)
        seconds = {name: float(value) for name, value in info.get("seconds", {}).items()}
        besides = _between(info.get("created"), info.get("finished")) - sum(seconds.values())
        besides = besides if 0.0 < besides < LONGEST_BESIDES else 0.0  # more: it was stopped for a while
        found.append(Measured(folder.name, bindings, identity.group(bindings), seconds, besides))
    return found


def _between(first: object, last: object) -> float:
    """Seconds between two times in ISO format; 0 where one is none."""
    try:
        return (datetime.fromisoformat(str(last)) - datetime.fromisoformat(str(first))).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def estimate(run: SweepRun, known: Sequence[Measured]) -> Estimate:
    """How long one run takes: as long as runs of its configuration, else by steps per second of its method and task."""
    bindings = identity.bindings(config.load(run.gin, run.overrides).text)
    group = identity.group(bindings)
    peers = [one for one in known if one.group == group] or [
        one for one in known if all(one.bindings.get(name) == bindings.get(name) for name in PLACE)
    ]
    if not peers:
        return Estimate(None)
    online = median(
        _scaled(one, bindings, "online", STEPS) + _scaled(one, bindings, "final", EPISODES) + one.besides
        for one in peers
    )
    # a run that found its pre-trained model spent next to nothing on it: the longest is one that made it
    pretraining = max(_scaled(one, bindings, "pretrain", UPDATES) for one in peers)
    return Estimate(online, pretraining, tuple(one.name for one in peers))


def _scaled(one: Measured, bindings: dict[str, str], phase: str, binding: str) -> float:
    """Seconds of a phase, for as many steps as are wanted."""
    seconds, then, now = one.seconds.get(phase, 0.0), _number(one.bindings, binding), _number(bindings, binding)
    return seconds * now / then if then else seconds


def _number(bindings: dict[str, str], name: str) -> float:
    try:
        return float(bindings.get(name, "0"))
    except ValueError:
        return 0.0


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Seconds until all are done, in their order, so many at a time."""
    free = [0.0] * slots
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def open_runs(runs: Sequence[SweepRun]) -> list[SweepRun]:
    """Those that are not over."""
    return [run for run in runs if run.state() not in OVER]
