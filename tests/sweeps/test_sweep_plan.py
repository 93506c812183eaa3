"""What a sweep runs: planned once, written down, gone on with, not mistaken for another."""

import json
import textwrap

import pytest

from smbrl.errors import SmbrlError
from smbrl.sweeps import plan as plans
from smbrl.sweeps import sweep as sweeps
from smbrl.sweeps.sweep import of_options

RATE = "LatentMPC.learning_rate=loguniform(1e-4, 1e-2)"


def made(folder, *gin, **options):
    plan = plans.obtain(of_options(gin or ("skimo_maze", "budgets/smoke"), **options), folder)
    plan.save()
    return plan


def test_a_plan_is_files_by_overlays_by_values_by_seeds(tmp_path):
    plan = made(
        tmp_path / "s",
        "skimo_maze,skimo_no_cem_maze",
        "budgets/smoke",
        overlays=["none", "ablations/raw_encoder"],
        seeds="0-1",
        grid=["SkiMoVAE.kl_weight=[1e-4, 1e-3]"],
        random=[RATE],
        samples=2,
    )
    assert len(plan.configurations()) == 2 * 2 * 2 * 2
    assert len(plan.runs) == 32
    first, last = plan.runs[0], plan.runs[-1]
    assert [run.seed for run in plan.runs[:16]] == [0] * 16  # first seeds first
    assert first.gin == ("skimo_maze", "budgets/smoke")
    assert last.gin == ("skimo_no_cem_maze", "budgets/smoke", "ablations/raw_encoder")
    assert first.overrides[0] == "SkiMoVAE.kl_weight=0.0001"
    drawn = [dict(run.values)["LatentMPC.learning_rate"] for run in plan.runs[:16]]
    assert drawn[:2] * 8 == drawn  # the same draws for all that are compared
    assert len(set(drawn)) == 2
    assert len({run.path for run in plan.runs}) == 32
    assert last.name.startswith("015-skimo_no_cem_maze-raw_encoder-kl_weight_0.001-learning_rate_")


def test_runs_are_children_of_one_mlflow_run_with_their_values_as_tags(tmp_path):
    plan = made(tmp_path / "beta", grid=["SkiMoVAE.kl_weight=[1e-3]"], overrides=["Tracking.tags={'idea': 'wide'}"])
    group, tags = plan.runs[0].overrides[-2:]
    assert group == f"Tracking.group={plan.title!r}"
    assert plan.title.startswith("beta ")
    assert "'values': 'SkiMoVAE.kl_weight=0.001'" in tags
    assert "'idea': 'wide'" in tags
    own = made(tmp_path / "own", overrides=["Tracking.group='mine'"])
    assert [text for text in own.runs[0].overrides if "group" in text] == ["Tracking.group='mine'"]


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = made(tmp_path / "s", seeds="0,3", random=[RATE], samples=3)
    again = plans.obtain(None, tmp_path / "s")
    assert again.runs == plan.runs
    assert again.sweep == plan.sweep
    written = json.loads((tmp_path / "s" / "sweep.json").read_text())["runs"][0]
    assert written["set"] == [*plan.runs[0].overrides]
    assert plans.obtain(
        of_options(["skimo_maze", "budgets/smoke"], seeds="0,3", random=[RATE], samples=3), tmp_path / "s"
    )


def test_another_sweep_is_not_taken_for_this_one(tmp_path):
    made(tmp_path / "s", seeds="0")
    with pytest.raises(SmbrlError, match=r"holds another sweep \(methods is .* choose another folder with --runs"):
        made(tmp_path / "s", seeds="0,1")
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "run.json").touch()
    with pytest.raises(SmbrlError, match="runs that are not a sweep's"):
        made(tmp_path / "runs")
    with pytest.raises(SmbrlError, match="there is no sweep in"):
        plans.obtain(None, tmp_path / "nothing")
    (tmp_path / "s" / "sweep.json").write_text("{")
    with pytest.raises(SmbrlError, match="cannot be read"):
        plans.obtain(None, tmp_path / "s")


def test_how_it_is_looked_at_does_not_make_it_another(tmp_path):
    made(tmp_path / "s")
    assert made(tmp_path / "s", metric="eval/return").sweep.metric == "eval/return"
    names = [
        of_options(["skimo_maze"], seeds=seeds, metric=metric).name
        for seeds, metric in (("0", ""), ("0", "m"), ("1", ""))
    ]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("sweep-skimo_maze-")


def test_two_processes_do_not_run_one_sweep(tmp_path):
    plan = made(tmp_path / "s")
    with plan.locked(), pytest.raises(SmbrlError, match="being run by another process"), plan.locked():
        pass


def test_configurations_that_come_to_the_same_are_named(tmp_path, caplog):
    made(
        tmp_path / "s",
        "skimo_maze",
        overlays=["none", "ablations/uniform_replay"],
        overrides=["Online.rewarded_share=0.25"],
    )
    assert "configurations 0 and 1 of the sweep are the same" in caplog.text


def test_a_file_says_the_same_as_options(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        textwrap.dedent(
            """
            about = "rates"
            gin = ["skimo_maze", "budgets/smoke"]
            set = ["Online.envs=2"]
            overlays = ["none", "ablations/no_cem"]
            seeds = [0, 1]
            samples = 3
            [grid]
            "SkiMoVAE.kl_weight" = [1e-4, 1e-3]
            [random]
            "LatentMPC.learning_rate" = "loguniform(1e-4, 1e-2)"
            """
        )
    )
    options = of_options(
        ["skimo_maze", "budgets/smoke"],
        ["Online.envs=2"],
        ["none", "ablations/no_cem"],
        "0-1",
        ["SkiMoVAE.kl_weight=[1e-4, 1e-3]"],
        [RATE],
        samples=3,
    )
    assert sweeps.load(path).runs_what() == options.runs_what()
    path.write_text('seeds = [0]\n[methods.A]\ngin = ["a"]\n[methods.B]\ngin = ["b"]\nset = ["X.y=1"]\nseeds = [4]\n')
    methods = sweeps.load(path).methods
    assert [(one.name, one.gin, one.overrides, one.seeds) for one in methods] == [
        ("A", ("a",), (), (0,)),
        ("B", ("b",), ("X.y=1",), (4,)),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gin = 'a'", "expected a list of texts"),
        ("gin = []", "gin is missing"),
        ("seeds = [0]", "expected either gin"),
        ("gin = ['a']\n[methods.A]\ngin = ['a']", "expected either gin"),
        ("gni = ['a']", "did you mean 'gin'"),
        ("gin = ['a']\nseeds = '0'", "seeds is '0'"),
        ("gin = ['a']\nsamples = -1", "samples is -1"),
        ("gin = ['a']\ngrid = 1", r"expected a table, \[grid\]"),
        ("gin = ['a']\n[grid]\n'A.b' = 1", "expected a list of values"),
        ("gin = ['a']\n[random]\n'A.b' = [1]", "expected a text"),
        ("gin = ['a']\n[random]\n'A.b' = 'uniform(0, 1)'", "not how often"),
        ("gin = ['a']\nsamples = 1", "nothing is random"),
        ("gin = ['a']\ndirection = 'up'", "direction is 'up'"),
        ("gin = [", "no TOML"),
    ],
)
def test_a_wrong_file_is_one_line(text, words, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(SmbrlError, match=words) as caught:
        sweeps.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": "0,x"}, "as in 0,1,2 or 0-4"),
        ({"seeds": "1,1"}, "given twice"),
        ({"seeds": "3-1"}, "no seed"),
        ({"overlays": ["a", "a"]}, "the overlay a is given twice"),
        ({"grid": ["A.b=[1]"], "random": ["A.b=uniform(0, 1)"], "samples": 1}, "A.b is swept twice"),
        ({"random": ["A.b=uniform(0, 1)"], "samples": 2, "trials": 2}, "give one of them"),
        ({"trials": 2}, "there are none"),
        ({"random": ["A.b=uniform(0, 1)"], "trials": 2}, "--metric"),
        ({"random": ["A.b=uniform(0, 1)"], "trials": 2, "metric": "m", "grid": ["C.d=[1, 2]"]}, r"C.d=choice\(1, 2\)"),
        ({"random": ["A.b=uniform(0, 1)"], "trials": 2, "metric": "m", "overlays": ["a", "b"]}, "one method"),
        ({"gin": ["a,,b"]}, "file name is missing"),
    ],
)
def test_wrong_options_are_one_line(options, words):
    with pytest.raises(SmbrlError, match=words):
        of_options(**{"gin": ["a"], **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grid": ["LatentMPC.learning_rat=[1]"]}, "did you mean 'learning_rate'"),
        ({"grid": ["LatentMPC.learning_rate=['a']"]}, "expected a float"),
        ({"random": ["CEM.horizon=uniform(1, 3)"], "samples": 1}, "expected an int"),
        ({"random": ["CEM.horizn=int(1, 3)"], "trials": 4, "metric": "eval/success"}, "did you mean 'horizon'"),
        ({"overlays": ["ablations/no_cm"]}, "no gin file"),
    ],
)
def test_a_wrong_binding_is_named_before_anything_is_written(options, words, tmp_path):
    with pytest.raises(SmbrlError, match=words):
        made(tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()
