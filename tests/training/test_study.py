"""Studies: read, planned, run and gone on with."""

import json
import os
import signal
import sys
import textwrap
import threading
import time

import pytest

from smbrl import config
from smbrl.errors import SmbrlError
from smbrl.registry import load_plugins
from smbrl.training import study as studies
from smbrl.training.folder import RunFolder

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
FAKE = textwrap.dedent(
    """
    import json, pathlib, sys
    words = sys.argv[1:]
    if words[0] == "train":
        folder = pathlib.Path(words[words.index("--run-dir") + 1])
        folder.mkdir(parents=True)
        gin = [words[i + 1] for i, w in enumerate(words) if w == "--gin"]
        over = [words[i + 1] for i, w in enumerate(words) if w == "--set"]
        seed = int(words[words.index("--seed") + 1])
        info = {"format": 1, "gin": gin, "overrides": over, "seed": seed, "calls": 0}
        (folder / "config.gin").write_text("")
    else:
        folder = pathlib.Path(words[1])
        info = json.loads((folder / "run.json").read_text())
    info["calls"] += 1
    # the run of method C breaks at its first attempt
    info["state"] = "failed" if "c" in info["gin"] and info["calls"] == 1 else "finished"
    (folder / "run.json").write_text(json.dumps(info))
    sys.exit(info["state"] == "failed")
    """
)


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


def test_what_fails_does_not_stop_the_rest_and_is_tried_again(study, tmp_path):
    jobs, told = jobs_of(study, tmp_path), []
    command = [sys.executable, "-c", FAKE]
    states = studies.work(jobs, command, 2, lambda job, what: told.append((job.path.name, what.split(",")[0])))
    assert list(states.values()) == ["finished", "failed", "finished"]
    assert ("c-s0", "failed") in told
    told.clear()
    assert set(studies.work(jobs, command, 1, lambda job, what: told.append((job.path.name, what))).values()) == {
        "finished"
    }
    assert told == [("c-s0", "resumed"), ("c-s0", "finished")]
    assert json.loads((tmp_path / "a_b-s0" / "run.json").read_text())["calls"] == 1


def test_nothing_new_begins_once_a_run_was_stopped(study, tmp_path):
    jobs, told = jobs_of(study, tmp_path), []
    stopped = FAKE.replace('sys.exit(info["state"] == "failed")', "sys.exit(130)")
    studies.work(jobs, [sys.executable, "-c", stopped], 1, lambda job, what: told.append((job.path.name, what)))
    assert told == [("a_b-s0", "started"), ("a_b-s0", "stopped")]


def test_a_termination_reaches_the_runs_which_save_themselves(study, tmp_path):
    jobs = studies.plan(study.methods, (), tmp_path)
    saving = (
        "import pathlib, sys, time\n"
        "path = pathlib.Path(sys.argv[sys.argv.index('--run-dir') + 1] + '.saved')\n"
        "try:\n    path.with_suffix('.begun').touch()\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    path.touch()\n    sys.exit(130)"
    )
    begun, saved = (jobs[0].path.with_name(jobs[0].path.name + end) for end in (".begun", ".saved"))

    def terminate():
        while not begun.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        studies.work(jobs[:2], [sys.executable, "-c", saving], 1, lambda job, what: None)
    assert saved.exists()
    assert not jobs[1].path.with_name(jobs[1].path.name + ".begun").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_runs_of_another_budget_are_not_taken_for_these(study, tmp_path):
    jobs = jobs_of(study, tmp_path)
    studies.work(jobs[:1], [sys.executable, "-c", FAKE], 1, lambda job, what: None)
    jobs[0].check()
    with pytest.raises(SmbrlError, match="choose another folder with --runs"):
        jobs_of(study, tmp_path, "long")[0].check()


def test_a_run_that_somebody_holds_is_left_alone(study, tmp_path):
    jobs = jobs_of(study, tmp_path)
    studies.work(jobs[:1], [sys.executable, "-c", FAKE], 1, lambda job, what: None)
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
