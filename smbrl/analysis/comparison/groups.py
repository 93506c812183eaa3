"""Seeds of one configuration together; what the configurations differ in, first of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smbrl.analysis.comparison.sources import Run
from smbrl.errors import SmbrlError, suggestion
from smbrl.training import identity

METHOD, RUN = "method", "run"
"""Ways to group besides bindings: by method whatever its settings, and each run alone."""
MOST_IN_LABEL = 3
ABOUT = ("git", "data_hash", "device_name", "precision", "version.torch")
"""Tags that may explain a difference as well as a binding does."""
ABSENT = "—"
Cell = tuple[str, tuple[str, ...]]
"""Task, and what runs are grouped by."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that count as seeds of one another.

    Attributes:
        label: how it is called, the same on every task.
        task: of its runs.
        runs: in the order they were found.
    """

    label: str
    task: str
    runs: tuple[Run, ...]

    def value(self, name: str) -> str:
        """The value of a binding or a tag; several of them where its runs differ."""
        values = {run.bindings.get(name, run.tags.get(name, ABSENT)) for run in self.runs}
        return " | ".join(sorted(values))


@dataclass(frozen=True)
class Difference:
    """A binding in which groups of one task differ.

    Attributes:
        task: whose groups.
        name: of the binding (or tag).
        values: by label; ABSENT where a group has no such part.
    """

    task: str
    name: str
    values: Mapping[str, str]

    @property
    def everywhere(self) -> bool:
        """Whether every group has a value: a setting that differs, not a part that only some have."""
        return ABSENT not in self.values.values()

    @property
    def settled(self) -> bool:
        """Whether the groups that have a value have the same: having the part is all the difference."""
        return len(set(self.values.values()) - {ABSENT}) == 1


def group(runs: Sequence[Run], by: Sequence[str] = ()) -> list[Group]:
    """Put runs together, in the order of their first ones.

    Args:
        runs: of any number of tasks.
        by: nothing: runs that differ in nothing but the seed; ``method``; ``run``: each alone; or names of bindings.

    Raises:
        SmbrlError: no run has such a binding.
    """
    known = {name for run in runs for name in run.bindings}
    for name in by:
        if name not in known and name not in (METHOD, RUN):
            raise SmbrlError(f"--by {name}: no run has that binding; {suggestion(name, {*known, METHOD, RUN})}")
    cells: dict[Cell, list[Run]] = {}
    for place, run in enumerate(runs):
        key = _key(run, by)
        if RUN in by:
            key = (*key, str(place))  # MLflow may know several runs by one name
        cells.setdefault((run.task, key), []).append(run)
    labels = _labels(cells, by)
    return [Group(labels[cell], cell[0], tuple(members)) for cell, members in cells.items()]


def _key(run: Run, by: Sequence[str]) -> tuple[str, ...]:
    if not by:
        return (run.method, identity.group(run.bindings))
    plain = {METHOD: run.method, RUN: run.name}
    return tuple(plain[name] if name in plain else run.bindings.get(name, ABSENT) for name in by)


def _labels(cells: Mapping[Cell, Sequence[Run]], by: Sequence[str]) -> dict[Cell, str]:
    """Short and telling: the method; where several configurations of one task share it, what they differ in too."""
    found: dict[Cell, str] = {}
    peers: dict[tuple[str, str], list[Run]] = {}
    for members in cells.values():
        peers.setdefault((members[0].task, members[0].method), []).append(members[0])
    for cell, members in cells.items():
        if by:
            values = [
                value if name in (METHOD, RUN) else f"{name}={value}" for name, value in zip(by, cell[1], strict=False)
            ]
            found[cell] = " ".join(values)
            continue
        first = members[0]
        rivals = peers[first.task, first.method]
        names = _differing([identity.essence(run.bindings) for run in rivals])
        # a binding that all have tells more than those of a part that only some have
        names = [name for name in names if all(name in run.bindings for run in rivals)] or names
        parts = [f"{name}={first.bindings[name]}" for name in names if name in first.bindings]
        more = f" and {len(parts) - MOST_IN_LABEL} more" if len(parts) > MOST_IN_LABEL else ""
        found[cell] = " ".join([first.method, *parts[:MOST_IN_LABEL]]) + more
    taken: dict[tuple[str, str], int] = {}
    for cell, label in list(found.items()):
        place = (cell[0], label)
        taken[place] = taken.get(place, 0) + 1
        if taken[place] > 1:
            found[cell] = f"{label} ({taken[place]})"
    return found


def _differing(tables: Sequence[Mapping[str, str]]) -> list[str]:
    """Names whose values are not the same in all tables, in the order of the tables."""
    names = dict.fromkeys(name for table in tables for name in table)
    return [name for name in names if len({table.get(name) for table in tables}) > 1]


def differences(groups: Sequence[Group]) -> list[Difference]:
    """The bindings in which groups of one task differ, those that every group has first; then what else differs."""
    found: list[Difference] = []
    for task in dict.fromkeys(group.task for group in groups):
        members = [group for group in groups if group.task == task]
        if len(members) < 2:
            continue
        names = dict.fromkeys(name for g in members for run in g.runs for name in identity.essence(run.bindings))
        rows = [Difference(task, name, {g.label: g.value(name) for g in members}) for name in [*names, *ABOUT]]
        rows = [row for row in rows if len(set(row.values.values())) > 1]
        found += sorted(rows, key=lambda row: (not row.everywhere, row.settled))
    return found


def summarised(found: Sequence[Difference]) -> list[Difference]:
    """Bindings of parts that only some groups have, and have alike, as one line for each part."""
    lines = [row for row in found if row.everywhere or not row.settled]
    parts: dict[tuple[str, str, tuple[bool, ...]], list[Difference]] = {}
    for row in found:
        if not row.everywhere and row.settled:
            having = tuple(value != ABSENT for value in row.values.values())
            parts.setdefault((row.task, row.name.rpartition(".")[0] or row.name, having), []).append(row)
    for (task, part, _), rows in parts.items():
        if len(rows) == 1:
            lines.append(rows[0])
        else:
            values = {
                label: ABSENT if value == ABSENT else f"{len(rows)} bindings" for label, value in rows[0].values.items()
            }
            lines.append(Difference(task, f"{part}.*", values))
    return lines
