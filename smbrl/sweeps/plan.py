"""The runs of a sweep: made once, written to ``sweep.json`` in its folder, and from then on read from there.

So the same sweep goes on where it was, with the values that were drawn the first time, and another one is not taken
for it. A search adds its configurations one after the other.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from filelock import FileLock, Timeout

from smbrl import __version__, config
from smbrl.errors import SmbrlError
from smbrl.sweeps import space
from smbrl.sweeps.space import Values
from smbrl.sweeps.sweep import NONE, Sweep, of_plain, overlay_files, short
from smbrl.training import identity
from smbrl.training.jobs import Job
from smbrl.training.study import Method

NAME = "sweep.json"
FORMAT = 1
LONGEST_SLUG = 80
logger = logging.getLogger("smbrl.sweeps.plan")


@dataclass(frozen=True)
class SweepRun(Job):
    """One run of a sweep.

    Attributes:
        configuration: its number; runs of the same configuration are its seeds.
        method, overlay: that it is of.
        values: of the swept bindings.
    """

    configuration: int
    method: str
    overlay: str
    values: Values


class Plan:
    """The runs of a sweep.

    Args:
        sweep: what is wanted.
        folder: with the runs.
        runs: that there are so far.
    """

    def __init__(self, sweep: Sweep, folder: Path, runs: Sequence[SweepRun] = ()) -> None:
        self.sweep, self.folder = sweep, folder
        self.runs = list(runs)
        self._essences: dict[str, int] = {}

    @property
    def title(self) -> str:
        """The name of its parent run in MLflow: telling, and its own."""
        name = self.sweep.name
        return name if name == self.folder.name else f"{self.folder.name} {name.rpartition('-')[2]}"

    def configurations(self) -> dict[int, list[SweepRun]]:
        """The runs by configuration."""
        found: dict[int, list[SweepRun]] = {}
        for run in self.runs:
            found.setdefault(run.configuration, []).append(run)
        return found

    def add(self, method: Method, overlay: str, values: Values) -> list[SweepRun]:
        """One more configuration, checked; a run for each of its seeds.

        Raises:
            SmbrlError: what is wrong with it.
        """
        number = max((run.configuration for run in self.runs), default=-1) + 1
        files = (*method.gin, *overlay_files(overlay))
        overrides = [*method.overrides, *(f"{name}={value}" for name, value in values)]
        loaded = config.load(files, overrides)
        same = self._essences.setdefault(identity.group(identity.bindings(loaded.text)), number)
        if same != number:
            logger.warning(f"configurations {same} and {number} of the sweep are the same but for their names")
        overrides += self._tracking(loaded, number, overlay, values)
        stem = f"{number:03d}" + "".join(f"-{word}" for word in self._slug(method, overlay, values))
        made = [
            SweepRun(
                files, tuple(overrides), seed, self.folder / f"{stem}-s{seed}", number, method.name, overlay, values
            )
            for seed in method.seeds
        ]
        self.runs += made
        return made

    def example(self, place: int = 0) -> SweepRun:
        """A run like those of a search, which is not added: with the lower (0) or upper (-1) ends of the ranges.

        Raises:
            SmbrlError: what is wrong with its configuration.
        """
        values = tuple((one.name, _end(one, place)) for one in self.sweep.random)
        return Plan(self.sweep, self.folder).add(self.sweep.methods[0], self.sweep.overlays[0], values)[0]

    def _tracking(self, loaded: config.Config, number: int, overlay: str, values: Values) -> list[str]:
        """Bindings that put a run below the sweep in MLflow; a group that the user has bound stays."""
        bound = loaded.value("Tracking.tags")  # its default is no value, but what makes one
        tags = {"sweep": self.title, "configuration": str(number), **(bound if isinstance(bound, dict) else {})}
        if values:
            tags["values"] = " ".join(f"{name}={value}" for name, value in values)
        if overlay != NONE:
            tags["overlay"] = overlay
        group = [] if loaded.value("Tracking.group") else [f"Tracking.group={self.title!r}"]
        return [*group, f"Tracking.tags={tags!r}"]

    def _slug(self, method: Method, overlay: str, values: Values) -> Iterator[str]:
        words = [method.name] if len(self.sweep.methods) > 1 else []
        words += [short(overlay_files(overlay)) or NONE] if len(self.sweep.overlays) > 1 else []
        words += [f"{name.rpartition('.')[2]}_{value}" for name, value in values]
        text = "-".join(re.sub(r"[^A-Za-z0-9.+_]+", "_", word).strip("_") for word in words)
        if text:
            yield text[:LONGEST_SLUG].rstrip("-_.")

    # -- its file ----------------------------------------------------------------------------------
    def save(self) -> None:
        """Write it, all or nothing.

        Raises:
            SmbrlError: it cannot be written.
        """
        runs = [
            {
                "name": run.name,
                "gin": [*run.gin],
                "set": [*run.overrides],
                "seed": run.seed,
                "configuration": run.configuration,
                "method": run.method,
                "overlay": run.overlay,
                "values": dict(run.values),
            }
            for run in self.runs
        ]
        made = {"format": FORMAT, "smbrl": __version__, "written": datetime.now(UTC).isoformat(timespec="seconds")}
        text = json.dumps({**made, "sweep": self.sweep.plain(), "runs": runs}, indent=1)
        path = self.folder / NAME
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            scratch = path.with_name(f".{NAME}.{os.getpid()}.tmp")
            with open(scratch, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except OSError as error:
            raise SmbrlError(f"cannot write {path} ({error.strerror}): choose another folder with --runs") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sweep for this process.

        Raises:
            SmbrlError: another process has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".sweep.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise SmbrlError(f"the sweep in {self.folder} is being run by another process: stop it first") from error
        try:
            yield
        finally:
            lock.release()


def make(sweep: Sweep, folder: Path) -> Plan:
    """The plan of a new sweep, every configuration checked. A search begins without runs.

    Raises:
        SmbrlError: the first configuration that is wrong, in one line.
    """
    plan = Plan(sweep, folder)
    if sweep.trials:  # the ends of the ranges are right or wrong before a search begins
        for place in (0, -1):
            plan.example(place)
        return plan
    for method in sweep.methods:
        for overlay in sweep.overlays:
            for fixed in space.combinations(sweep.grid):
                for drawn in space.samples(sweep.random, sweep.samples, sweep.sample_seed):
                    plan.add(method, overlay, (*fixed, *drawn))
    # the first seed of each configuration before the second of any, so that what is there early compares all
    turns: dict[int, list[SweepRun]] = {}
    for members in plan.configurations().values():
        for turn, run in enumerate(members):
            turns.setdefault(turn, []).append(run)
    plan.runs = [run for turn in turns.values() for run in turn]
    return plan


def _end(one: space.Draw, place: int) -> str:
    return one.values[place] if one.values else space.number_text(one, (one.low, one.high)[place])


def find(folder: Path) -> Plan | None:
    """The plan in a folder; None where there is none.

    Raises:
        SmbrlError: it cannot be read.
    """
    path = folder / NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SmbrlError(f"{path} cannot be read ({error}): the sweep's folder is damaged") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise SmbrlError(f"{path} is no plan of a sweep that this smbrl knows (format {FORMAT})")
    try:
        runs = [_run(folder, table) for table in raw["runs"]]
        return Plan(of_plain(raw["sweep"], str(path)), folder, runs)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SmbrlError(f"{path} lacks something ({error}): the sweep's folder is damaged") from error


def _run(folder: Path, table: dict[str, Any]) -> SweepRun:
    return SweepRun(
        tuple(table["gin"]),
        tuple(table["set"]),
        int(table["seed"]),
        folder / PurePath(table["name"]).name,
        int(table["configuration"]),
        str(table["method"]),
        str(table["overlay"]),
        tuple(table["values"].items()),
    )


def obtain(sweep: Sweep | None, folder: Path) -> Plan:
    """The plan that lies in a folder, or a new one; not yet written.

    Args:
        sweep: what is wanted; None: whatever the folder's plan says.
        folder: of the sweep.

    Raises:
        SmbrlError: there is a plan for something else; or none, and nothing is wanted; or runs that are no sweep's.
    """
    plan = find(folder)
    if plan is None:
        if sweep is None:
            raise SmbrlError(
                f"there is no sweep in {folder} to go on with: say what to run, with --gin or a .toml file"
            )
        if folder.is_dir() and any((path / "run.json").exists() for path in folder.iterdir()):
            raise SmbrlError(f"{folder} has runs that are not a sweep's: choose another folder with --runs")
        return make(sweep, folder)
    if sweep is not None:
        found, wanted = plan.sweep.runs_what(), sweep.runs_what()
        differing = [name for name in wanted if wanted[name] != found[name]]
        if differing:
            name = differing[0]
            raise SmbrlError(
                f"{folder} holds another sweep ({name} is {json.dumps(found[name])}, not {json.dumps(wanted[name])}): "
                f"choose another folder with --runs, or go on with it by: smbrl sweep --runs {shlex.quote(str(folder))}"
            )
        plan.sweep = sweep
    for run in plan.runs:
        run.check()
    return plan
