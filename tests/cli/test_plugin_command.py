"""smbrl plugin: new, check, list."""

from __future__ import annotations

from pathlib import Path

import pytest
from smbrl_cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def test_new_writes_a_project_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("plugin", "new", "wild-guess", "--kind", "skill-model") == 0
    out = capsys.readouterr().out
    assert "wild-guess/wild_guess/skill_model.py" in out
    assert "pip install -e wild-guess; pytest wild-guess; smbrl train --gin skimo_maze --gin wild_guess" in out
    assert (tmp_path / "wild-guess" / "pyproject.toml").is_file()
    assert run("plugin", "new", "wild-guess", "--kind", "planner") == 2
    assert "wild-guess exists and is not empty" in capsys.readouterr().err


def test_check_runs_the_kit_over_a_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugin", "check", "CEM") == 0
    assert "CEM (planner): right" in capsys.readouterr().out


def test_check_builds_parts_as_gin_files_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugin", "check", "SkiMoVAE", "--gin", "skimo_maze", "-o", "SkiMoVAE.cloned_steps=2") == 0
    assert "SkiMoVAE (skill model): right" in capsys.readouterr().out
    assert run("plugin", "check", "PixelEncoder") == 2
    captured = capsys.readouterr()
    assert "PixelEncoder.shape is (64, 64, 3), 12288 numbers" in captured.out
    assert "error: 1 finding(s) about PixelEncoder: mend them" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("CEMM",), "no plugin or part 'CEMM' is installed: did you mean 'CEM'?"),
        (("CEM", "-o", "CEM.samples=3"), "--set needs a configuration to change"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plugin", "check", *arguments) == 2
    assert words in capsys.readouterr().err


def test_list_shows_who_offers_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugin", "list") == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.strip().startswith("builtin")]
    assert "smbrl" in line
    assert " ok " in line
    assert "CEM" in out
