"""smbrl bench measures what a run would do, without doing it."""

import pytest

from smbrl import config
from smbrl.benchmark import RELEASE, estimate, run

SMALL = [
    "LatentMPC.hidden=16",
    "LatentMPC.latent=16",
    "SkiMoVAE.hidden=16",
    "SkiMoVAE.latent=16",
    "CEM.samples=8",
    "CEM.iterations=1",
    "CEM.elites=4",
    "Pretraining.batch=4",
    "Online.batch=4",
    "Online.envs=2",
]


@pytest.fixture(scope="module")
def measured():
    experiment = config.load(["skimo_maze"], [*SMALL, "Experiment.threads=1"]).build()
    told: list[str] = []
    return experiment, run(experiment, 0.02, told.append), told


def test_measures_every_part_of_a_run(measured):
    _, found, told = measured
    names = {(row.name, row.size) for row in found.rows}
    assert {
        ("pre-training update", "4 windows"),
        ("online update", "4 windows"),
        ("decision", "1 environment"),
        ("decision", "2 environments"),
        ("low-level action", "1 environment"),
        ("environment step", "1 environment"),
    } <= names
    assert all(0 < row.best <= row.seconds for row in found.rows)
    assert found.peak_flops > 1e8
    assert found.memory > 50
    assert len(told) == len(found.rows) + 1


def test_ratio_is_the_releases_time_for_as_many_windows(measured):
    _, found, _ = measured
    row = next(row for row in found.rows if row.name == "online update")
    assert row.ratio == pytest.approx(412.0 / 128 * 4 / (1e3 * row.seconds))
    assert set(RELEASE) == {row.name for row in found.rows if row.ratio is not None}


def test_counts_the_products_of_an_update(measured):
    experiment, found, _ = measured
    row = next(row for row in found.rows if row.name == "pre-training update")
    # at least the low-level policy, forwards and backwards, in the states that are cloned
    policy = sum(w.numel() for n, w in experiment.agent.skills.policy.named_parameters() if n.endswith("weight"))
    cloned = 4 * experiment.agent.window * experiment.agent.skills.cloned_steps
    assert row.flops > 2 * 3 * 0.8 * cloned * policy


def test_estimate_grows_with_what_is_asked_for(measured):
    experiment, found, _ = measured
    phases = estimate(experiment, found)
    updates = experiment.pretraining.updates
    assert phases["pre-training"] == pytest.approx(updates * 4 * found.seconds("pre-training update"))
    assert set(phases) == {"pre-training", "acting", "online updates", "final evaluation, at most"}


def test_command_prints_a_table_and_an_estimate(capsys):
    from smbrl_cli.bench import command

    command(["skimo_maze"], [*SMALL, "Experiment.threads=1"], seconds=0.01)
    printed = capsys.readouterr().out
    assert "pre-training update" in printed
    assert "x release" in printed
    assert "the run will take about" in printed
