"""What rliable says: aggregates with stratified-bootstrap intervals, probability of improvement, profiles.

Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, NeurIPS 2021. Scores are
matrices ``(runs, tasks)``; a resample draws runs with replacement, for each task on its own. rliable is imported where
it is first needed: that takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smbrl.errors import SmbrlError
from smbrl.training.seeding import derive, untouched_globals

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        reps: resamples.
        confidence: of an interval.
        seed: of the resampling.
    """

    reps: int = 2000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """A statistic (or several) with its interval; NaN bounds where a single run says nothing about other seeds."""

    value: Floats
    low: Floats
    high: Floats

    def complement(self) -> Estimate:
        """Of one minus the statistic."""
        return Estimate(1.0 - self.value, 1.0 - self.high, 1.0 - self.low)


def iqm(scores: Floats) -> Floats:
    """Interquartile mean over runs and tasks ``(runs, tasks, ...) -> (...)``; the mean where they are fewer than four.

    As ``rliable.metrics.aggregate_iqm`` for each of the last axes at once.
    """
    flat = np.sort(scores.reshape(scores.shape[0] * scores.shape[1], *scores.shape[2:]), axis=0)
    cut = len(flat) // 4
    return np.asarray(flat[cut : len(flat) - cut].mean(axis=0))


def mean(scores: Floats) -> Floats:
    """Mean over runs and tasks ``(runs, tasks, ...) -> (...)``."""
    return np.asarray(scores.mean(axis=(0, 1)))


def median(scores: Floats) -> Floats:
    """Median over tasks of the mean over runs, as rliable has it; of a single task the median over runs."""
    return np.asarray(np.median(scores[:, 0] if scores.shape[1] == 1 else scores.mean(axis=0), axis=0))


STATISTICS: dict[str, Callable[[Floats], Floats]] = {"iqm": iqm, "mean": mean, "median": median}
"""What a curve may show."""
AGGREGATES = ("iqm", "median", "mean", "optimality gap")


def judge(scores: Floats, optimal: float, levels: Floats, bootstrap: Bootstrap) -> tuple[dict[str, Estimate], Estimate]:
    """Aggregates and performance profile, from the same resamples.

    Args:
        scores: ``(runs, tasks)``.
        optimal: scores above it count as it.
        levels: of the profile ``(n,)``.
        bootstrap: of the intervals.

    Returns:
        IQM, median, mean, and by how much scores fall short of ``optimal`` on average (the optimality gap); the share
        of runs (over all tasks) that score above each level.
    """
    from rliable import metrics

    def all_of(x: Floats) -> Floats:
        # rliable's median is over tasks; of one task that would be the mean, and the median over runs is what is meant
        of_median = x.T if x.shape[1] == 1 else x
        aggregates = [
            metrics.aggregate_iqm(x),
            metrics.aggregate_median(of_median),
            metrics.aggregate_mean(x),
            metrics.aggregate_optimality_gap(x, gamma=optimal),
        ]
        return np.concatenate([aggregates, (x[..., None] > levels).mean(axis=(0, 1))])

    found = estimate(scores, all_of, bootstrap)
    count = len(AGGREGATES)
    aggregates = {n: Estimate(found.value[i], found.low[i], found.high[i]) for i, n in enumerate(AGGREGATES)}
    return aggregates, Estimate(found.value[count:], found.low[count:], found.high[count:])


def estimate(scores: Floats, statistic: Callable[[Floats], Floats], bootstrap: Bootstrap) -> Estimate:
    """A statistic of ``(runs, tasks, ...)`` with its percentile interval."""
    if scores.shape[0] == 1:
        value = np.asarray(statistic(scores), np.float64)
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    return _rliable({"scores": scores}, lambda x: np.atleast_1d(statistic(x)), bootstrap)


def improvement(ours: Floats, theirs: Floats, bootstrap: Bootstrap) -> Estimate:
    """P(a run of ours scores higher than one of theirs on the same task), ties counting half, mean over tasks.

    Args:
        ours: ``(runs, tasks)``.
        theirs: ``(other runs, tasks)``.
        bootstrap: of the interval; the two are resampled independently.
    """
    if ours.shape[0] == theirs.shape[0] == 1:
        value = np.atleast_1d(probability(ours, theirs))
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    return _rliable({"pair": [ours, theirs]}, lambda x, y: np.atleast_1d(probability(x, y)), bootstrap)


def probability(ours: Floats, theirs: Floats) -> Floats:
    """As ``rliable.metrics.probability_of_improvement`` (the Mann-Whitney U over the number of pairs), at once."""
    above = (ours[:, None] > theirs[None]) + 0.5 * (ours[:, None] == theirs[None])
    return np.asarray(above.mean(axis=(0, 1)).mean())


def _rliable(scores: dict[str, object], statistic: Callable[..., Floats], bootstrap: Bootstrap) -> Estimate:
    try:
        from rliable import library
    except (ImportError, TypeError) as error:  # TypeError: arch 7 beside pandas 3
        raise SmbrlError(f"rliable cannot be imported ({error}): pip install 'rliable>=1.2' 'pandas<3'") from error
    with untouched_globals():  # rliable draws from numpy's global state, whatever random_state it is given
        np.random.seed(derive(bootstrap.seed, "bootstrap") % 2**32)  # noqa: NPY002
        value, interval = library.get_interval_estimates(
            scores, statistic, reps=bootstrap.reps, confidence_interval_size=bootstrap.confidence
        )
    (name,) = scores
    return Estimate(np.asarray(value[name], np.float64), *np.asarray(interval[name], np.float64))
