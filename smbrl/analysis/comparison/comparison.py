"""Everything that is said about some runs with respect to one metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smbrl.analysis.comparison import align, groups, statistics
from smbrl.analysis.comparison.align import Curve
from smbrl.analysis.comparison.groups import Difference, Group
from smbrl.analysis.comparison.sources import Run
from smbrl.analysis.comparison.statistics import Bootstrap, Estimate
from smbrl.analysis.style import short
from smbrl.errors import SmbrlError, suggestion
from smbrl.training.published import Published

Floats = NDArray[np.float64]
SHARE = "success"
"""Last part of the name of metrics that are shares: 1 is the best there is."""
PARTS = "eval/subtasks"
FEW = 3
LEVELS = 60
"""Of a performance profile."""


@dataclass(frozen=True)
class Settings:
    """How runs are compared.

    Attributes:
        metric: what; "" takes completed sub-tasks of the evaluations where all runs have them, success where any run
            ever had some, else their return.
        by: how runs are grouped, see ``groups.group``.
        smooth: weight of each run's moving average, before anything else is done.
        bins: points of a curve at most.
        statistic: what curves show: iqm, mean or median.
        at: env steps at which runs are scored; None: the last that all of them have reached.
        level: that a run has to reach; None: 0.9 for shares of success, else nine tenths of the way from the lowest to
            the highest point of all curves of the task.
        optimal: no score counts for more in the optimality gap; None: 1 for shares of success, else the best score.
        bootstrap: of the intervals.
    """

    metric: str = ""
    by: Sequence[str] = ()
    smooth: float = 0.0
    bins: int = 40
    statistic: str = "iqm"
    at: float | None = None
    level: float | None = None
    optimal: float | None = None
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if not 0.0 <= self.smooth < 1.0 or self.bins < 2:
            raise SmbrlError(
                f"--smooth is {self.smooth:g} and --bins {self.bins}; expected a weight in [0, 1) and at least 2 bins"
            )
        if self.statistic not in statistics.STATISTICS:
            raise SmbrlError(f"--curve is {self.statistic!r}; {suggestion(self.statistic, statistics.STATISTICS)}")
        if self.bootstrap.reps < 100 or not 0.5 <= self.bootstrap.confidence < 1.0:
            raise SmbrlError(
                f"--reps is {self.bootstrap.reps} and --confidence {self.bootstrap.confidence:g}; expected at least "
                "100 resamples and a share from 0.5 to less than 1"
            )


@dataclass(frozen=True)
class Line:
    """One group on one task.

    Attributes:
        group: its runs.
        steps: of the curve ``(m,)``, as far as all of its runs have got.
        each: curves of the runs ``(runs, m)``.
        seconds: of online learning at ``steps``, mean over the runs; NaN where unknown.
        curve: the statistic over the runs at ``steps``.
        scores: of the runs at ``Task.at`` ``(runs,)``.
        reached: (steps, seconds) at which each run reaches ``Task.level``; infinite where it does not.
        final: mean over the runs of the final evaluation, NaN where no run has one.
        hours: wall time of a run, mean, all phases.
        published: (steps, values) of the paper's curve.
    """

    group: Group
    steps: Floats
    each: Floats
    seconds: Floats
    curve: Estimate
    scores: Floats
    reached: tuple[tuple[float, float], ...]
    final: float
    hours: float
    published: tuple[Floats, Floats] | None = None

    @property
    def label(self) -> str:
        """Of the group."""
        return self.group.label

    def steps_to_level(self) -> float:
        """Median over the runs; infinite where half of them never get there."""
        return float(np.median([steps for steps, _ in self.reached]))

    def hours_to_level(self) -> float:
        """Median over the runs, of online learning alone."""
        return float(np.median([seconds for _, seconds in self.reached])) / 3600.0

    def published_at(self, steps: float) -> float:
        """The paper's value at as many steps; NaN where it has none (its curve does not begin before, or ends)."""
        if self.published is None or not self.published[0][0] <= steps <= self.published[0][-1]:
            return math.nan
        return float(np.interp(steps, *self.published))


@dataclass(frozen=True)
class Task:
    """All groups on one task.

    Attributes:
        title: of the task.
        at: env steps of the scores.
        level: for ``Line.reached``.
        lines: the groups.
    """

    title: str
    at: float
    level: float
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Comparison:
    """Tables and pictures are made from this.

    Attributes:
        settings: with the metric that was chosen.
        tasks: curves and scores by task.
        labels: of groups that have every task, in order: those that aggregates are of.
        aggregates: by label, then iqm, median, mean, optimality gap.
        optimal: of the optimality gap.
        improvement: P(first beats second) for every ordered pair of labels.
        levels, profiles: performance profiles.
        differences: what the configurations differ in.
        remarks: what a reader has to know: how numbers were made, what was left out.
        source: of the published values.
    """

    settings: Settings
    tasks: tuple[Task, ...]
    labels: tuple[str, ...]
    aggregates: Mapping[str, Mapping[str, Estimate]]
    optimal: float
    improvement: Mapping[tuple[str, str], Estimate]
    levels: Floats
    profiles: Mapping[str, Estimate]
    differences: Sequence[Difference]
    remarks: Sequence[str]
    source: str = ""

    @property
    def all_labels(self) -> list[str]:
        """Every label, in order."""
        return list(dict.fromkeys(line.label for task in self.tasks for line in task.lines))


def compare(runs: Sequence[Run], settings: Settings, against: Published | None = None) -> Comparison:
    """Compare runs.

    Args:
        runs: of any tasks and methods.
        settings: how.
        against: published results, put beside the groups of the same method; their names are taken over.

    Raises:
        SmbrlError: no run has the metric, or has got as far as is asked for.
    """
    metric = settings.metric or default_metric(runs)
    having = [run for run in runs if metric in run.metrics]
    if not having:
        known = {name for run in runs for name in run.metrics}
        raise SmbrlError(f"no run has logged {metric!r}; {suggestion(metric, known)}")
    settings = Settings(**{**settings.__dict__, "metric": metric})
    remarks = []
    if len(having) < len(runs):
        without = ", ".join(run.name for run in runs if run not in having)
        remarks.append(f"Left out, for they have not logged {metric}: {without}.")
    found = groups.group(having, settings.by)
    if against is not None:
        found = _renamed(found, against)
    for group in found:
        seeds = [run.seed for run in group.runs]
        if len(set(seeds)) < len(seeds) and not settings.by:
            twice = ", ".join(run.name for run in group.runs if seeds.count(run.seed) > 1)
            remarks.append(f"{group.label} on {group.task} has a seed more than once, each counts as a run: {twice}.")
    titles = list(dict.fromkeys(group.task for group in found))
    tasks = [_task(title, [g for g in found if g.task == title], settings, against, remarks) for title in titles]
    labels, scores, optimal = _scores(tasks, settings, remarks)
    bootstrap = settings.bootstrap
    levels = _levels(scores)
    judged = {label: statistics.judge(scores[label], optimal, levels, bootstrap) for label in labels}
    pairs = {}
    for place, ours in enumerate(labels):
        for theirs in labels[place + 1 :]:
            pairs[ours, theirs] = statistics.improvement(scores[ours], scores[theirs], bootstrap)
            pairs[theirs, ours] = pairs[ours, theirs].complement()
    if any(len(line.scores) < FEW for task in tasks for line in task.lines):
        remarks.append(
            "Where there is one run, there is no interval; an interval from two runs is not more than their range. "
            "IQM leaves out the lowest and highest quarter of the runs: of fewer than four it is the mean."
        )
    return Comparison(
        settings,
        tuple(tasks),
        tuple(labels),
        {label: aggregates for label, (aggregates, _) in judged.items()},
        optimal,
        pairs,
        levels,
        {label: profile for label, (_, profile) in judged.items()},
        groups.differences(found),
        remarks,
        against.source if against else "",
    )


def default_metric(runs: Sequence[Run]) -> str:
    """Sub-tasks where all runs have them, success where any ever had some, else return; of evaluations, or training."""
    known = {name for run in runs for name in run.metrics}
    if all(PARTS in run.metrics for run in runs):
        return PARTS
    for phase in ("eval", "train"):
        name = f"{phase}/{SHARE}"
        if name in known and any(run.load([name]).values(name).any() for run in runs if name in run.metrics):
            return name
        if f"{phase}/return" in known:
            return f"{phase}/return"
    return f"eval/{SHARE}"


def _renamed(found: Sequence[Group], against: Published) -> list[Group]:
    """Groups under the names that the published results have for their methods, where only one goes by it."""
    names = {group: against.name_of(group.label) for group in found}
    return [Group(names[group] or group.label, group.task, group.runs) for group in found]


def _task(
    title: str, members: Sequence[Group], settings: Settings, against: Published | None, remarks: list[str]
) -> Task:
    metric = settings.metric
    records = {group: [run.load([metric, align.SECONDS, _final(metric)]) for run in group.runs] for group in members}
    curves = {g: [Curve.of(columns, metric, settings.smooth) for columns in records[g]] for g in members}
    everyone = [curve for group in members for curve in curves[group]]
    places = align.grid(everyone, settings.bins)
    each = {g: np.stack([align.on_grid(c.steps, c.values, places) for c in curves[g]]) for g in members}
    there = {g: np.isfinite(each[g]).all(0) for g in members}
    for group in members:
        if not there[group].any():
            raise SmbrlError(f"runs of {group.label} on {title} have no env steps in common: leave out the short ones")
        _tell_short(group, curves[group], title, remarks)
    common = np.flatnonzero(np.all([there[g] for g in members], axis=0))
    if not len(common):
        raise SmbrlError(f"the groups on {title} have no env steps in common: leave out the short ones")
    place = int(common[-1])
    if settings.at is not None:
        if settings.at > places[place] + (places[-1] - places[0]) / max(len(places) - 1, 1) / 2:
            raise SmbrlError(
                f"--at {settings.at:g}: on {title} all runs have {metric} up to {places[place]:,.0f} env steps"
            )
        place = int(common[np.abs(places[common] - settings.at).argmin()])
    level = settings.level
    if level is None:
        low = min(float(np.nanmin(each[g].mean(0))) for g in members)
        high = max(float(np.nanmax(each[g].mean(0))) for g in members)
        level = 0.9 if _share(metric) else low + 0.9 * (high - low)
    known = against.of_task(title) if against else None
    if against is not None and known is not None and metric.rpartition("/")[2] not in known.metrics:
        remarks.append(f"{against.name} reports {known.metrics[0]} on {title}, not {metric}: not drawn.")
        known = None
    lines = []
    for group in members:
        use = np.flatnonzero(there[group])
        points = known.curves.get(group.label) if known else None
        steps = places[use]
        seconds = [np.interp(steps, c.steps, c.seconds) if len(c.steps) else steps * np.nan for c in curves[group]]
        finals = [columns.last(_final(metric)) for columns in records[group]]
        hours = [sum(run.seconds.values()) / 3600.0 for run in group.runs if run.seconds]
        lines.append(
            Line(
                group,
                steps,
                each[group][:, use],
                np.mean(seconds, axis=0),
                statistics.estimate(
                    each[group][:, None, use], statistics.STATISTICS[settings.statistic], settings.bootstrap
                ),
                each[group][:, place],
                tuple(curve.reaches(level) for curve in curves[group]),
                float(np.nanmean(finals)) if np.isfinite(finals).any() else math.nan,
                float(np.mean(hours)) if hours else math.nan,
                (np.array([x for x, _ in points]), np.array([y for _, y in points])) if points else None,
            )
        )
    return Task(title, float(places[place]), float(level), tuple(lines))


def _final(metric: str) -> str:
    return f"final/{metric.rpartition('/')[2]}"


def _share(metric: str) -> bool:
    return metric.rpartition("/")[2] == SHARE


def _tell_short(group: Group, curves: Sequence[Curve], title: str, remarks: list[str]) -> None:
    """A seed that did not get as far as the others shortens its group's curve: say so."""
    ends = [curve.steps[-1] for curve in curves]
    for run, end in zip(group.runs, ends, strict=True):
        if end < 0.9 * max(ends):
            remarks.append(
                f"{run.name} ({group.label} on {title}, {run.state}) ends at {short(end)}, others of it at "
                f"{short(max(ends))}: the group's curve ends there."
            )


def _scores(
    tasks: Sequence[Task], settings: Settings, remarks: list[str]
) -> tuple[list[str], dict[str, Floats], float]:
    """Matrices ``(runs, tasks)`` of the groups that have every task, and the best that a score can be."""
    by_task = [{line.label: line.scores for line in task.lines} for task in tasks]
    labels = [label for label in by_task[0] if all(label in scores for scores in by_task)]
    left = [label for label in dict.fromkeys(name for s in by_task for name in s) if label not in labels]
    if left:
        remarks.append(f"Not in the aggregates over all tasks, for they lack one: {', '.join(left)}.")
    if not labels:
        raise SmbrlError("no method has runs on every task: compare them task by task, with --task")
    for task in tasks:
        text = f"Scores on {task.title}: {settings.metric} at {task.at:,.0f} env steps"
        if settings.at is None:
            shortest = min(task.lines, key=lambda line: line.steps[-1])
            longest = max(line.steps[-1] for line in task.lines)
            why = f", where {shortest.label} ends" if shortest.steps[-1] < 0.9 * longest else ""
            text += f", the last that all reach{why}"
        remarks.append(f"{text}.")
    low, span = np.zeros(len(tasks)), np.ones(len(tasks))
    if len(tasks) > 1 and not _share(settings.metric):
        for place, scores in enumerate(by_task):
            every = np.concatenate(list(scores.values()))
            low[place], span[place] = every.min(), max(float(np.ptp(every)), 1e-12)
        remarks.append("Over several tasks, scores are normalised: 0 is the lowest run of a task, 1 the highest.")
    found: dict[str, Floats] = {}
    for label in labels:
        rows = [scores[label] for scores in by_task]
        count = min(len(row) for row in rows)
        if any(len(row) > count for row in rows):
            remarks.append(
                f"{label} has {count} to {max(map(len, rows))} runs a task; the first {count} of each count."
            )
        found[label] = (np.stack([row[:count] for row in rows], 1) - low) / span
    best = max(float(scores.max()) for scores in found.values())
    optimal = settings.optimal
    if optimal is None:
        optimal = 1.0 if _share(settings.metric) or len(tasks) > 1 else best
    return labels, found, optimal


def _levels(scores: Mapping[str, Floats]) -> Floats:
    """Thresholds from just below the lowest score to the highest."""
    low = min(float(s.min()) for s in scores.values())
    high = max(float(s.max()) for s in scores.values())
    return np.linspace(low - 0.02 * max(high - low, 1e-9), high, LEVELS)
