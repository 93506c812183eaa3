"""Which values fit which annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypeVar, Union

import pytest

from smbrl.config.names import Configurable
from smbrl.config.parse import Reference
from smbrl.config.types import Constant, Resolved, mismatch, spell
from smbrl.interfaces import Encoder, Planner

Metres = NewType("Metres", float)
T = TypeVar("T")


class Colour(Enum):
    RED = 1


class MyEncoder(Encoder):
    pass


def make() -> Planner:
    raise NotImplementedError


def anything(x):  # type: ignore[no-untyped-def]
    return x


ENCODER = Resolved(Reference((), "MyEncoder", False), Configurable("MyEncoder", "x.MyEncoder", MyEncoder))
CALLED = Resolved(Reference((), "MyEncoder", True), Configurable("MyEncoder", "x.MyEncoder", MyEncoder))
FACTORY = Resolved(Reference((), "make", False), Configurable("make", "x.make", make))
MADE = Resolved(Reference((), "make", True), Configurable("make", "x.make", make))
UNTYPED = Resolved(Reference((), "anything", True), Configurable("anything", "x.anything", anything))

FITS: list[tuple[Any, Any]] = [
    (1, int),
    (1, float),
    (1.5, float),
    (True, bool),
    ("a", str),
    (None, None),
    (None, int | None),
    (None, Optional[int]),  # noqa: UP045
    (3, Union[str, int]),  # noqa: UP007
    ("a", Literal["a", "b"]),
    (2, Literal[1, 2]),
    ((1, 2), tuple[int, ...]),
    ((), tuple[int, ...]),
    ((1, "a"), tuple[int, str]),
    ((1, 2), tuple),
    ([1, 2], list[int]),
    ([1, 2], Sequence[int]),
    ((1, 2), Sequence[float]),
    ({"a": 1}, dict[str, int]),
    ({"a": [1]}, Mapping[str, list[int]]),
    ({"a": 1}, dict),
    (((1, 2), (3, 4)), tuple[tuple[int, int], ...]),
    (1.0, Metres),
    (1, Annotated[int, "unit"]),
    ("anything", Any),
    ("anything", T),
    ("anything", object),
    (ENCODER, type[Encoder]),
    (ENCODER, type[Encoder] | None),
    (ENCODER, Callable[..., Encoder]),
    (ENCODER, Callable[[int], Encoder]),
    (ENCODER, type),
    (ENCODER, Callable),
    ([ENCODER, ENCODER], list[type[Encoder]]),
    ({"a": ENCODER}, dict[str, type[Encoder]]),
    (CALLED, Encoder),
    (FACTORY, Callable[..., Planner]),
    (FACTORY, Callable[..., Any]),
    (MADE, Planner),
    (UNTYPED, int),
    (Constant("pi", 3.14), float),
    (Constant("here", Path()), Path),
    (Constant("f", print), Callable[..., None]),
]
DOES_NOT: list[tuple[Any, Any, str]] = [
    (1.0, int, "expected an int, got 1.0 (float): write 1"),
    (1.5, int, "expected an int, got 1.5 (float)"),
    (True, int, "expected an int, got True"),
    (True, float, "expected a float, got True"),
    (1, bool, "expected a bool, got 1 (int)"),
    (1, str, "expected a string, got 1 (int)"),
    ("1", int, "expected an int, got '1': write 1, without quotes"),
    ("1e-3", float | None, "expected a float or None, got '1e-3': write 1e-3, without quotes"),
    ("True", bool, "expected a bool, got 'True': write True, without quotes"),
    (None, int, "expected an int, got None"),
    (0, None, "expected None, got 0 (int)"),
    (True, Literal[1, 2], "expected one of 1, 2, got True"),
    ("c", Literal["ab"], "expected 'ab', got 'c'"),
    ("waarm", Literal["warm", "cold"], "expected one of 'warm', 'cold', got 'waarm': did you mean 'warm'?"),
    ([1], tuple[int, ...], "expected a tuple of int, got [1] (list): write (1,)"),
    ((1.5,), tuple[int, ...], "expected a tuple of int, got (1.5,) (tuple)"),
    ((1,), tuple[int, int], "expected a tuple (int, int), got (1,) (tuple)"),
    (3, tuple[int, ...] | None, "expected a tuple of int or None, got 3 (int): write (3,)"),
    ((1, 2), list[int], "expected a list of int, got (1, 2) (tuple)"),
    ("ab", Sequence[str], "expected a sequence of string, got 'ab'"),
    ({"a": "b"}, dict[str, int], "expected a dict of string to int, got {'a': 'b'} (dict)"),
    ({1: 1}, dict[str, int], "expected a dict of string to int, got {1: 1} (dict)"),
    ("x", Path, "expected a Path, got 'x'"),
    ("RED", Colour, "expected a Colour, got 'RED'"),
    ("a", Metres, "expected a float, got 'a'"),
    ("a", Annotated[int, "unit"], "expected an int, got 'a'"),
    (ENCODER, int, "expected an int, got @MyEncoder (a setting)"),
    (ENCODER, type[Planner], "expected a planner (@Name), got @MyEncoder (a setting)"),
    (ENCODER, Callable[..., Planner], "expected a planner (@Name), got @MyEncoder (a setting)"),
    (ENCODER, Encoder, "expected an Encoder, got @MyEncoder (a setting)"),
    (CALLED, type[Encoder], "expected an encoder (@Name), got @MyEncoder() (a setting): write @MyEncoder, without ()"),
    (CALLED, type[Encoder] | None, "write @MyEncoder, without ()"),
    (CALLED, int, "expected an int, got @MyEncoder() (a setting)"),
    (FACTORY, type[Encoder], "expected an encoder (@Name), got @make (a function)"),
    (FACTORY, Callable[..., Encoder], "expected an encoder (@Name), got @make (a function)"),
    (MADE, Encoder, "expected an Encoder, got @make() (a function)"),
    ("MyEncoder", type[Encoder], "expected an encoder (@Name), got 'MyEncoder': write @MyEncoder, without quotes"),
    ([1], list[type[Encoder]], "expected a list of an encoder (@Name), got [1] (list)"),
    (Constant("pi", 3.14), int, "expected an int, got 3.14 (float)"),
]


@pytest.mark.parametrize(("value", "annotation"), FITS, ids=str)
def test_a_value_fits(value: object, annotation: Any) -> None:
    assert mismatch(value, annotation) is None


@pytest.mark.parametrize(("value", "annotation", "expected"), DOES_NOT, ids=str)
def test_a_value_does_not_fit(value: object, annotation: Any, expected: str) -> None:
    found = mismatch(value, annotation)
    assert found is not None
    assert found.endswith(expected)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Any, "anything"),
        (int, "an int"),
        (type[Planner] | None, "a planner (@Name) or None"),
        (type[MyEncoder], "a MyEncoder (@Name)"),
        (Callable[..., Any], "a reference (@Name)"),
        (Callable[..., Path], "a reference to Path (@Name)"),
        (tuple[int, ...], "a tuple of int"),
    ],
    ids=str,
)
def test_annotations_in_words(annotation: Any, words: str) -> None:
    assert spell(annotation) == words
