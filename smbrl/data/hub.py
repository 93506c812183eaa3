"""Data sets by name: D4RL's own files, and Minari's, on this machine or on its hub."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from smbrl.data import download
from smbrl.errors import SmbrlError
from smbrl.interfaces import Progress

BASE = "http://rail.eecs.berkeley.edu/datasets/offline_rl/"
"""Where D4RL keeps its files."""
MIRRORS = "SMBRL_D4RL_MIRRORS"
"""Environment variable: base addresses to ask first, separated by spaces or commas."""
FILES = {
    "kitchen-mixed-v0": "kitchen/kitchen_microwave_kettle_bottomburner_light-v0.hdf5",
    "kitchen-partial-v0": "kitchen/kitchen_microwave_kettle_light_slider-v0.hdf5",
    "kitchen-complete-v0": "kitchen/mini_kitchen_microwave_kettle_light_slider-v0.hdf5",
    "maze2d-umaze-v1": "maze2d/maze2d-umaze-sparse-v1.hdf5",
    "maze2d-medium-v1": "maze2d/maze2d-medium-sparse-v1.hdf5",
    "maze2d-large-v1": "maze2d/maze2d-large-sparse-v1.hdf5",
}
"""D4RL's names and files, below the base address."""


def d4rl_files() -> dict[str, str]:
    """The known names; all of D4RL's where its package is installed and imports (extra ``d4rl``)."""
    try:
        # raises a plain Exception where the MuJoCo 2.1 binary is missing, and prints what else it misses
        urls: dict[str, str] = importlib.import_module("d4rl.infos").DATASET_URLS
    except Exception:
        return FILES
    return {name: str(url).removeprefix(BASE) for name, url in urls.items()} | FILES


def d4rl_folders() -> list[Path]:
    """Where D4RL's files may lie already: ``D4RL_DATASET_DIR``, else D4RL's default, then smbrl's own folder."""
    from smbrl.data.store import home

    chosen = os.environ.get("D4RL_DATASET_DIR")
    first = Path(chosen).expanduser() if chosen else Path.home() / ".d4rl" / "datasets"
    return [first, home() / "downloads" / "d4rl"]


def d4rl_file(
    name: str, *, mirrors: Sequence[str] = (), progress: Progress | None = None
) -> tuple[Path, dict[str, str | int]]:
    """One of D4RL's files by its name, downloaded the first time; and where it is from.

    It is looked for in D4RL's own cache first, and downloaded into ``D4RL_DATASET_DIR`` where that is set, else below
    smbrl's own folder. D4RL's base address is asked after the mirrors.

    Raises:
        SmbrlError: it cannot be had, or what is stored is damaged.
    """
    where = d4rl_files()[name]
    folders = d4rl_folders()
    cached = next((folder / Path(where).name for folder in folders if (folder / Path(where).name).is_file()), None)
    target = cached or folders[0 if os.environ.get("D4RL_DATASET_DIR") else 1] / Path(where).name
    if "://" in where:
        return target, download.fetch([where], target, progress=progress)
    bases = [*mirrors, *os.environ.get(MIRRORS, "").replace(",", " ").split(), BASE]
    return target, download.fetch([base.rstrip("/") + "/" + where for base in bases], target, progress=progress)


def minari_folder(name: str) -> Path:
    """A Minari data set by its id: Minari's own copy on this machine, downloaded from its hub where it has none.

    Raises:
        SmbrlError: it is neither here nor can it be downloaded.
    """
    import minari
    from minari.storage.datasets_root_dir import get_dataset_path

    folder = Path(get_dataset_path(name))
    if not folder.is_dir():
        try:
            minari.download_dataset(name)
        except ImportError as error:
            raise SmbrlError(
                f"Minari data set {name} is not in {folder.parent}, and Minari's hub needs a package: "
                'pip install "minari[hf]"'
            ) from error
        except Exception as error:  # whatever the hub's client raises without a network, or at an unknown name
            said = " ".join(str(error).split())[:160] or type(error).__name__
            raise SmbrlError(
                f"Minari data set {name} is not on this machine and cannot be downloaded ({said}): check the name and "
                "the connection, or import its folder"
            ) from error
    return folder
