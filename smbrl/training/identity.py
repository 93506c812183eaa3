"""What a run is: its method, its configuration without what only tells seeds apart, the group that it belongs to.

Lists of runs, MLflow's tags and ``smbrl compare`` all take it from here, so that they agree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

SEEDS = ("Experiment.seed", "Pretraining.seed")
"""Bindings that tell the seeds of one configuration apart."""
ASIDE = ("Experiment.device", "Experiment.threads", "Experiment.compile", "Tracking.", "Checkpoints.")
"""Bindings (or beginnings of their names) that change where and how a run is computed and stored, not what."""
SCALE = "budgets"
"""Folder of overlays that say how much is computed: no part of a method's name."""


def bindings(config: str) -> dict[str, str]:
    """The bindings of a complete configuration in canonical form (``Config.text``): name -> gin source."""
    found: dict[str, str] = {}
    name = ""
    for line in config.splitlines():
        if line[:1] not in ("", " ", "#", "\t") and " = " in line:
            name, _, value = line.partition(" = ")
            name = name.strip()
            found[name] = value.strip().rstrip("\\").strip()
        elif name and line[:1] in (" ", "\t"):
            found[name] += " " + line.strip().rstrip("\\").strip()
    return {name: value.strip() for name, value in found.items()}


def task(info: Mapping[str, Any], found: Mapping[str, str]) -> str:
    """The title of a run's task; runs from before tasks had titles say the class's name, whose ``id`` tells more."""
    name = str(info.get("task", "?"))
    return found.get(f"{name}.id", name).strip("'\"")


def essence(found: Mapping[str, str]) -> dict[str, str]:
    """The bindings that make a configuration: seeds, devices and bookkeeping aside."""
    return {name: value for name, value in found.items() if name not in SEEDS and not name.startswith(ASIDE)}


def method(files: Sequence[str], task: str) -> str:
    """The name of a method, the same for every task: ``skimo + no_cem`` of skimo_maze and ablations/no_cem.

    Args:
        files: the gin files of the command, in order; those in a folder ``budgets`` do not count.
        task: its title; a first file that ends with it loses that end.
    """
    stems = [PurePath(name).stem for name in files if PurePath(name).parent.name != SCALE]
    if not stems:
        return "unnamed"
    plain = re.sub(r"[^a-z0-9]", "", re.sub(r"-v\d+$", "", task.rpartition("/")[2].lower()))
    words = stems[0].split("_")
    for count in range(1, len(words)):
        if "".join(words[count:]).lower() == plain:  # kitchen_misaligned is KitchenMisaligned
            stems[0] = "_".join(words[:count])
            break
    return " + ".join(stems)


def group(found: Mapping[str, str]) -> str:
    """A short hash of ``essence``: equal for the seeds of one configuration, and only for them."""
    text = "\n".join(f"{name} = {value}" for name, value in sorted(essence(found).items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def tags(info: Mapping[str, Any]) -> dict[str, str]:
    """What a run can be found by, from its ``run.json``; absent entries are left out."""
    files, task = info.get("gin") or [str(info.get("config", ""))], str(info.get("task", ""))
    found = {"method": info.get("method") or method(files, task)}
    names = ("task", "agent", "seed", "git", "dataset", "data_hash", "device", "device_name", "precision")
    found |= {name: info[name] for name in (*names, "compiled", "threads", "phase") if info.get(name) not in (None, "")}
    found |= {f"version.{name}": value for name, value in info.get("versions", {}).items()}
    return {name: str(value) for name, value in {**found, **info.get("tags", {})}.items()}
