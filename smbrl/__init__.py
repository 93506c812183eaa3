"""smbrl: skill-based model-based reinforcement learning, as parts that gin puts together."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smbrl.policy import Policy

__version__ = version("smbrl")


def load(folder: str | Path, *, device: str = "cpu", precision: str = "", seed: int = 0) -> Policy:
    """Load a policy that ``smbrl export`` wrote; see ``smbrl.policy.load``.

    ::

        policy = smbrl.load("folder")
        policy.reset()
        action = policy.act(observation)
    """
    from smbrl.policy import load as load_policy  # torch, only where it is needed

    return load_policy(folder, device=device, precision=precision, seed=seed)
