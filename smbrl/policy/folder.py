"""An exported policy as a folder, and how it is read.

::

    model.safetensors   the networks that act and imagine
    policy.gin          the agent's parts and their settings: what they are rebuilt from
    spec.json           shapes, versions, where it comes from, how it was evaluated, hashes
    config.gin          the complete configuration of the run, to train it again
    README.md           the model card

Nothing here imports what trains, simulates or draws; of plugins only the modules with the agent's own parts.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gin
import gin.config
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

import smbrl
from smbrl import config
from smbrl.discovery import Source, named
from smbrl.errors import SmbrlError
from smbrl.interfaces import Agent, Part
from smbrl.nn.precision import resolve
from smbrl.policy.policy import Policy, task_spec
from smbrl.registry import Registry

FORMAT = 1
MODEL, PARTS, SPEC, CONFIG, CARD = "model.safetensors", "policy.gin", "spec.json", "config.gin", "README.md"
HASHED = (MODEL, PARTS)
logger = logging.getLogger("smbrl.policy")


@gin.configurable(module="smbrl.policy")
class ExportedPolicy:
    """The root of ``policy.gin``; no setting of a run belongs to it.

    Args:
        agent: reference to an agent, ``@LatentMPC``.
    """

    def __init__(self, agent: type[Agent]) -> None:
        self.agent = agent


def load(folder: str | Path, *, device: str = "cpu", precision: str = "", seed: int = 0) -> Policy:
    """Load an exported policy.

    Args:
        folder: what ``smbrl export`` wrote.
        device: cpu, cuda, cuda:N or auto.
        precision: of matrix products in networks: float32, bfloat16 or auto; "" takes that of the run, and so the
            run's actions.
        seed: of what is random in acting (a planner's samples).

    Raises:
        SmbrlError: it is no such folder, damaged or of a newer format, or a part of it is not installed here.
    """
    path = Path(folder)
    about = read_spec(path)
    files = {name: _checked(path / name, about["sha256"].get(name)) for name in HASHED}
    registry = Registry()
    for part in about["parts"]:
        registry.add_part(_imported(part, path), Source(part["plugin"], part["distribution"], part["version"]))
    if registry.problems:
        raise SmbrlError(f"{path} cannot be loaded: {registry.problems[0]}")
    with _gin_of_its_own(), torch.random.fork_rng(devices=[]):
        text = files[PARTS].decode()
        build = config.load_text(text, label=str(path / PARTS), registry=registry, root=ExportedPolicy).build()
        agent: Agent = build.agent(task_spec(about))
        agent.prepare(resolve(device, precision or about["precision"]))
        if about["phase"] == "online":
            agent.start_online()
    try:
        tensors = load_tensors(files[MODEL])
    except SafetensorError as error:
        raise SmbrlError(f"{path / MODEL} cannot be read ({error}): export the run again") from error
    _take(agent, tensors, about["left_out"], path)
    return Policy(agent, about, seed=seed)


def read_spec(path: Path) -> dict[str, Any]:
    """What ``spec.json`` says.

    Raises:
        SmbrlError: it is not there, or is none.
    """
    try:
        about = json.loads((path / SPEC).read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "is no exported policy: it has no" if path.is_dir() else "does not exist: there is no"
        raise SmbrlError(f"{path} {what} {SPEC}; smbrl export RUN writes such a folder") from None
    except (OSError, ValueError) as error:
        raise SmbrlError(f"{path / SPEC} cannot be read ({named(error)}): export the run again") from error
    found = about.get("format") if isinstance(about, dict) else None
    if not isinstance(found, int):
        raise SmbrlError(f"{path / SPEC} is not that of an exported policy: it has no format")
    if found > FORMAT:
        raise SmbrlError(
            f"{path} has format {found}, written by smbrl {about.get('smbrl', '?')}; this is smbrl "
            f"{smbrl.__version__}, which reads up to format {FORMAT}: update smbrl"
        )
    return dict(about)


def _checked(path: Path, expected: str | None) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SmbrlError(f"{path} cannot be read ({error.strerror}): export the run again") from error
    if sha256(data) != expected:
        raise SmbrlError(f"{path} is not what was exported (its hash differs): copy the folder or export it again")
    return data


def sha256(data: bytes) -> str:
    """The hash that ``spec.json`` records."""
    return hashlib.sha256(data).hexdigest()


def _imported(part: Mapping[str, str], path: Path) -> type[Part]:
    """The class of a part. Its plugin as a whole is not loaded, and neither is any other."""
    name, module, owner = part["name"], part["module"], f"{part['distribution']} {part['version']}".strip()
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise SmbrlError(
                f"{path} needs {name} of the plugin {owner}, which is not installed here: "
                f"pip install {part['distribution']}"
            ) from error
        raise SmbrlError(f"{path} needs {name} of {owner}, which cannot be imported: {named(error)}") from error
    except AttributeError as error:
        raise SmbrlError(f"{path} needs {name} of {owner}: the installed {module} has none; install {owner}") from error
    except Exception as error:  # whatever a plugin raises while it is imported
        raise SmbrlError(f"{path} needs {name} of {owner}, which cannot be imported: {named(error)}") from error
    kind: type[Part] = found
    return kind


@contextmanager
def _gin_of_its_own() -> Iterator[None]:
    """gin's bindings are global; those of whoever loads a policy stay as they are."""
    stores = [gin.config._CONFIG, gin.config._OPERATIVE_CONFIG, gin.config._SINGLETONS]
    before, locked = [dict(store) for store in stores], gin.config_is_locked()
    gin.config._set_config_is_locked(False)
    try:
        yield
    finally:
        for store, content in zip(stores, before, strict=True):
            store.clear()
            store.update(content)
        gin.config._set_config_is_locked(locked)


def _take(agent: Agent, tensors: dict[str, Tensor], left_out: list[str], path: Path) -> None:
    """Put the tensors into the agent. What was left out becomes NaN: whoever reads it shall notice."""
    own = agent.state_dict()
    for name in [*own, *tensors]:
        if name in left_out and name in own and name not in tensors:
            if own[name].is_floating_point():
                own[name].fill_(float("nan"))
        elif name not in own or name not in tensors or own[name].shape != tensors[name].shape:
            found = tuple(tensors[name].shape) if name in tensors else "not there"
            expected = tuple(own[name].shape) if name in own else "unknown"
            raise SmbrlError(
                f"{path / MODEL} does not fit the installed parts: {name} is {found} there and {expected} here; "
                f"install the versions that {SPEC} names"
            )
    agent.load_state_dict({**own, **tensors})
    agent.requires_grad_(False)
