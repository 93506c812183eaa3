"""smbrl eval, record, predict and doctor on a run of a small maze."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import gin
import numpy as np
import pytest
from PIL import Image
from smbrl_cli import main

import smbrl
from smbrl.analysis import report
from smbrl.policy.views import Skills
from smbrl.tracking.record import read
from smbrl.training.evaluate import evaluate
from smbrl.training.load import load_run
from smbrl.training.seeding import derive, generator

Run = Callable[..., tuple[int, str, str]]
SMALL = (
    "Maze.layout='medium'",
    "Maze.trajectories=12",
    "Maze.time_limit=150",
    "Pretraining.updates=4",
    "Pretraining.batch=8",
    "Pretraining.validation_share=0.2",
    "Pretraining.validation_batch=8",
    "Pretraining.validate_every=2",
    "Pretraining.log_every=2",
    "Online.steps=600",
    "Online.warmup_steps=300",
    "Online.update_every=100",
    "Online.updates=1",
    "Online.batch=8",
    "Online.log_every=150",
    "Evaluation.episodes=3",
    "Evaluation.every=300",
    "Evaluation.every_episodes=2",
    "LatentMPC.planner=None",
    "LatentMPC.hidden=32",
    "Tracking.enabled=False",
)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a finished run."""
    root = tmp_path_factory.mktemp("seeing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMBRL_HOME", str(root / "home"))
        patch.setenv("SMBRL_RUNS", str(root / "runs"))
        patch.setenv("SMBRL_NO_PLUGINS", "1")
        patch.chdir(root)
        overrides = [part for binding in SMALL for part in ("-o", binding)]
        with pytest.raises(SystemExit) as caught:
            main(["train", "--gin", "skimo_maze", "--gin", "budgets/smoke", *overrides, "--name", "small", "-q"])
        assert caught.value.code == 0
        yield root / "runs" / "small"
        gin.clear_config()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *arguments: call(capsys, *arguments)


def test_a_run_ends_with_its_pictures(trained: Path) -> None:
    names = {path.name for path in (trained / "plots").glob("*.png")}
    assert names == {
        "curve.png",
        "pretraining.png",
        "coverage.png",
        "value.png",
        "imagination.png",
        "prediction_error.png",
        "prediction_paths.png",
        "skills.png",
    }
    for path in (trained / "plots").glob("*.png"):
        with Image.open(path) as image:
            assert image.width >= 500
        assert path.stat().st_size <= 200_000


def test_eval_repeats_the_final_evaluation(trained: Path, run: Run) -> None:
    (path,) = (trained / "evaluations").glob("*-final-3.json")
    own = json.loads(path.read_text())
    path.unlink()
    code, out, err = run("eval", "small", "-n", "3")
    assert code == 0, err
    assert "95 % interval" in out
    assert "sub-tasks" not in out
    found = json.loads(path.read_text())
    assert "completed" not in found
    assert {**found, "created": "", "seconds": 0} == {**own, "created": "", "seconds": 0}
    record = read(trained / "metrics.jsonl")
    assert found["success"] == record.last("final/success")
    assert found["return"] == pytest.approx(record.last("final/return"))
    assert sum(found["lengths"]) / 3 == record.last("final/length")
    low, high = found["success_95"]
    assert low <= found["success"] <= high


def test_eval_with_a_seed_plays_other_episodes_the_same_each_time(trained: Path, run: Run) -> None:
    lengths = []
    for seed in ("1", "1", "2"):
        assert run("eval", str(trained), "-n", "2", "--seed", seed, "--policy")[0] == 0
        found = json.loads((trained / "evaluations" / f"step600-policy-seed{seed}-2.json").read_text())
        lengths.append((found["lengths"], found["returns"]))
    assert lengths[0] == lengths[1]


def test_predict_compares_with_a_flat_model(trained: Path, run: Run) -> None:
    code, out, err = run("predict", "small", "--steps", "60", "-n", "5", "--flat-updates", "3")
    assert code == 0, err
    assert "skill dynamics: mean" in out
    assert "flat model: mean" in out
    assert "60 steps" in out
    found = json.loads((trained / "plots" / "prediction.json").read_text())
    assert found["flat_updates"] == 3
    assert set(found["models"]) == {"skill dynamics", "flat model"}
    assert found["models"]["flat model"]["trajectories"] == 5
    assert found["models"]["flat model"]["error"]["60"]["mean"] > 0.0


def test_skills_are_embedded_beside_the_prior(trained: Path, run: Run) -> None:
    (trained / "plots" / "skills.png").unlink()
    code, out, err = run("skills", "small", "-n", "300")
    assert code == 0, err
    assert "95 % region has" in out
    assert str(trained / "plots" / "skills.png") in out
    assert (trained / "plots" / "skills.png").stat().st_size <= 200_000
    found = json.loads((trained / "plots" / "skills.json").read_text())
    assert (found["windows"], found["coloured_by"]) == (300, "direction")
    assert sum(found["explained"]) == pytest.approx(1.0, abs=0.01)
    assert 0.0 <= found["prior_covers"] <= 1.0


def test_skills_of_a_method_without_any_are_one_line(trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Skills, "of", lambda agent: None)
    code, _, err = run("skills", "small")
    assert code == 2
    assert err == "error: LatentMPC of run small has no skills learned from data: smbrl skills is for methods that " \
        "pre-train skills (SkiMo, SPiRL)\n"  # fmt: skip


def test_record_films_episodes(trained: Path, run: Run) -> None:
    code, out, err = run("record", "small", "-n", "2", "--seconds", "2")
    assert code == 0, err
    files = sorted((trained / "videos").glob("*.mp4"))
    assert [path.name for path in files] == ["step600-final-0.mp4", "step600-final-1.mp4"]
    assert all(str(path) in out for path in files)
    assert min(path.stat().st_size for path in files) > 2000


def test_an_exported_run_plays_its_final_evaluation_again(trained: Path, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "policy"
    code, out, err = run("export", "small", "--to", str(path))
    assert code == 0, err
    assert f"{path}  skimo on Maze, online step 600" in out
    assert {file.name for file in path.iterdir()} == {
        "model.safetensors", "policy.gin", "spec.json", "config.gin", "README.md"
    }  # fmt: skip
    loaded = load_run(trained)
    policy, seed = smbrl.load(path), loaded.experiment.seed
    policy.generator.manual_seed(derive(seed, "final", loaded.step))  # what the run's own evaluation drew from
    final = evaluate(
        loaded.agent,
        loaded.task,
        episodes=3,
        seed=derive(seed, "final"),
        generator=generator("cpu", seed, "final", loaded.step),
        step=loaded.step,
        trajectories=True,
    )
    assert final.trajectories is not None
    envs = [loaded.task.make() for _ in range(3)]
    resets = [env.reset(seed=derive(derive(seed, "final"), "episode", n) % 2**31)[0] for n, env in enumerate(envs)]
    obs = np.stack(resets)
    for step in range(int(final.lengths.min())):
        for number in range(3):
            np.testing.assert_array_equal(obs[number], final.trajectories[number][step])
        obs = np.stack([env.step(action)[0] for env, action in zip(envs, policy.act(obs), strict=True)])
    card, about = (path / "README.md").read_text(), json.loads((path / "spec.json").read_text())
    assert about["evaluation"]["episodes"] == 3
    assert about["evaluation"]["success"] == final.success
    assert f"| 3 | {final.success:.3f} |" in card
    assert about["data"]["sha256"] == json.loads((trained / "run.json").read_text())["data_hash"]
    assert about["data"]["sha256"] in card
    assert (path / "config.gin").read_text() == (trained / "config.gin").read_text()


def test_an_export_replaces_nothing_unasked(trained: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    code, _, err = run("export", "small", "--to", str(tmp_path))
    assert code == 2
    assert err == f"error: {tmp_path} is not empty: name another folder, or replace an earlier export there with " \
        "--force\n"  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    assert run("export", "small", "--to", str(tmp_path), "--force")[0] == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert smbrl.load(tmp_path).step == 600


def test_a_run_without_a_checkpoint_cannot_be_exported(trained: Path, run: Run, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("run.json", "config.gin"):
        (bare / name).write_bytes((trained / name).read_bytes())
    code, _, err = run("export", str(bare), "--to", str(tmp_path / "policy"))
    assert code == 2
    assert err == "error: run bare has no checkpoint yet: start it again with smbrl resume bare\n"
    assert not (tmp_path / "policy").exists()


def test_runs_are_compared_in_one_report(trained: Path, run: Run, tmp_path: Path) -> None:
    picture, out_folder = tmp_path / "compare.png", tmp_path / "out"
    code, out, err = run("compare", "small", "-m", "pretrain/bc", "-p", str(picture), "--out", str(out_folder))
    assert code == 0, err
    assert out.startswith("pretrain/bc on Maze")
    assert "skimo" in out
    assert [line for line in out.splitlines() if line.endswith("report.html")] == [str(out_folder / "report.html")]
    with Image.open(picture) as image:
        assert image.width == 768
    assert "skimo" in (out_folder / "runs.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "small", "-m", "train/sucess"), "no run has logged 'train/sucess'; did you mean 'train/success'?"),
        (("compare", "small", "--smooth", "1"), "--smooth is 1 and --bins 40"),
        (("compare", "small", "-m", "pretrain/bc", "--out", "/dev/null/x"), "cannot write to /dev/null/x"),
        (
            ("compare", "small", "--where", "Online.stepz=5"),
            "--where Online.stepz: no run has it; did you mean 'Online.steps'",
        ),
        (("compare", "small", "--mlflow", "sqlite:////nowhere/mlflow.db"), "cannot read runs from MLflow at"),
        (("eval", "smal"), "did you mean 'small'?"),
        (("eval", "small", "-n", "0"), "ask for at least 1"),
        (("eval", "small", "--planner"), "trained without a planner"),
        (("record", "small", "-n", "0"), "ask for at least 1 episode"),
        (("export", "smal"), "did you mean 'small'?"),
        (("export", "small", "--to", "/dev/null"), "/dev/null is a file; name a folder"),
        (("export", "small", "--to", "/dev/null/x"), "cannot write /dev/null/x (Not a directory)"),
        (("predict", "small", "--steps", "99999"), "no held-out trajectory has 99999 steps"),
        (("skills", "small", "-n", "5"), "--windows is 5; it must be at least 10"),
        (("predict", "small", "--flat-updates", "-1"), "--flat-updates is -1; it must be at least 0"),
    ],
)
def test_mistakes_are_one_line(trained: Path, run: Run, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert says in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_picture_that_fails_is_one_warning(trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Path]:
        raise RuntimeError("no paint")

    monkeypatch.setitem(report.PICTURES, "values", broken)
    code, out, err = run("eval", "small", "-n", "1", "--plots")
    assert code == 0
    assert [line for line in err.splitlines() if "no paint" in line] == [
        "warning: no picture of values: RuntimeError: no paint"
    ]
    assert "curve.png" in out
    assert "value.png" not in out


def test_predictions_need_the_data(trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path))
    for command in ("predict", "skills"):
        code, _, err = run(command, "small")
        assert code == 2
        assert "the offline data of Maze are not in the store" in err


def test_doctor_looks_at_everything(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SMBRL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    code, out, _ = run("doctor")
    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    assert all(line.split()[0] in ("ok", "warn", "fail") for line in lines)
    topics = [line.split()[1] for line in lines]
    for topic in ("python", "packages", "torch", "cpu", "memory", "cuda", "compiler", "rendering", "video"):
        assert topic in topics
    assert "no data set yet" in out
    assert "warn mlflow     http://127.0.0.1:9 does not answer" in out
    assert "secret" not in out
    assert code == 0
