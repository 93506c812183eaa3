"""Read gin statements, with gin's own parser, into plain values that remember where they were written."""

from __future__ import annotations

import io
import math
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gin import config_parser

from smbrl.config.files import GinFile, open_include
from smbrl.errors import SmbrlError
from smbrl.registry import Registry


@dataclass(frozen=True)
class Reference:
    """``@scope/Name`` or ``@scope/Name()``."""

    scope: tuple[str, ...]
    name: str
    evaluate: bool

    def __str__(self) -> str:
        return "@" + "/".join([*self.scope, self.name]) + ("()" if self.evaluate else "")


@dataclass(frozen=True)
class Macro:
    """``%name``."""

    name: str

    def __str__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True)
class Binding:
    """``scope/selector.parameter = value``; a macro's definition where ``parameter`` is empty.

    Attributes:
        scope: slash-separated, empty for none.
        selector: the configurable's name as it was written, or the macro's.
        parameter: of the configurable; empty for a macro.
        value: a Python literal; containers may hold ``Reference`` and ``Macro``.
        place: ``file:line`` or the override, for messages.
        file: key of the file it stands in; all overrides count as one file.
    """

    scope: str
    selector: str
    parameter: str
    value: Any
    place: str
    file: str

    @property
    def name(self) -> str:
        """As it was written, left of the ``=``."""
        scoped = f"{self.scope}/{self.selector}" if self.scope else self.selector
        return f"{scoped}.{self.parameter}" if self.parameter else scoped


OVERRIDES = "<overrides>"


def parse_files(files: Sequence[GinFile], registry: Registry) -> list[Binding]:
    """The bindings of the files and of what they include, in the order in which they take effect.

    A file that is included twice (by two overlays, say) counts where it came first.

    Raises:
        SmbrlError: a syntax error, a missing or circular include, a file without bindings.
    """
    bindings: list[Binding] = []
    seen: dict[str, str] = {}
    for file in files:
        if file.key in seen:
            raise SmbrlError(f"{file.label} is given, but {seen[file.key]} includes it already: leave it out")
        bindings += _parse_file(file, registry, seen, ())
    return bindings


def parse_overrides(overrides: Sequence[str]) -> list[Binding]:
    """``NAME.PARAM=VALUE`` strings from the command line.

    Raises:
        SmbrlError: not of that form.
    """
    bindings = []
    for text in overrides:
        place = f"override {text!r}" if "\n" not in text else "override"
        if "=" not in text:
            raise SmbrlError(f"{place}: no '=' in it, expected NAME.PARAM=VALUE, e.g. -o Online.steps=1000")
        statements = list(_statements(text, None, place))
        if len(statements) != 1 or not isinstance(statements[0], config_parser.BindingStatement):
            raise SmbrlError(f"{place}: expected one NAME.PARAM=VALUE, e.g. -o Online.steps=1000")
        bindings.append(_binding(statements[0], place, OVERRIDES))
    return bindings


def _parse_file(
    file: GinFile, registry: Registry, seen: dict[str, str], including: tuple[GinFile, ...]
) -> Iterator[Binding]:
    seen[file.key] = including[-1].label if including else file.label
    chain = (*including, file)
    empty = True
    for statement in _statements(file.text, file.label, file.label):
        empty = False
        line = statement.location.line_num
        place = f"{file.label}:{line}"
        if isinstance(statement, config_parser.BindingStatement):
            yield _binding(statement, place, file.key)
        elif isinstance(statement, config_parser.IncludeStatement):
            included = open_include(statement.filename, file, line, registry)
            if included.key in [earlier.key for earlier in chain]:
                loop = " -> ".join([*(earlier.label for earlier in chain), included.label])
                raise SmbrlError(f"{place}: files include each other in a circle: {loop}")
            if included.key not in seen:
                yield from _parse_file(included, registry, seen, chain)
        elif isinstance(statement, config_parser.ImportStatement):
            raise SmbrlError(
                f"{place}: import {statement.module}: gin files of smbrl import nothing; parts come from plugins "
                "(an entry point in the group 'smbrl'): remove the line"
            )
    if empty:
        raise SmbrlError(f"{file.label}: no binding in it (empty, or comments only)")


def _binding(statement: config_parser.BindingStatement, place: str, file: str) -> Binding:
    for leaf in leaves(statement.value):
        if not (leaf is None or isinstance(leaf, bool | int | str | Reference | Macro) or _is_finite(leaf)):
            raise SmbrlError(
                f"{place}: value {leaf!r:.40} is {type(leaf).__name__}: gin files of smbrl have numbers (finite), "
                "strings, True, False, None, and tuples, lists and dicts of them"
            )
    return Binding(statement.scope, statement.selector, statement.arg_name, statement.value, place, file)


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def leaves(value: Any) -> Iterator[Any]:
    """Every leaf of a nested literal."""
    match value:
        case dict():
            for key, item in value.items():
                yield from leaves(key)
                yield from leaves(item)
        case list() | tuple():
            for item in value:
                yield from leaves(item)
        case _:
            yield value


class _Delegate(config_parser.ParserDelegate):  # type: ignore[misc]  # gin has no types
    """Keeps references as data: whether they make sense is asked later, with everything in view."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Reference:
        *scope, name = scoped_configurable_name.split("/")
        return Reference(tuple(scope), name, evaluate)

    def macro(self, macro_name: str) -> Macro:
        return Macro(macro_name)


def _statements(text: str, label: str | None, place: str) -> Iterator[Any]:
    """gin's statements; its complaints as one line.

    Args:
        text: gin source.
        label: of the file, to which the line number is added; None for an override.
        place: for messages where no line is known.
    """

    lines = text.splitlines()
    override = label is None

    def wrong(message: str, line: int | None) -> SmbrlError:
        # the line itself rather than the parser's notion of it, which differs between versions of Python
        source = text if override else lines[line - 1].strip() if line and line <= len(lines) else ""
        where = f"{label}:{line}" if label is not None and line else place
        return SmbrlError(f"{where}: {_explain(message, source, override)}")

    try:
        parser = config_parser.ConfigParser(text, _Delegate())
        while True:
            statement = parser.parse_statement()
            if statement is None:
                return
            yield statement
    except SyntaxError as error:  # IndentationError from the tokenizer is one, too
        where = error.args[1] if len(error.args) > 1 else (None, None)
        raise wrong(str(error.args[0]), where[1]) from error
    except tokenize.TokenError as error:
        line = error.args[1][0] if len(error.args) > 1 else None
        opened = _opened(text)
        raise wrong(
            "a bracket that opens here is not closed" if opened else str(error.args[0]), opened or line
        ) from error
    except (TypeError, ValueError, RecursionError) as error:  # an unhashable key in a dict, brackets without end
        raise wrong(str(error), None) from error
    except StopIteration as error:
        raise wrong("it ends in the middle of a binding", len(lines)) from error


def _opened(text: str) -> int | None:
    """The line of the last bracket that is never closed, if there is one."""
    brackets: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.string in ("(", "[", "{"):
                brackets.append(token.start[0])
            elif token.string in (")", "]", "}") and brackets:
                brackets.pop()
    except (tokenize.TokenError, SyntaxError):
        pass
    return brackets[-1] if brackets else None


_PLAIN = {
    "Couldn't parse statement, expected ':' or '='": "expected NAME.PARAMETER = VALUE",
    "Unable to parse value": "no value that gin can read (a Python literal, @Name or %macro) after the '='",
    "Expected newline": "something follows the value, which is one literal (gin does not calculate)",
    "Malformatted scope or selector": "a name has no spaces in it",
}
"""gin's complaints in words that say what to do."""


def _explain(message: str, source: str, override: bool) -> str:
    name, _, right = (part.strip() for part in source.partition("="))
    right = re.split(r"\s#", right)[0].strip()
    if re.match(r"include\b", source):
        return f"include needs one file name in quotes, found {source!r}"
    if right.lower() in ("true", "false", "none") and right != right.capitalize():
        return f"value {right} is not a Python literal: write {right.capitalize()}"
    if right[:1] in ("'", '"') and right[0] not in right[1:]:
        return f"syntax error: a string is not closed in {source!r}"
    unread = "Failed to parse token" in message or message.startswith("Unable to parse value")
    if unread and re.match(r"[A-Za-z_/.~]", right):
        part = f", a part an @ (@{right})" if right.isidentifier() else ""
        shell = f"; in a shell: -o \"{name}='{right}'\"" if override else ""
        return f"value {right} is not a Python literal: a string needs quotes ('{right}'){part}{shell}"
    complaint = message.splitlines()[0].rstrip(".")
    if complaint.startswith("Expected ',' or"):
        complaint += " (or a bracket further up is not closed)"
    if "Failed to parse token" in message:
        complaint = "a value is not a Python literal"
    return f"syntax error: {_PLAIN.get(complaint, complaint)}" + (f" in {source!r}" if source else "")
