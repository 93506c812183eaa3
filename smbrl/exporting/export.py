"""Write a run's policy, skills and dynamics as one folder; ``smbrl.policy.folder`` says what is in it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

import smbrl
from smbrl import config
from smbrl.data import store
from smbrl.data.files import read_metadata
from smbrl.errors import SmbrlError
from smbrl.exporting.card import card
from smbrl.interfaces import Agent, TaskSpec
from smbrl.policy.folder import CARD, CONFIG, FORMAT, MODEL, PARTS, SPEC, ExportedPolicy, sha256
from smbrl.registry import PartInfo
from smbrl.tracking.record import read
from smbrl.training import identity, online
from smbrl.training.device import versions
from smbrl.training.folder import RunFolder
from smbrl.training.intervals import wilson
from smbrl.training.load import load_run

RESULTS = ("success", "return", "length", "subtasks", "episodes")
"""Of an evaluation, as metrics name them."""


def export(run: Path | str | RunFolder, path: Path, *, force: bool = False) -> dict[str, Any]:
    """Export a run as its last whole checkpoint has it.

    Args:
        run: its folder, its name, or ``last``.
        path: the folder to be.
        force: write into a folder that is not empty; files of an earlier export are replaced, others stay.

    Returns:
        What ``spec.json`` says.

    Raises:
        SmbrlError: there is no such run, it has no checkpoint, or the folder is not empty or cannot be written.
    """
    refuse_full(path, force)
    loaded = load_run(run, "cpu")
    return write(path, loaded.folder, loaded.agent, loaded.task.spec, phase=loaded.phase, step=loaded.step, force=force)


def refuse_full(path: Path, force: bool) -> None:
    """Raise where the folder to be holds something already."""
    if path.exists() and not path.is_dir():
        raise SmbrlError(f"{path} is a file; name a folder")
    if not force and path.is_dir() and any(path.iterdir()):
        raise SmbrlError(f"{path} is not empty: name another folder, or replace an earlier export there with --force")


def write(
    path: Path, folder: RunFolder, agent: Agent, spec: TaskSpec, *, phase: str, step: int, force: bool = False
) -> dict[str, Any]:
    """Write an agent as it is.

    Args:
        path: the folder to be.
        folder: of the run, for its configuration and its results.
        agent: of the run.
        spec: of its task.
        phase, step: in which the agent is, and how far.
        force: see ``export``.

    Returns:
        What ``spec.json`` says.

    Raises:
        SmbrlError: the folder is not empty or cannot be written.
    """
    refuse_full(path, force)
    loaded = config.load_text(folder.config, label=str(folder.path / CONFIG))
    reference, below, parts = loaded.below("Experiment", "agent")
    kept = tensors(agent)
    files = {MODEL: save(kept), PARTS: f"{ExportedPolicy.__name__}.agent = {reference}\n\n{below}".encode()}
    about = {
        "format": FORMAT,
        "smbrl": smbrl.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **_origin(folder),
        "phase": phase,
        "step": step,
        "observation": {"shape": [spec.observation], "dtype": "float32"},
        "action": {"shape": [spec.action], "dtype": "float32", "low": -1.0, "high": 1.0},
        "horizon": agent.horizon,
        "decision": agent.decision,
        "task_spec": asdict(spec),
        "precision": str(agent.compute.dtype).removeprefix("torch."),
        "parameters": sum(value.numel() for value in kept.values()),
        "bytes": len(files[MODEL]),
        "parts": [_part(info) for info in parts],
        "left_out": sorted(agent.state_dict().keys() - kept.keys()),
        "evaluation": _evaluation(folder, phase),
        "versions": versions(),
        "sha256": {name: sha256(data) for name, data in files.items()},
    }
    files |= {CONFIG: folder.config.encode(), CARD: card(about).encode()}
    files[SPEC] = (json.dumps(about, indent=1) + "\n").encode()  # last: without it the folder is no export
    _put(path, files)
    return about


def tensors(agent: Agent) -> dict[str, Tensor]:
    """What acting and imagining need, on the CPU."""
    left_out: Sequence[str] = agent.learning_only
    return {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in agent.state_dict().items()
        if not name.startswith(tuple(left_out))
    }


def _origin(folder: RunFolder) -> dict[str, Any]:
    """The run that it comes from."""
    info = folder.info()
    info = {**info, "task": identity.task(info, identity.bindings(folder.config))}
    tags = identity.tags(info)
    found = {name: tags.get(name, "") for name in ("method", "task", "agent", "git")}
    command = {"gin": info.get("gin", []), "overrides": info.get("overrides", [])}
    return {**found, "run": folder.name, "seed": info.get("seed"), **command, "data": _data(info)}


def _data(info: dict[str, Any]) -> dict[str, Any] | None:
    """The offline data: id, hash, how they came about, and their licence where it is known."""
    name = info.get("dataset")
    if not name:
        return None
    found: dict[str, Any] = {"id": name, "sha256": info.get("data_hash", ""), "source": "", "licence": ""}
    try:
        dataset = store.load(str(name))
        metadata = read_metadata(dataset.path / "data")
    except SmbrlError:  # it need not be here any more
        return found
    found["source"] = str(dataset.provenance.get("source", ""))
    found["licence"] = str(metadata.get("license") or metadata.get("licence") or "")
    return found


def _evaluation(folder: RunFolder, phase: str) -> dict[str, Any] | None:
    """How good it is: the run's final evaluation, or the last one while it was learning."""
    if phase != online.PHASE:
        return None
    results = folder.info().get("results") or {}
    if "success" in results:
        return _with_interval({"when": "final", **{name: results[name] for name in RESULTS if name in results}})
    columns = read(folder.metrics)
    if "eval/success" not in columns:
        return None
    metrics = {name: columns.last(f"eval/{name}") for name in RESULTS if f"eval/{name}" in columns}
    return _with_interval({"when": f"during training, at step {int(columns.steps('eval/success')[-1])}", **metrics})


def _with_interval(found: dict[str, Any]) -> dict[str, Any]:
    episodes = int(found.get("episodes", 0))
    return {**found, "episodes": episodes, "success_95": list(wilson(round(found["success"] * episodes), episodes))}


def _part(info: PartInfo) -> dict[str, str]:
    return {
        "name": info.name,
        "kind": info.kind,
        "module": info.cls.__module__,
        "plugin": info.plugin,
        "distribution": info.distribution,
        "version": info.version,
    }


def _put(path: Path, files: dict[str, bytes]) -> None:
    """Write files, each all or nothing, in their order."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            draft = path / f".{name}.{os.getpid()}.tmp"
            with open(draft, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path / name)
    except OSError as error:
        raise SmbrlError(f"cannot write {path} ({error.strerror}): make room, or name another folder") from error
