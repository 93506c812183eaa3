"""The command line: ``smbrl COMMAND``.

One file per command. A command module ``cli/NAME.py``, listed in ``COMMANDS`` below, offers one of

- ``def command(...) -> None``: a typer function; it becomes ``smbrl NAME``; its docstring is the help;
- ``app = typer.Typer(help="...")`` with ``@app.command("sub")`` functions: ``smbrl NAME SUB``.

Rules for command modules:

- Thin: parse, call the core, print. Results go to stdout, messages to stderr.
- Imported whenever ``smbrl`` starts, so nothing slow at the top of the file: import typer, rich,
  ``smbrl.errors`` and ``smbrl_cli.options`` there; torch, mlflow, ``smbrl.config`` and everything else of
  the core *inside* the function (a test watches this).
- Options that several commands have (``--gin``, ``-o/--set``, the RUN argument, ``--device`` ...) are annotations in
  ``smbrl_cli.options``: ``def command(gin: options.Gin, overrides: options.Set = None, ...)``.
- A user's mistake is ``raise SmbrlError("one line")``: printed here as one line, exit code 2. Nothing else
  is caught, so a traceback is always a bug of smbrl. KeyboardInterrupt ends with exit code 130; a command that
  wants to say how to go on catches it, prints to stderr and raises ``typer.Exit(130)``.
- Warnings anywhere in smbrl are ``logging.getLogger("smbrl...").warning("one line")``: printed as
  ``warning: one line`` on stderr. Problems with plugins come that way too, when plugins are first loaded.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Annotated

import typer

from smbrl.errors import SmbrlError

COMMANDS = {
    "Run": (
        "train",
        "resume",
        "eval",
        "predict",
        "skills",
        "record",
        "export",
        "compare",
        "sweep",
        "reproduce",
        "runs",
        "sync",
    ),
    "Data": ("data",),
    "Configuration": ("config", "list", "describe", "plugin"),
    "Machine": ("doctor", "bench"),
}
"""Command modules by the panel that ``smbrl --help`` shows them in."""

app = typer.Typer(
    name="smbrl",
    help="Skill-based model-based reinforcement learning, as parts that gin files put together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

UsageError: type[BaseException] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException" and issubclass(base, Exception)
)
"""typer's base of usage errors (typer carries its own copy of click in some versions, so it has no fixed home)."""


class _Lines(logging.Handler):
    """Log records of smbrl as ``warning: ...`` lines on whatever stderr is now."""

    def emit(self, record: logging.LogRecord) -> None:
        message = " ".join(record.getMessage().splitlines())
        print(f"{record.levelname.lower()}: {message}", file=sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        from smbrl import __version__

        print(f"smbrl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", help="Leave third-party plugins out (as SMBRL_NO_PLUGINS=1 does).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    if no_plugins:
        os.environ["SMBRL_NO_PLUGINS"] = "1"  # the environment, so that worker processes do the same


def _add_commands() -> None:
    for panel, names in COMMANDS.items():
        for name in names:
            module = importlib.import_module(f"smbrl_cli.{name}")
            if hasattr(module, "app"):
                app.add_typer(module.app, name=name, rich_help_panel=panel, no_args_is_help=True)
            else:
                app.command(name, rich_help_panel=panel)(module.command)


_add_commands()


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run a command, turn a user's mistake into one line, exit."""
    logger = logging.getLogger("smbrl")
    if not any(isinstance(handler, _Lines) for handler in logger.handlers):
        logger.addHandler(_Lines())
    try:
        code = app(args=arguments, prog_name="smbrl", standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone away (`| head`) can still be noticed
    except SmbrlError as error:
        code = _fail(str(error))
    except UsageError as error:
        shown = type(error).__name__ == "NoArgsIsHelpError"  # typer has printed the help
        code = 2 if shown else _fail(_usage(error))
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: BaseException) -> str:
    """What typer found wrong with the command line, and where help is."""
    message = getattr(error, "format_message", error.__str__)()
    if "--no-plugins" in message:
        return "--no-plugins goes before the command: smbrl --no-plugins COMMAND ..."
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "smbrl"
    return f"{message.rstrip('.')} (see {path} --help)"


def _fail(message: str) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return 2
