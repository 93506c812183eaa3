"""The table of a study, from records written by hand."""

import math

import pytest

from smbrl.analysis import reproduction
from smbrl.tracking.record import Record
from smbrl.training import study as studies
from smbrl.training.folder import RunFolder

TEXT = """
metric = "train/success"
[methods.A]
gin = ["a"]
seeds = [0, 1]
published = [[0, 0.0], [1000, 1.0]]
[methods.B]
gin = ["b"]
"""


@pytest.fixture
def study():
    return studies.parse("s", TEXT, "s.toml")


def run(job, values, state="finished", success=None):
    info = {"state": state, "phase": "online", "step": 100 * len(values), "seconds": {"online": 1800.0}}
    folder = RunFolder.create(job.path, "", info | {"success": success})
    record = Record(folder.metrics, print)
    for turn, value in enumerate(values):
        record.append({"train/success": value, "eval/success": value}, 100 * (turn + 1), "online")
    record.flush()


def test_a_table_by_hand(study, tmp_path):
    jobs = studies.plan(study.methods, (), tmp_path)
    assert reproduction.rows(study, study.methods, jobs) == []
    run(jobs[0], [0.0, 1.0, 1.0, 1.0], success=0.98)
    run(jobs[2], [0.0, 0.0, 1.0, 1.0], state="killed")
    (row,) = reproduction.rows(study, study.methods, jobs)
    first = 0.9**3 * (0.9 * 0.75) + 0.1 * (0.9**2 + 0.9 + 1)  # anchored at the mean of the first values
    second = 0.9**3 * (0.9 * 0.5) + 0.1 * (0.9 + 1)
    assert (row.runs, row.finished, row.steps, row.hours) == (2, 1, 400.0, 0.5)
    assert row.value == pytest.approx((first + second) / 2)
    assert row.spread == pytest.approx(abs(first - second) / 2)
    assert (row.evaluated, row.solved) == (0.98, 250.0)
    assert row.published == pytest.approx(0.4)
    assert row.best == (1.0, 1000.0)
    titles, (line,) = reproduction.table([row], study.metric)
    assert len(line) == len(titles)
    assert line[1] == "1 of 2"


def test_nothing_solved_and_nothing_published_is_left_blank(study, tmp_path):
    jobs = studies.plan(study.methods, (), tmp_path)
    run(jobs[1], [0.0, 0.0])
    (row,) = reproduction.rows(study, study.methods, jobs)
    assert math.isnan(row.solved)
    assert row.published is None
    line = reproduction.table([row], study.metric)[1][0]
    assert line[5:8] == ["", "", ""]


def test_writes_a_table_and_a_picture(study, tmp_path):
    jobs = studies.plan(study.methods, (), tmp_path)
    run(jobs[0], [0.0, 0.5, 1.0])
    run(jobs[1], [0.0, 0.0, 0.1])
    made = reproduction.write(study, study.methods, jobs, tmp_path / "out")
    assert [path.name for path in made] == ["report.md", "report.csv", "curves.png"]
    assert "| A | 1 |" in made[0].read_text()
    assert made[1].read_text().splitlines()[0].startswith("method,runs")
