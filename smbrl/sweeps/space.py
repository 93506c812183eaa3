"""What a sweep varies: bindings with values to go through, or with a range to draw from."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smbrl.config.parse import Macro, Reference, parse_overrides
from smbrl.errors import SmbrlError, suggestion
from smbrl.training.identity import SEEDS

DIGITS = 4
"""Significant digits of a number that was drawn, so that it can be read and typed again."""
RANGES = {"uniform": float, "loguniform": float, "int": int, "logint": int}
"""Ways to draw a number from LOW to HIGH, both included for whole numbers."""
CHOICE = "choice"
HOW = "uniform(LOW, HIGH), loguniform(LOW, HIGH), int(LOW, HIGH), logint(LOW, HIGH) or choice(A, B, ...)"
Values = tuple[tuple[str, str], ...]
"""Bindings of one configuration: (name, gin source)."""


@dataclass(frozen=True)
class Axis:
    """A binding and the values that it goes through.

    Attributes:
        name: ``NAME.PARAM``.
        values: gin source.
    """

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}=[{', '.join(self.values)}]"


@dataclass(frozen=True)
class Draw:
    """A binding and where its values are drawn from.

    Attributes:
        name: ``NAME.PARAM``.
        kind: uniform, loguniform, int, logint or choice.
        low, high: of a number.
        values: of a choice, gin source.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()

    def sample(self, generator: random.Random) -> str:
        """A value, as gin source."""
        match self.kind:
            case "uniform":
                return written(generator.uniform(self.low, self.high))
            case "loguniform":
                return written(self.low * (self.high / self.low) ** generator.random())
            case "int":
                return str(generator.randint(int(self.low), int(self.high)))
            case "logint":  # every whole number has the share of the logarithmic axis that is nearest to it
                low, high = self.low - 0.5, self.high + 0.5
                return str(min(int(self.high), max(int(self.low), round(low * (high / low) ** generator.random()))))
        return generator.choice(self.values)

    def __str__(self) -> str:
        inside = self.values if self.kind == CHOICE else (number_text(self, self.low), number_text(self, self.high))
        return f"{self.name}={self.kind}({', '.join(inside)})"


def number_text(draw: Draw, value: float) -> str:
    """A number of a range as gin source."""
    return str(int(value)) if RANGES[draw.kind] is int else repr(float(value))


def written(value: float) -> str:
    """A drawn number as gin source, rounded."""
    return repr(float(f"{value:.{DIGITS}g}"))


def axis(text: str) -> Axis:
    """``NAME.PARAM=[A, B, ...]``.

    Raises:
        SmbrlError: not of that form, no values, or one twice.
    """
    name, values = _parsed(text, f"--grid {text!r}", "NAME.PARAM=[A, B, ...]")
    if not isinstance(values, list | tuple):
        raise SmbrlError(f"--grid {text!r}: the value is {values!r}; expected a list, as in {name}=[1, 2]")
    return _axis(name, [_source(value) for value in values])


def axis_of(name: str, values: Any, label: str) -> Axis:
    """An axis from a file, where texts are gin source: ``"@CEM"``, ``"None"``, ``"'relu'"``.

    Raises:
        SmbrlError: it is no list of values.
    """
    if not isinstance(values, list):
        raise SmbrlError(f"{label}: {name} is {values!r}; expected a list of values, as in [1, 2] or ['@CEM', 'None']")
    sources = [value if isinstance(value, str) else _source(value) for value in values]
    for source in sources:
        _parsed(f"{name}={source}", f"{label}: {name}", "a value")
    return _axis(name, sources)


def draw(text: str) -> Draw:
    """``NAME.PARAM=loguniform(1e-4, 1e-2)`` and the like.

    Raises:
        SmbrlError: not of that form, or an empty range.
    """
    label = f"--random {text!r}"
    found = re.fullmatch(r"\s*([^=\s]+)\s*=\s*(\w+)\s*\((.*)\)\s*", text, re.DOTALL)
    if found is None:
        raise SmbrlError(f"{label}: expected NAME.PARAM={HOW}")
    name, kind, inside = found.groups()
    if kind not in (*RANGES, CHOICE):
        raise SmbrlError(f"{label}: unknown way to draw {kind!r}; {suggestion(kind, [*RANGES, CHOICE])}")
    _, values = _parsed(f"{name}=[{inside}]", label, f"NAME.PARAM={HOW}")
    _may_vary(name)
    if kind == CHOICE:
        return Draw(name, kind, values=_axis(name, [_source(value) for value in values]).values)
    wanted: tuple[type, ...] = (int,) if RANGES[kind] is int else (int, float)
    if len(values) != 2 or not all(type(value) in wanted for value in values):
        what = "two whole numbers" if RANGES[kind] is int else "two numbers"
        raise SmbrlError(f"{label}: expected {what}, {kind}(LOW, HIGH)")
    low, high = values
    if not low < high:
        raise SmbrlError(f"{label}: from {low} to {high} there is nothing to draw; expected LOW below HIGH")
    if kind.startswith("log") and low <= 0:
        raise SmbrlError(f"{label}: LOW is {low}; a logarithmic range begins above 0")
    return Draw(name, kind, float(low), float(high))


def combinations(axes: Sequence[Axis]) -> list[Values]:
    """Every combination, the last axis fastest; one empty combination of no axes."""
    found: list[Values] = [()]
    for one in axes:
        found = [(*before, (one.name, value)) for before in found for value in one.values]
    return found


def samples(draws: Sequence[Draw], count: int, seed: int) -> list[Values]:
    """So many draws; the first ones are the same however many, and one binding's do not depend on the others.

    Args:
        draws: what is drawn.
        count: how often; without anything to draw there is one empty sample.
        seed: of the drawing.
    """
    if not draws:
        return [()]
    generators = {one: random.Random(f"{seed} {one}") for one in draws}
    return [tuple((one.name, one.sample(generators[one])) for one in draws) for _ in range(count)]


def _axis(name: str, values: list[str]) -> Axis:
    _may_vary(name)
    if not values:
        raise SmbrlError(f"{name} has no values to go through: give at least one")
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise SmbrlError(f"{name} has the value {twice} twice: leave one out")
    return Axis(name, tuple(values))


def _may_vary(name: str) -> None:
    if name.rpartition("/")[2] in SEEDS[:1]:
        raise SmbrlError(f"{name} is varied by --seeds: seeds count as repetitions, not as configurations")


def _parsed(text: str, label: str, expected: str) -> tuple[str, Any]:
    """Name and value of one binding."""
    if "=" not in text:
        raise SmbrlError(f"{label}: expected {expected}")
    try:
        binding = parse_overrides([text])[0]
    except SmbrlError as error:
        found = str(error).removeprefix(f"override {text!r}: ")
        raise SmbrlError(f"{label}: {found}") from None
    return binding.name, binding.value


def _source(value: Any) -> str:
    """A parsed value as gin source again, references and macros included."""
    match value:
        case Reference() | Macro():
            return str(value)
        case list():
            return f"[{', '.join(map(_source, value))}]"
        case tuple():
            return f"({', '.join(map(_source, value))}{',' if len(value) == 1 else ''})"
        case dict():
            return "{" + ", ".join(f"{_source(key)}: {_source(item)}" for key, item in value.items()) + "}"
    return repr(value)
