"""A run that somebody wants: how it is called, how far it is, what brings it to its end.

Studies (``smbrl reproduce``) and sweeps (``smbrl sweep``) are lists of these; ``smbrl.training.work`` does them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smbrl.errors import SmbrlError
from smbrl.training.folder import CONFIG, INFO, RunFolder

State = Literal["waiting", "unfinished", "running", "failed", "diverged", "finished"]
SAID: tuple[State, ...] = ("finished", "failed", "diverged")
"""States that a run itself writes down as its last."""
OVER: tuple[State, ...] = ("finished", "diverged")
"""Nothing is left to do: a run whose numbers went wrong would go wrong in the same way again."""


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        gin, overrides: of ``smbrl train``.
        seed: of the run.
        path: of its folder.
    """

    gin: tuple[str, ...]
    overrides: tuple[str, ...]
    seed: int
    path: Path

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.path.name

    @property
    def log(self) -> Path:
        """What its processes print; beside its folder, because the folder is made by the run."""
        return self.path.with_name(self.path.name + ".log")

    def state(self) -> State:
        """How far it is. Not to be asked while a process that was just started may be opening the run."""
        if not (self.path / INFO).exists():
            return "waiting"
        folder = RunFolder.open(self.path)
        if folder.busy:
            return "running"
        said = folder.info().get("state")
        return next((state for state in SAID if state == said), "unfinished")

    def arguments(self, look: bool = False) -> list[str]:
        """Of the command that brings it to its end; ``look`` changes nothing, for those who only want to know."""
        if self.state() != "waiting":
            return ["resume", str(self.path)]
        if not look:
            self._clear()
        words = ["train", "--seed", str(self.seed), "--run-dir", str(self.path)]
        for file in self.gin:
            words += ["--gin", file]
        for override in self.overrides:
            words += ["--set", override]
        return words

    def _clear(self) -> None:
        """Remove the folder of a run that was killed before it had a run.json; it holds nothing else."""
        if self.path.is_dir() and all(path.name == CONFIG or path.name.startswith(".") for path in self.path.iterdir()):
            shutil.rmtree(self.path)

    def check(self) -> None:
        """Raise where what lies in its folder is another run.

        Raises:
            SmbrlError: it is.
        """
        if self.state() == "waiting":
            return
        info = RunFolder.open(self.path).info()
        found = (info.get("gin"), info.get("overrides"), info.get("seed"))
        expected = ([*self.gin], [*self.overrides], self.seed)
        if found != expected:
            raise SmbrlError(
                f"{self.path} was made from gin {found[0]}, overrides {found[1]}, seed {found[2]}, but now "
                f"{expected[0]}, {expected[1]}, {expected[2]} is wanted: choose another folder with --runs"
            )


def check(jobs: Iterable[Job]) -> None:
    """Look at folders that exist, and at the configuration of every run that is still to begin.

    Raises:
        SmbrlError: the first thing that is wrong, before an hour is spent.
    """
    from smbrl import config

    seen = set()
    for job in jobs:
        job.check()
        key = (job.gin, job.overrides)
        if key not in seen and job.state() == "waiting":
            config.load(job.gin, job.overrides)
        seen.add(key)
