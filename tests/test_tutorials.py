"""The tutorials in docs/ work: their files are written, their commands run, in order, in an empty folder.

Training is tiny (``smbrl.testing.tiny_run`` with the same gin files and overrides), and ``pip install -e`` is what it
amounts to: the project announced on the import path.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from smbrl_cli import main
from test_scaffold import installed

from smbrl import registry as registry_module
from smbrl.registry import Registry
from smbrl.testing import tiny_run

__all__ = ["installed"]
DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("own-environment", "own-data", "own-encoder", "own-loss")
SMALL = {"own-environment": ["Gymnasium.time_limit=30"], "own-data": ["Maze.time_limit=60"]}
"""Overrides that make a page's run tiny."""
MAZE = ["Maze.trajectories=8", "Maze.time_limit=60"]
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNS: list[str] = []


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Language, title and text of each code block."""
    return [match.groups("") for match in BLOCK.finditer((DOCS / f"{page}.md").read_text(encoding="utf-8"))]


def smbrl(*arguments: str) -> None:
    registry_module._load.cache_clear()
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert not end.value.code, arguments


def execute(command: str, page: str, install: Callable[[Path], Registry]) -> None:
    """Do what a command of the page does."""
    words = [word for word in shlex.split(command) if word != "PYTHONPATH=."]
    match words:
        case ["smbrl", "train", *arguments]:
            gins = [value for flag, value in itertools.pairwise(arguments) if flag == "--gin"]
            overrides = [value for flag, value in itertools.pairwise(arguments) if flag == "-o"]
            RUNS.append(command)
            registry_module._load.cache_clear()
            summary = tiny_run(gins, Path(f"run{len(RUNS)}"), [*SMALL.get(page, MAZE), *overrides], home=Path("home"))
            assert summary.results["updates"] > 0
        case ["smbrl", *arguments]:
            smbrl(*arguments)
        case ["pip", "install", "-e", project]:
            install(Path(project).resolve())
        case ["pytest", project]:
            (path,) = (Path(project) / "tests").glob("test_*.py")
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            module.test_it_keeps_its_contract()
            folder = Path(f"{project}-test")
            folder.mkdir()
            module.test_it_trains(folder.resolve())
        case ["python", script]:
            runpy.run_path(script)
        case other:
            raise AssertionError(f"the page uses {other}, which this test does not run")


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMBRL_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("lever", "rings", "smooth"):
            del sys.modules[name]


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_works(page: str, installed: Callable[[Path], Registry]) -> None:
    for language, title, text in blocks(page):
        if language == "console":
            for line in text.splitlines():
                assert line.startswith("$ ")
                execute(line[2:], page, installed)
        else:
            assert title, f"{page}: a block of {language} without a file name"
            Path(title).parent.mkdir(parents=True, exist_ok=True)
            Path(title).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_about_a_screen(page: str) -> None:
    lines = (DOCS / f"{page}.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 75
    assert max(map(len, lines)) <= 125
