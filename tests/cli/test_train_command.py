"""smbrl train, resume, runs: one SkiMo run in miniature, and what goes wrong in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from smbrl_cli import main

from smbrl.training.folder import RunFolder

Run = Callable[..., tuple[int, str, str]]

GIN = ("--gin", "skimo_maze", "--gin", "budgets/smoke")
TINY = (
    "Maze.trajectories=12",
    "Maze.time_limit=60",
    "Pretraining.updates=12",
    "Pretraining.batch=4",
    "Pretraining.validation_batch=4",
    "Online.steps=800",
    "Online.warmup_steps=400",
    "Online.batch=4",
    "Evaluation.every=0",
    "Evaluation.episodes=2",
    "CEM.samples=16",
    "CEM.policy_samples=4",
    "CEM.elites=4",
    "CEM.iterations=2",
    "Tracking.enabled=False",
)
SMALL = tuple(word for binding in TINY for word in ("-o", binding))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Store and runs of this file; the run ``first`` is in it once ``trained`` has been asked for."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("place")
        patch.setenv("SMBRL_HOME", str(root / "home"))
        patch.setenv("SMBRL_RUNS", str(root / "runs"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield root


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], place: Path) -> Run:
    """``run("train", ...)`` -> exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        out, err = capfd.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """A finished run."""
    with pytest.raises(SystemExit) as caught:
        main(["train", *GIN, *SMALL, "--seed", "7", "--device", "cpu", "--name", "first", "--quiet"])
    assert caught.value.code == 0
    return place / "runs" / "first"


def test_train_leaves_a_whole_run(trained: Path) -> None:
    info = json.loads((trained / "run.json").read_text())
    assert (info["state"], info["seed"], info["config"], info["threads"]) == ("finished", 7, "skimo_maze", 1)
    assert info["results"]["steps"] >= 800
    assert "Experiment.seed = 7" in (trained / "config.gin").read_text()
    assert "LatentMPC" in (trained / "operative.gin").read_text()
    assert (trained / "metrics.jsonl").exists()
    assert list((trained / "checkpoints").iterdir())


def test_the_next_seed_finds_the_model_and_says_what_came_out(trained: Path, run: Run) -> None:
    code, out, err = run("train", *GIN, *SMALL, "--seed", "8", "--device", "cpu", "--name", "second")
    assert code == 0, err
    assert "pre-training: found in" in err
    for words in ("success", "env steps", "first success" if "first success" in out else "time", "smbrl eval second"):
        assert words in out
    shutil.rmtree(trained.parent / "second")


def test_resuming_a_finished_run_says_what_came_out(trained: Path, run: Run) -> None:
    before = (trained / "metrics.jsonl").read_bytes()
    code, out, _ = run("resume", "first", "--quiet")
    assert code == 0
    assert "env steps" in out
    assert (trained / "metrics.jsonl").read_bytes() == before


def test_a_run_is_read_back_as_it_was_trained(trained: Path) -> None:
    from smbrl.training.load import load_run

    loaded, latest = load_run("first"), RunFolder(trained).checkpoints().latest()
    assert latest is not None
    assert (loaded.phase, loaded.step, loaded.experiment.seed) == ("online", latest.step, 7)
    saved = latest.state["phase"]["agent"]
    assert all(torch.equal(value, saved[name]) for name, value in loaded.agent.state_dict().items())
    assert len(loaded.replay_observations) == len(latest.state["phase"]["replay"]["rows"])


def test_runs_are_listed(trained: Path, run: Run) -> None:
    code, out, _ = run("runs")
    assert code == 0
    assert "first" in out
    assert "finished" in out
    rows = json.loads(run("runs", "--json")[1])
    assert [(row["name"], row["state"], row["seed"]) for row in rows] == [("first", "finished", 7)]


def test_a_killed_run_is_listed_as_killed(trained: Path, run: Run) -> None:
    shutil.copytree(trained, trained.parent / "dead")
    info = json.loads((trained / "run.json").read_text())
    (trained.parent / "dead" / "run.json").write_text(json.dumps({**info, "state": "running", "phase": "online"}))
    rows = {row["name"]: row["state"] for row in json.loads(run("runs", "--json")[1])}
    assert rows == {"first": "finished", "dead": "killed"}
    shutil.rmtree(trained.parent / "dead")


def test_a_damaged_checkpoint_is_a_warning_and_all_damaged_one_line(trained: Path, run: Run) -> None:
    copy = trained.parent / "copy"
    shutil.copytree(trained, copy)
    info = json.loads((trained / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**info, "state": "running"}))
    first, *_, last = sorted((copy / "checkpoints").iterdir())
    (last / "tensors.safetensors").write_bytes(b"no")
    code, _, err = run("resume", "copy", "--quiet")
    assert code == 0
    assert f"checkpoint {last} is damaged" in err
    (copy / "run.json").write_text(json.dumps({**info, "state": "running"}))
    for path in (copy / "checkpoints").iterdir():
        (path / "state.json").unlink()
    code, _, err = run("resume", "copy", "--quiet")
    assert code == 2
    assert "is whole; delete that folder" in err.splitlines()[-1]
    shutil.rmtree(copy)
    assert first != last


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("train", *GIN, "--device", "tpu"), "device is 'tpu'; known are auto, cpu, cuda and cuda:N"),
        (("train", *GIN, "--precision", "float16"), "precision is 'float16'"),
        (("train", *GIN, "--threads", "-2"), "Experiment.threads is -2"),
        (("train", *GIN, "--name", "a", "--run-dir", "b"), "--name and --run-dir both say where the run goes"),
        (("train", *GIN, "--name", "a/b"), "--name 'a/b' is no folder name: for a path use --run-dir"),
        (("train", *GIN, "--name", "first"), "is a run already: go on with smbrl resume"),
        (("train", *GIN, "--seed", "x"), "Invalid value for '--seed'"),
        (("train", *GIN, "-o", "Online.steps=-1"), "Online.steps is -1; it must be 0 or more"),
        (("train", *GIN, "-o", "Online.warmup_patience=5"), "Online.warmup_patience is 5"),
        (("train",), "Missing option '--gin'"),
        (("resume", "nobody"), "there is no run 'nobody' in"),
        (("resume", "firts"), "did you mean 'first'?"),
        (("resume", "/"), "/ is not a run: it has no run.json"),
        (("runs", "/nowhere"), "there is no folder /nowhere"),
    ],
)
def test_a_mistake_is_one_line(trained: Path, run: Run, arguments: tuple[str, ...], line: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert line in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert sorted(path.name for path in trained.parent.iterdir()) == ["first"], "nothing was made"


def test_a_checkpoint_of_another_network_is_one_line(trained: Path, run: Run) -> None:
    copy = trained.parent / "other"
    shutil.copytree(trained, copy)
    info = json.loads((trained / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**info, "state": "running"}))
    config = (copy / "config.gin").read_text()
    assert "LatentMPC.latent = 128" in config
    (copy / "config.gin").write_text(config.replace("LatentMPC.latent = 128", "LatentMPC.latent = 64"))
    code, _, err = run("resume", "other", "--quiet")
    assert code == 2
    assert "does not fit the agent: model.encoder" in err
    assert len(err.strip().splitlines()) == 1
    shutil.rmtree(copy)
