"""What `smbrl plugin new` writes is complete: it is found, keeps its contract, its gin file is right, and it trains."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import gin
import pytest
from test_registry import distribute

from smbrl import registry as registry_module
from smbrl.errors import SmbrlError
from smbrl.interfaces import KINDS
from smbrl.registry import Registry, load_plugins
from smbrl.scaffold import write_plugin
from smbrl.testing import assert_conforms, tiny_run
from smbrl.testing.plugins import check_gin, chosen

Installed = Callable[[Path], Registry]
ROOT = Path(__file__).parent.parent


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """Announce a project to smbrl as an editable installation would, without pip."""
    before = set(sys.modules)

    def install(project: Path) -> Registry:
        about = tomllib.loads((project / "pyproject.toml").read_text())
        entries = about["project"]["entry-points"]["smbrl"]
        text = "[smbrl]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        distribute(project, about["project"]["name"], text, "0.1.0", about["project"]["dependencies"][0])
        monkeypatch.syspath_prepend(str(project))
        importlib.invalidate_caches()
        registry_module._load.cache_clear()
        return load_plugins()

    yield install
    registry_module._load.cache_clear()
    gin.clear_config()
    for name in set(sys.modules) - before:
        if name.startswith("my_idea"):
            del sys.modules[name]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_of_any_kind_works_at_once(kind: str, installed: Installed, tmp_path: Path) -> None:
    project = tmp_path / "my-idea"
    write_plugin("my-idea", kind, project, load_plugins())
    registry = installed(project)
    assert registry.problems == []
    ((state, parts),) = chosen("my-idea", registry)
    assert [info.kind for info in parts] == [kind]
    assert_conforms(parts[0].cls)
    gins = list(check_gin(state, registry))
    assert [(checked.name, checked.findings) for checked in gins] == [("my_idea", [])]
    alone = kind in ("agent", "task")
    files = ["my_idea"] if alone else ["skimo_maze", "my_idea"]
    name = parts[0].name
    small = {"agent": ["Gymnasium.time_limit=30"], "task": [f"{name}.trajectories=8", f"{name}.time_limit=60"]}
    summary = tiny_run(files, tmp_path / "run", small.get(kind, ["Maze.trajectories=8", "Maze.time_limit=60"]))
    assert summary.steps >= 300
    assert summary.results["updates"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_passes_the_linter(kind: str, tmp_path: Path) -> None:
    project = tmp_path / "my-idea"
    write_plugin("my-idea", kind, project, load_plugins())
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), str(project)]
    for command in (["check", "--no-cache", "--ignore", "I001"], ["format", "--no-cache", "--check"]):
        done = subprocess.run([*ruff, *command, *config], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("my-idea", "planer", "unknown kind 'planer': did you mean 'planner'"),
        ("My Idea", "planner", "'My Idea' is no name for a package: use lower-case words with hyphens"),
        ("class", "planner", "'class' is no name for a package"),
        ("numpy", "planner", "a Python package numpy is installed: choose another name"),
        ("plain", "heads", "a part PlainHeads exists"),
        ("sac-maze", "agent", "a gin file sac_maze exists"),
    ],
)
def test_a_wrong_name_is_one_line(name: str, kind: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SmbrlError, match=words):
        write_plugin(name, kind, tmp_path / "project", load_plugins())
    assert not (tmp_path / "project").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SmbrlError, match="exists and is not empty"):
        write_plugin("my-idea", "planner", tmp_path, load_plugins())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_pip_installs_it_and_its_own_tests_pass(tmp_path: Path) -> None:
    project = tmp_path / "my-idea"
    write_plugin("my-idea", "dynamics", project, load_plugins())
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, str(project)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    code = "import sys; from smbrl_cli import main; main()"
    for command in (
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        ["-c", code, "plugin", "check", "my-idea"],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "MyIdeaDynamics (dynamics): right" in done.stdout
