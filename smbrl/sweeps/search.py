"""Search: Optuna's TPE chooses configurations; the objective is the mean over seeds of the metric's last value.

Every trial is a configuration of the plan, its seeds are its runs. The trials lie in ``optuna.db`` (SQLite) in the
sweep's folder; what was being tried when the sweep was stopped is finished when it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from smbrl.errors import SmbrlError
from smbrl.sweeps import results
from smbrl.sweeps.plan import Plan, SweepRun
from smbrl.sweeps.space import CHOICE, RANGES, Draw, written
from smbrl.training.jobs import Job
from smbrl.training.work import Audience, Handle, Outcome

DATABASE = "optuna.db"
TRIAL = "configuration"
"""Attribute of a trial: the number of its configuration."""


def import_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        SmbrlError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise SmbrlError(
            f"--optuna needs Optuna, which cannot be imported ({error}): pip install 'smbrl[optuna]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Search(Audience):
    """Adds a configuration whenever there is room, and tells Optuna what came of it.

    Args:
        plan: to be added to.
        inner: is told, too.
    """

    def __init__(self, plan: Plan, inner: Audience) -> None:
        self._optuna = import_optuna()
        self._plan, self._inner = plan, inner
        self._space = {one.name: self._distribution(one) for one in plan.sweep.random}
        storage = self._optuna.storages.RDBStorage(f"sqlite:///{(plan.folder / DATABASE).absolute()}")
        study = self._optuna.create_study(
            study_name=plan.title, storage=storage, direction=plan.sweep.direction, load_if_exists=True
        )
        # a sampler keeps nothing between two sittings: the same seed would make it suggest the same values again
        self._seed = plan.sweep.sample_seed + len(study.trials)
        study.sampler = self._optuna.samplers.TPESampler(seed=self._seed, multivariate=True, constant_liar=True)
        self._study = study
        self._trials: dict[int, int] = {}
        self._failed: set[SweepRun] = set()
        self._catch_up()

    def begun(self, job: Job, resumed: bool) -> None:
        """See ``Audience``."""
        self._inner.begun(job, resumed)

    def look(self, running: Mapping[Job, Handle]) -> None:
        """See ``Audience``."""
        self._inner.look(running)

    def over(self, job: Job) -> None:
        """See ``Audience``."""
        self._inner.over(job)
        assert isinstance(job, SweepRun)
        if job.state() != "finished":
            self._failed.add(job)
        self._tell(job.configuration)

    def ended(self, job: Job, outcome: Outcome | None) -> None:
        """See ``Audience``: the last seed of a configuration makes its trial complete."""
        self._inner.ended(job, outcome)
        assert isinstance(job, SweepRun)
        if outcome is not None and not outcome.again:
            if outcome.state != "finished":
                self._failed.add(job)
            self._tell(job.configuration)

    def more(self) -> Sequence[Job]:
        """See ``Audience``: the runs of another configuration."""
        plan = self._plan
        if len(plan.configurations()) >= plan.sweep.trials:
            return ()
        trial = self._study.ask(self._space)
        values = tuple((one.name, _gin(one, trial.params[one.name])) for one in plan.sweep.random)
        added = plan.add(plan.sweep.methods[0], plan.sweep.overlays[0], values)
        plan.save()
        trial.set_user_attr(TRIAL, added[0].configuration)
        self._trials[added[0].configuration] = trial.number
        return added

    def _catch_up(self) -> None:
        """Put trials and configurations together again."""
        running = self._optuna.trial.TrialState.RUNNING
        values = {number: dict(members[0].values) for number, members in self._plan.configurations().items()}
        for trial in self._study.get_trials(deepcopy=False):
            number = trial.user_attrs.get(TRIAL)
            if number is None and trial.state == running:  # stopped in the instant between the two
                wanted = {one.name: _gin(one, trial.params[one.name]) for one in self._plan.sweep.random}
                number = next((n for n, found in values.items() if found == wanted), None)
                if number is None:
                    self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
            if number is not None and trial.state == running:
                self._trials[int(number)] = trial.number
                self._tell(int(number))

    def _tell(self, number: int) -> None:
        """Tell Optuna, where all seeds of a configuration are over."""
        members = self._plan.configurations()[number]
        failed = [run for run in members if run in self._failed]
        open_ones = [run for run in members if run not in self._failed and run.state() != "finished"]
        if number not in self._trials or open_ones:
            return
        found = [results.last_value(run, self._plan.sweep.metric) for run in members if run not in self._failed]
        trial = self._trials.pop(number)
        if failed or any(math.isnan(value) for value in found):
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)  # a mean of fewer seeds is another thing
        else:
            self._study.tell(trial, sum(found) / len(found))

    def _distribution(self, one: Draw) -> Any:
        kinds = self._optuna.distributions
        if one.kind == CHOICE:
            return kinds.CategoricalDistribution(one.values)
        log = one.kind.startswith("log")
        if RANGES[one.kind] is int:
            return kinds.IntDistribution(int(one.low), int(one.high), log=log)
        return kinds.FloatDistribution(one.low, one.high, log=log)


def _gin(one: Draw, value: Any) -> str:
    """What Optuna chose, as gin source; rounded, for it is read and typed by people."""
    if one.kind == CHOICE:
        return str(value)
    return str(int(value)) if RANGES[one.kind] is int else written(value)
