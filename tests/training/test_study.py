"""Studies: read, planned, run and gone on with."""

import sys

import pytest
from fake_runs import FAKE

from smbrl import config
from smbrl.errors import SmbrlError
from smbrl.registry import load_plugins
from smbrl.training import study as studies
from smbrl.training.folder import RunFolder
from smbrl.training.work import Processes, work

TEXT = """
about = "two methods"
metric = "train/success"
[budgets]
short = ["Online.steps=100"]
long = ["Online.steps=1000"]
[methods."A b"]
gin = ["a"]
seeds = [0, 1]
published = [[0, 0.0], [100, 0.5]]
[methods.C]
gin = ["c", "d"]
set = ["X.y=1"]
"""


@pytest.fixture
def study():
    return studies.parse("two", TEXT, "two.toml")


def jobs_of(study, root, budget=None):
    return studies.plan(study.chosen(()), study.overrides(budget)[1], root)


def test_first_seeds_come_before_second_ones(study, tmp_path):
    jobs = jobs_of(study, tmp_path)
    assert [job.path.name for job in jobs] == ["a_b-s0", "c-s0", "a_b-s1"]
    assert jobs[1].arguments() == [
        *("train", "--seed", "0", "--run-dir", str(tmp_path / "c-s0"), "--gin", "c", "--gin", "d"),
        *("--set", "X.y=1", "--set", "Online.steps=100"),
    ]


def test_budgets_are_names_or_env_steps(study):
    assert study.overrides(None) == ("short", ("Online.steps=100",))
    assert study.overrides("long")[1] == ("Online.steps=1000",)
    assert study.overrides("5_000") == ("5000", ("Online.steps=5000",))
    with pytest.raises(SmbrlError, match="did you mean 'short'"):
        study.overrides("shrt")


def test_runs_of_another_budget_are_not_taken_for_these(study, tmp_path):
    jobs = jobs_of(study, tmp_path)
    work(jobs[:1], Processes([sys.executable, "-c", FAKE]))
    jobs[0].check()
    with pytest.raises(SmbrlError, match="choose another folder with --runs"):
        jobs_of(study, tmp_path, "long")[0].check()


def test_a_run_that_somebody_holds_is_left_alone(study, tmp_path):
    jobs = jobs_of(study, tmp_path)
    work(jobs[:1], Processes([sys.executable, "-c", FAKE]))
    with RunFolder.open(jobs[0].path).locked():
        assert jobs[0].state() == "running"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[methods", "no TOML"),
        ("about = 'x'", "at least one"),
        ("[methods.A]\nseeds = [0]", "gin is missing"),
        ("[methods.A]\ngin = 'a'", "expected a list of texts"),
        ("[methods.A]\ngin = ['a']\nseeds = []", "seeds is"),
        ("[methods.A]\ngin = ['a']\npublished = [1]", "expected pairs"),
        ("[methods.A]\ngim = ['a']", "did you mean 'gin'"),
        ("abuot = 'x'\n[methods.A]\ngin = ['a']", "did you mean 'about'"),
        ("metric = 1\n[methods.A]\ngin = ['a']", "metric is 1; expected text"),
    ],
)
def test_a_wrong_study_is_one_line(text, words):
    with pytest.raises(SmbrlError, match=words) as caught:
        studies.parse("x", text, "x.toml")
    assert "\n" not in str(caught.value)


def test_an_unknown_study_names_the_closest(tmp_path):
    with pytest.raises(SmbrlError, match="did you mean 'maze'"):
        studies.load("mase", load_plugins())
    with pytest.raises(SmbrlError, match="cannot read"):
        studies.load(str(tmp_path / "no.toml"), load_plugins())


@pytest.mark.parametrize("name", sorted(studies.packaged(load_plugins())))
def test_every_configuration_of_a_packaged_study_is_right(name):
    study = studies.load(name, load_plugins())
    for budget in study.budgets:
        for method in study.methods:
            config.load(method.gin, [*method.overrides, *study.overrides(budget)[1]])
