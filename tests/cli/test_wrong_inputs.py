"""docs/wrong-inputs.md tells the truth: every command in it is run, and says on stderr what the page says.

``SMBRL_UPDATE_DOCS=1 pytest tests/cli/test_wrong_inputs.py`` writes the present lines into the page.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from smbrl_cli import main

from smbrl import registry

PAGE = Path(__file__).parent.parent.parent / "docs" / "wrong-inputs.md"


def sections() -> list[tuple[str, list[str]]]:
    """Heading and console lines of each section."""
    found: list[tuple[str, list[str]]] = []
    inside = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            found.append((line[3:], []))
        elif line.startswith("```"):
            inside = line == "```console"
        elif inside:
            found[-1][1].append(line)
    return found


def execute(command: str) -> str:
    """What a command writes to stderr; ``printf``, ``mkdir``, ``rm`` and ``python -c`` are understood, else smbrl."""
    words = shlex.split(command)
    match words[0]:
        case "printf":
            text, target = words[1], Path(words[3])
            data = re.sub(r"\\(n|x[0-9a-f]{2})", lambda m: "\n" if m[1] == "n" else chr(int(m[1][1:], 16)), text)
            target.write_bytes(data.encode("latin-1"))
        case "mkdir":
            Path(words[1]).mkdir()
        case "rm":
            Path(words[1]).unlink()
        case "python":
            exec(words[2], {})  # python -c CODE: files that printf cannot make
        case "smbrl":
            registry._load.cache_clear()
            importlib.invalidate_caches()
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
                main(words[1:])
            return err.getvalue().strip().replace(str(Path.cwd()), "/home/me")
        case other:
            raise AssertionError(f"the page uses {other}, which this test does not run")
    return ""


def transcript(lines: list[str]) -> list[str]:
    """The console lines as they come out now."""
    result = []
    for line in lines:
        if line.startswith("$ "):
            result.append(line)
            result += execute(line[2:]).splitlines()
    return result


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, no runs, no data, and plugins only where the page makes them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMBRL_HOME", "home")
    monkeypatch.delenv("SMBRL_RUNS", raising=False)
    monkeypatch.setenv("SMBRL_NO_PLUGINS", "0")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)
    yield
    registry._load.cache_clear()
    for name in set(sys.modules) - modules:
        if name.startswith("acme"):
            del sys.modules[name]


@pytest.mark.timeout(120)  # nothing on the page may start a run
@pytest.mark.usefixtures("empty_machine")
@pytest.mark.parametrize(("heading", "lines"), sections(), ids=[heading for heading, _ in sections()])
def test_the_page_tells_the_truth(heading: str, lines: list[str]) -> None:
    now = transcript(lines)
    if os.environ.get("SMBRL_UPDATE_DOCS") == "1":
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(text.replace("\n".join(lines), "\n".join(now), 1), encoding="utf-8")
        return
    assert [stable(line) for line in now] == [stable(line) for line in lines]


def stable(line: str) -> str:
    """A line without what changes as smbrl grows: lists of what is known, line numbers in packaged files."""
    return re.sub(r"(smbrl:[\w/]+\.gin):\d+", r"\1", re.sub(r"known: [^()]*(\(\d+ more\))?", "known: ... ", line))


def test_the_page_has_enough_and_one_line_for_each() -> None:
    lines = [line for _, lines in sections() for line in lines]
    wrong = [line for line in lines if line.startswith(("error: ", "warning: "))]
    assert len(wrong) >= 60
    assert all(line.startswith(("$ ", "error: ", "warning: ")) for line in lines)
