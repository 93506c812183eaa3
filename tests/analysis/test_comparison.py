"""Comparing runs: numbers by hand and by rliable itself, seeds, steps, differences, files."""

from __future__ import annotations

import csv
import json
import math
import re
import xml.etree.ElementTree
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rliable import library, metrics

from smbrl.analysis.comparison import align, comparison, groups, page, pictures, sources, statistics, tables
from smbrl.analysis.comparison.comparison import Settings
from smbrl.analysis.comparison.sources import Run, Selection
from smbrl.analysis.comparison.statistics import Bootstrap
from smbrl.errors import SmbrlError
from smbrl.registry import load_plugins
from smbrl.tracking.record import Columns
from smbrl.training import identity, published

QUICK = Bootstrap(reps=200)


def run(name, method, seed, values, *, task="Room", steps=None, metric="eval/success", bindings=None, **more):
    steps = steps if steps is not None else [100 * (i + 1) for i in range(len(values))]
    columns = Columns.of(
        {
            metric: [(s, v, 0.0) for s, v in zip(steps, values, strict=True)],
            "time/online_seconds": [(s, 0.5 * s, 0.0) for s in steps],
        }
    )
    found = {"Experiment.agent": f"@{method}", "Experiment.seed": str(seed), **(bindings or {})}
    return Run(
        name=name,
        experiment=task,
        task=task,
        method=method,
        seed=str(seed),
        tags={"method": method, "git": "abc"},
        bindings=found,
        state="finished",
        seconds={"online": 3600.0},
        metrics=frozenset(columns.names),
        load=lambda _: columns,
        **more,
    )


def fleet(task="Room", shift=0.0):
    rng = np.random.default_rng(0)
    return [
        run(f"{m}{s}{task}", m, s, np.clip(base + shift + 0.1 * np.arange(6) + 0.1 * rng.random(6), 0, 1), task=task)
        for m, base in (("skimo", 0.3), ("sac", 0.2), ("tdmpc", 0.0))
        for s in range(4)
    ]


# -- statistics ------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(5, 1), (3, 4), (2, 1), (9, 3)])
def test_point_estimates_are_rliables(shape):
    rng = np.random.default_rng(shape[0])
    x, y = rng.random(shape), np.round(rng.random((shape[0] + 1, shape[1])), 1)
    found, _ = statistics.judge(x, 0.8, np.array([0.5]), QUICK)
    assert found["iqm"].value == pytest.approx(metrics.aggregate_iqm(x))
    assert found["mean"].value == pytest.approx(metrics.aggregate_mean(x))
    assert found["optimality gap"].value == pytest.approx(metrics.aggregate_optimality_gap(x, gamma=0.8))
    over_tasks = metrics.aggregate_median(x)
    assert found["median"].value == pytest.approx(np.median(x) if shape[1] == 1 else over_tasks)
    assert statistics.iqm(x) == pytest.approx(metrics.aggregate_iqm(x))
    np.testing.assert_allclose(statistics.iqm(np.stack([x, 2 * x], -1)), np.array([1, 2]) * metrics.aggregate_iqm(x))
    assert statistics.probability(x, y) == pytest.approx(metrics.probability_of_improvement(x, y))
    assert statistics.probability(x, x) == pytest.approx(metrics.probability_of_improvement(x, x))


def test_intervals_are_those_of_rliable_called_directly_with_the_same_seed():
    x = np.random.default_rng(3).random((6, 2))
    levels = np.linspace(0, 1, 5)
    found, profile = statistics.judge(x, 1.0, levels, QUICK)

    def everything(scores):
        of = (
            metrics.aggregate_iqm(scores),
            metrics.aggregate_median(scores),
            metrics.aggregate_mean(scores),
            metrics.aggregate_optimality_gap(scores),
        )
        return np.concatenate([of, library.score_distributions(scores, levels)])

    np.random.seed(statistics.derive(0, "bootstrap") % 2**32)  # noqa: NPY002
    value, interval = library.get_interval_estimates({"x": x}, everything, reps=200)
    for place, name in enumerate(statistics.AGGREGATES):
        assert found[name].value == pytest.approx(value["x"][place])
        assert [found[name].low, found[name].high] == pytest.approx(list(interval["x"][:, place]))
    np.testing.assert_allclose(profile.value, value["x"][4:])
    np.testing.assert_allclose(profile.high, interval["x"][1, 4:])

    y = np.random.default_rng(4).random((3, 2))
    np.random.seed(statistics.derive(0, "bootstrap") % 2**32)  # noqa: NPY002
    value, interval = library.get_interval_estimates({"p": [x, y]}, metrics.probability_of_improvement, reps=200)
    ours = statistics.improvement(x, y, QUICK)
    assert ours.value[0] == pytest.approx(value["p"])
    assert [ours.low[0], ours.high[0]] == pytest.approx(interval["p"].ravel().tolist())
    assert ours.complement().value[0] == pytest.approx(metrics.probability_of_improvement(y, x))


def test_one_run_has_no_interval_and_drawing_leaves_the_global_generators_alone():
    found = statistics.estimate(np.array([[0.4]]), statistics.mean, QUICK)
    assert (float(found.value), math.isnan(found.low), math.isnan(found.high)) == (0.4, True, True)
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    statistics.estimate(np.array([[0.4], [0.6]]), statistics.mean, QUICK)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


# -- steps -----------------------------------------------------------------------------------------
def test_points_are_put_on_common_steps_by_hand():
    places = np.array([100.0, 200.0, 300.0, 400.0])
    # 90 and 140 are nearest to 100; nothing is nearest to 200: halfway between 140 (3) and 290 (6); 400 is too far off
    found = align.on_grid(np.array([90.0, 140.0, 290.0]), np.array([1.0, 3.0, 6.0]), places)
    np.testing.assert_allclose(found, [2.0, 3.0 + 3.0 * 60 / 150, 6.0, np.nan])
    late = align.on_grid(np.array([260.0, 400.0]), np.array([1.0, 2.0]), places)
    np.testing.assert_allclose(late, [np.nan, np.nan, 1.0, 2.0])


def test_runs_that_are_evaluated_a_few_steps_apart_share_their_places():
    curves = [
        align.Curve(np.array([0, 1000, 2000, 3000]) + off, np.arange(4.0), np.zeros(4)) for off in (5.0, 40.0, 90.0)
    ]
    places = align.grid(curves, 40)
    assert len(places) == 4
    for curve in curves:
        assert align.on_grid(curve.steps, curve.values, places).tolist() == [0, 1, 2, 3]


def test_the_first_point_at_a_level_is_where_it_is_reached():
    columns = run("a", "m", 0, [0.1, 0.95, 0.5, 1.0]).load([])
    curve = align.Curve.of(columns, "eval/success", 0.0)
    assert curve.reaches(0.9) == (200.0, 100.0)
    assert curve.reaches(1.1) == (math.inf, math.inf)


# -- groups and differences ------------------------------------------------------------------------
def test_runs_that_differ_in_nothing_but_the_seed_are_one_group():
    more = {"CEM.horizon": "5", "Tracking.name": "'x'"}
    runs = [
        run("a", "skimo", 0, [1.0], bindings=more),
        run("b", "skimo", 1, [1.0], bindings={**more, "Tracking.name": "'y'", "Pretraining.seed": "1"}),
        run("c", "skimo", 0, [1.0], bindings={**more, "CEM.horizon": "10"}),
        run("d", "sac", 0, [1.0]),
    ]
    found = groups.group(runs)
    assert [(g.label, len(g.runs)) for g in found] == [
        ("skimo CEM.horizon=5", 2),
        ("skimo CEM.horizon=10", 1),
        ("sac", 1),
    ]
    assert [g.label for g in groups.group(runs, ["method"])] == ["skimo", "sac"]
    assert [g.label for g in groups.group(runs, ["CEM.horizon"])] == [
        "CEM.horizon=5",
        "CEM.horizon=10",
        "CEM.horizon=—",
    ]
    assert [g.label for g in groups.group(runs, ["run"])] == ["a", "b", "c", "d"]
    with pytest.raises(SmbrlError, match=r"--by CEM\.horizn: no run has that binding; did you mean 'CEM\.horizon'\?"):
        groups.group(runs, ["CEM.horizn"])


def test_what_differs_is_told_settings_first_and_parts_in_one_line():
    cem = {"CEM.samples": "9", "CEM.elites": "3"}
    runs = [
        run("a", "skimo", 0, [1.0], bindings={**cem, "CEM.horizon": "5", "Online.batch": "64", "A.b": "1"}),
        run("b", "sac", 0, [1.0], bindings={"Online.batch": "128", "A.b": "1"}),
        run("c", "sac", 1, [1.0], bindings={"Online.batch": "128", "A.b": "1"}),
        run("d", "skimo", 0, [1.0], bindings={**cem, "CEM.horizon": "10", "Online.batch": "64", "A.b": "1"}),
    ]
    found = groups.differences(groups.group(runs))
    names = ["Experiment.agent", "Online.batch", "CEM.horizon", "CEM.samples", "CEM.elites"]
    assert [d.name for d in found] == names
    first, second = "skimo CEM.horizon=5", "skimo CEM.horizon=10"
    assert [(d.name, dict(d.values)) for d in groups.summarised(found)][1:] == [
        ("Online.batch", {first: "64", "sac": "128", second: "64"}),
        ("CEM.horizon", {first: "5", "sac": "—", second: "10"}),  # not hidden in the line of its part
        ("CEM.*", {first: "2 bindings", "sac": "—", second: "2 bindings"}),
    ]


@pytest.mark.parametrize(
    ("files", "task", "name"),
    [
        (["skimo_maze"], "Maze", "skimo"),
        (["gin/skimo_maze.gin", "ablations/no_cem", "budgets/smoke"], "Maze", "skimo + no_cem"),
        (["sac_pendulum"], "Pendulum-v1", "sac"),
        (["skimo_no_cem_kitchen_misaligned"], "KitchenMisaligned", "skimo_no_cem"),
        (["tdmpc_cartpole_swingup"], "dm_control/cartpole-swingup-v0", "tdmpc"),
        (["mine.gin"], "Maze", "mine"),
        (["maze"], "Maze", "maze"),
        ([], "Maze", "unnamed"),
    ],
)
def test_a_method_is_called_the_same_on_every_task(files, task, name):
    assert identity.method(files, task) == name


# -- selection -------------------------------------------------------------------------------------
def test_runs_are_chosen_by_every_criterion():
    runs = [run("a", "skimo", 0, [1.0], bindings={"CEM.horizon": "5"}), run("b", "sac", 0, [1.0], task="Hall")]
    assert Selection(methods=["SkiMo"]).of(runs) == runs[:1]
    assert Selection(tasks=["hall"], tags=["git=abc"]).of(runs) == runs[1:]
    assert Selection(where=["CEM.horizon=5.0"]).of(runs) == runs[:1]
    assert Selection(where=["Experiment.agent=@sac", "Experiment.agent=@skimo"]).of(runs) == runs
    going = replace(runs[0], state="running")
    assert Selection(finished=True).of([going, runs[1]]) == runs[1:]
    with pytest.raises(SmbrlError, match="none of 1 runs is finished"):
        Selection(finished=True).of([going])
    for wrong, says in (
        (Selection(methods=["skim"]), "no run has the method 'skim'; did you mean 'skimo'?"),
        (Selection(where=["CEM.horizon=6"]), "--where CEM.horizon=6: no run has that; known: 5"),
        (Selection(where=["CEM.horison=6"]), "did you mean 'CEM.horizon'?"),
        (Selection(tags=["git"]), "--tag 'git': expected NAME=VALUE"),
    ):
        with pytest.raises(SmbrlError, match=re.escape(says)):
            wrong.of(runs)


# -- the whole -------------------------------------------------------------------------------------
def test_a_comparison_of_three_methods_agrees_with_rliable():
    runs = fleet()
    found = comparison.compare(runs, Settings(bootstrap=QUICK))
    assert found.settings.metric == "eval/success"
    assert found.labels == ("skimo", "sac", "tdmpc")
    for label in found.labels:
        ends = np.array([[r.load([]).values("eval/success")[-1]] for r in runs if r.method == label])
        assert found.aggregates[label]["iqm"].value == pytest.approx(metrics.aggregate_iqm(ends))
        np.testing.assert_allclose(found.profiles[label].value, library.score_distributions(ends, found.levels))
    (task,) = found.tasks
    assert task.at == 600.0
    line = task.lines[0]
    each = np.array([r.load([]).values("eval/success") for r in runs if r.method == "skimo"])
    np.testing.assert_allclose(line.curve.value, [metrics.aggregate_iqm(column[:, None]) for column in each.T])
    assert line.hours == 1.0
    assert line.seconds.tolist() == [50, 100, 150, 200, 250, 300]


def test_scores_of_several_tasks_make_one_matrix_and_need_every_task():
    runs = [*fleet("Room"), *fleet("Hall", -0.1), run("x", "only_room", 0, [0.5] * 6)]
    found = comparison.compare(runs, Settings(bootstrap=QUICK))
    assert found.labels == ("skimo", "sac", "tdmpc")
    assert any("Not in the aggregates over all tasks, for they lack one: only_room" in text for text in found.remarks)
    matrix = np.stack([next(line.scores for line in task.lines if line.label == "sac") for task in found.tasks], 1)
    assert matrix.shape == (4, 2)
    assert found.aggregates["sac"]["median"].value == pytest.approx(metrics.aggregate_median(matrix))


def test_a_run_that_is_behind_shortens_its_group_and_says_so():
    runs = [run("a", "m", 0, [0.1, 0.2, 0.3, 0.4]), run("b", "m", 1, [0.3, 0.4]), run("c", "n", 0, [0, 0, 0, 0.1])]
    found = comparison.compare(runs, Settings(bootstrap=QUICK))
    assert found.tasks[0].at == 200.0
    assert found.tasks[0].lines[0].scores.tolist() == pytest.approx([0.2, 0.4])
    assert found.tasks[0].lines[1].steps.tolist() == [100, 200, 300, 400]
    assert any(text.startswith("b (m on Room, finished) ends at 200") for text in found.remarks)
    with pytest.raises(SmbrlError, match=r"--at 400: on Room all runs have eval/success up to 200 env steps"):
        comparison.compare(runs, Settings(at=400.0, bootstrap=QUICK))


@pytest.mark.parametrize(
    ("logged", "chosen"),
    [
        ([{"eval/success": 0.5, "eval/return": 1.0}], "eval/success"),
        ([{"eval/success": 0.0, "eval/return": 1.0}], "eval/return"),
        ([{"eval/subtasks": 2.0, "eval/success": 0.5}], "eval/subtasks"),
        ([{"eval/subtasks": 2.0, "eval/success": 0.5}, {"eval/success": 0.5}], "eval/success"),
        ([{"train/success": 0.0, "train/return": 3.0}], "train/return"),
    ],
)
def test_without_a_metric_the_most_telling_one_is_taken(logged, chosen):
    runs = []
    for place, row in enumerate(logged):
        columns = Columns.of({name: [(1, value, 0.0)] for name, value in row.items()})
        one = run(str(place), "m", place, [1.0])
        runs.append(replace(one, metrics=frozenset(row), load=lambda _, found=columns: found))
    assert comparison.default_metric(runs) == chosen


def test_every_published_task_is_one_of_ours():
    titles = {info.name for info in load_plugins().of_kind("task")}
    for task in published.load("paper", load_plugins()).tasks.values():
        assert set(task.titles) <= titles


def test_a_seed_that_is_there_twice_is_told_and_runs_of_one_name_stay_apart():
    runs = [run("a", "m", 0, [0.1, 0.2]), run("a", "m", 0, [0.3, 0.4])]
    found = comparison.compare(runs, Settings(bootstrap=QUICK))
    assert "m on Room has a seed more than once, each counts as a run: a, a." in found.remarks
    apart = comparison.compare(runs, Settings(bootstrap=QUICK, by=["run"]))
    assert apart.all_labels == ["a", "a (2)"]


def test_returns_are_left_as_they_are_on_one_task():
    runs = [
        run(f"{m}{s}", m, s, [-900.0, v], metric="eval/return") for m, v in (("a", -150), ("b", -300)) for s in (0, 1)
    ]
    found = comparison.compare(runs, Settings(bootstrap=QUICK))
    assert (found.settings.metric, found.optimal) == ("eval/return", -150.0)
    assert found.aggregates["b"]["iqm"].value == -300.0
    assert found.aggregates["b"]["optimality gap"].value == 150.0
    assert found.tasks[0].level == pytest.approx(-900 + 0.9 * 750)
    assert [line.steps_to_level() for line in found.tasks[0].lines] == [200.0, math.inf]


def test_the_papers_values_stand_beside_the_method_of_the_same_name():
    paper = published.load("paper", load_plugins())
    runs = [
        run("a", "skimo_no_cem", 0, [0.1, 0.9], steps=[250_000, 500_000], task="Maze"),
        run("b", "x", 0, [0, 0], task="Maze", steps=[250_000, 500_000]),
    ]
    found = comparison.compare(runs, Settings(bootstrap=QUICK), paper)
    first, second = found.tasks[0].lines
    assert first.label == "SkiMo w/o CEM"
    assert first.published_at(500_000) == 0.80
    assert first.published_at(375_000) == pytest.approx(0.46)
    assert second.published is None
    other = [run("a", "skimo", 0, [1.0], task="Maze", metric="eval/return")]
    assert any("reports success on Maze" in t for t in comparison.compare(other, Settings(), paper).remarks)


def test_every_published_curve_is_of_a_known_method_and_in_order():
    paper = published.load("paper", load_plugins())
    assert {"maze", "kitchen", "kitchen_misaligned", "calvin"} <= set(paper.tasks)
    for task in paper.tasks.values():
        assert set(task.curves) <= set(paper.methods)
        for curve in task.curves.values():
            steps = [step for step, _ in curve]
            assert steps == sorted(set(steps))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "source is None"),
        ("source = 'x'\nsorce = 1", "unknown entry 'sorce'; did you mean 'source'"),
        ("source = 'x'\n[tasks.a]\nmetrics = 1", "metrics is 1; expected a list of texts"),
        ("source = 'x'\n[tasks.a]\nmetrics = ['m']\n[tasks.a.curves]\nb = [1]", "expected pairs"),
        ("source = ", "no TOML"),
    ],
)
def test_published_results_that_are_wrong_are_one_line(text, says):
    with pytest.raises(SmbrlError, match=re.escape(says)):
        published.parse("x", text, "x.toml")


# -- files -----------------------------------------------------------------------------------------
def test_the_page_is_whole_in_itself_and_what_is_in_it_cannot_break_it(tmp_path):
    runs = [*fleet(), run("</script>", "<b>&", 0, [0.1] * 6)]
    made = page.write(comparison.compare(runs, Settings(bootstrap=QUICK)), tmp_path / "report.html", "A <title>")
    text = made.read_text()
    assert not re.search(r"""(src|href)\s*=|https?://(?!www\.w3\.org/2000/svg)|@import|url\(""", text)
    assert text.count("</script>") == 2
    assert "A &lt;title&gt;" in text
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text).group(1))
    assert data["labels"] == ["skimo", "sac", "tdmpc", "<b>&"]
    assert len(data["tasks"][0]["lines"][0]["runs"]) == 4
    assert data["tasks"][0]["lines"][3]["low"] == [None] * 6


def test_pictures_and_csv_files_hold_what_was_found(tmp_path):
    found = comparison.compare(fleet(), Settings(bootstrap=QUICK))
    names = {path.name for path in pictures.draw(found, tmp_path)}
    assert names == {f"{n}.{e}" for n in ("curves", "aggregates", "profiles", "improvement") for e in ("png", "svg")}
    with Image.open(tmp_path / "curves.png") as image:
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    texts = "".join(xml.etree.ElementTree.parse(tmp_path / "curves.svg").getroot().itertext())
    assert "skimo (4 runs)" in texts
    assert [p.name for p in tables.write_csv(found, tmp_path)] == [
        "curves.csv",
        "scores.csv",
        "runs.csv",
        "differences.csv",
    ]
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    first = next(row for row in rows if (row["method"], row["statistic"]) == ("skimo", "iqm"))
    assert float(first["value"]) == pytest.approx(found.aggregates["skimo"]["iqm"].value)
    assert len(list(csv.DictReader((tmp_path / "curves.csv").open()))) == 18
    assert len(list(csv.DictReader((tmp_path / "runs.csv").open()))) == 12


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"smooth": 1.0}, "--smooth is 1 and --bins 40; expected a weight in [0, 1) and at least 2 bins"),
        ({"statistic": "avg"}, "--curve is 'avg'"),
        ({"bootstrap": Bootstrap(reps=5)}, "--reps is 5"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(arguments, says):
    with pytest.raises(SmbrlError, match=re.escape(says)):
        Settings(**arguments)


def test_a_metric_that_no_run_has_is_answered_with_the_closest():
    with pytest.raises(SmbrlError, match=r"no run has logged 'eval/sucess'; did you mean 'eval/success'\?"):
        comparison.compare(fleet(), Settings(metric="eval/sucess"))


def test_folders_of_runs_stand_for_their_runs(tmp_path, monkeypatch):
    for seed in (0, 1):
        folder = tmp_path / "runs" / f"r{seed}"
        folder.mkdir(parents=True)
        info = {
            "format": 1,
            "task": "Maze",
            "gin": ["skimo_maze"],
            "seed": seed,
            "state": "finished",
            "seconds": {"online": 2},
        }
        (folder / "run.json").write_text(json.dumps(info))
        (folder / "config.gin").write_text(f"Experiment.seed = {seed}\nCEM.horizon = \\\n    5\n")
        (folder / "metrics.jsonl").write_text('{"step": 1, "phase": "eval", "wall": 1.0, "eval/success": 0.5}\n')
    found = sources.from_folders([str(tmp_path / "runs"), str(tmp_path / "runs" / "r0")])
    assert [(r.name, r.method, r.seed, r.bindings["CEM.horizon"]) for r in found] == [
        ("r0", "skimo", "0", "5"),
        ("r1", "skimo", "1", "5"),
    ]
    assert len(groups.group(found)) == 1
    monkeypatch.setenv("SMBRL_RUNS", str(tmp_path / "nothing"))
    with pytest.raises(SmbrlError, match="there is no run in"):
        sources.from_folders([])
