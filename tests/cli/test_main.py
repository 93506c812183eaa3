"""The command line: a mistake is one line and exit code 2, and starting is cheap."""

from __future__ import annotations

import importlib
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import smbrl_cli
import typer
from smbrl_cli import COMMANDS, main

from smbrl import __version__
from smbrl.errors import SmbrlError

Run = Callable[..., tuple[int, str, str]]
NAMES = [name for names in COMMANDS.values() for name in names]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("list", "planner")`` -> exit code, stdout, stderr."""
    monkeypatch.setenv("SMBRL_NO_PLUGINS", "0")  # so that a --no-plugins of the test is undone

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"smbrl {__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command(run: Run, flag: str) -> None:
    code, out, _ = run(flag)
    assert code == 0
    for name in NAMES:
        assert f" {name} " in out


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(run: Run, name: str) -> None:
    code, out, _ = run(name, "-h")
    assert code == 0
    assert f"smbrl {name}" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["tarin"], "error: No such command 'tarin'. Did you mean 'train'? (see smbrl --help)"),
        (["list", "--foo"], "error: No such option: --foo (see smbrl list --help)"),
        (["config", "show"], "error: Missing option '--gin' / '-g' (see smbrl config show --help)"),
        (["describe"], "error: Missing argument 'NAME' (see smbrl describe --help)"),
        (["list", "--no-plugins"], "error: --no-plugins goes before the command: smbrl --no-plugins COMMAND ..."),
        (["list", "plnner"], "error: unknown kind 'plnner': did you mean 'planner'?"),
        (["describe", "Evalution"], "error: unknown name 'Evalution': did you mean 'Evaluation'?"),
        (["describe", "skimo_maze"], "error: skimo_maze is a gin file: smbrl config show --gin skimo_maze"),
    ],
)
def test_a_mistake_is_one_line(run: Run, arguments: list[str], line: str) -> None:
    assert run(*arguments) == (2, "", line + "\n")


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def command() -> None:
        raise error

    app = typer.Typer()
    app.command("fail")(command)
    app.command("other")(lambda: None)
    monkeypatch.setattr(smbrl_cli, "app", app)


def test_an_error_over_several_lines_becomes_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, SmbrlError("found this\n  expected  that"))
    assert run("fail") == (2, "", "error: found this expected that\n")


def test_ctrl_c_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    assert run("fail")[0] == 130


def test_a_command_chooses_its_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, typer.Exit(7))
    assert run("fail")[0] == 7


def test_a_bug_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        main(["fail"])


def test_warnings_are_lines_on_stderr(run: Run) -> None:
    run("--version")
    logging.getLogger("smbrl.somewhere").warning("two\nlines %d", 3)
    assert run("--version")[2] == "warning: two lines 3\n"


def test_no_plugins_reaches_the_environment(run: Run) -> None:
    run("--no-plugins", "list", "planner")
    assert os.environ["SMBRL_NO_PLUGINS"] == "1"


def test_starting_imports_nothing_slow() -> None:
    """`smbrl --help` and completion must not wait for torch."""
    slow = ("torch", "numpy", "mlflow", "gymnasium", "matplotlib")
    code = f"import sys, smbrl_cli; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "from smbrl_cli import main; main()"
    script = f'"{sys.executable}" -c "{code}" --help | true'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_every_command_module_is_listed() -> None:
    for path in Path(smbrl_cli.__file__).parent.glob("*.py"):
        if path.stem != "__init__" and re.search(r"^def command\(|^app = ", path.read_text(), re.MULTILINE):
            assert path.stem in NAMES, f"add {path.stem} to COMMANDS in cli/__init__.py"


def test_every_command_module_keeps_the_convention() -> None:
    for name in NAMES:
        module = importlib.import_module(f"smbrl_cli.{name}")
        assert hasattr(module, "app") != hasattr(module, "command"), f"cli/{name}.py"
