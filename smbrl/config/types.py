"""Does a value from a gin file fit an annotation? Asked of data, before anything is built."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from typing import Any, Literal, Union

from smbrl.config.names import Configurable, annotations_of, wanted_class
from smbrl.config.parse import Reference
from smbrl.errors import suggestion
from smbrl.faults import article
from smbrl.interfaces import KINDS, Part


class Resolved:
    """A reference whose configurable is known.

    Attributes:
        reference: as it was written.
        target: what it names.
    """

    __slots__ = ("reference", "target")

    def __init__(self, reference: Reference, target: Configurable) -> None:
        self.reference = reference
        self.target = target

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resolved) and (self.reference, self.target.selector) == (
            other.reference,
            other.target.selector,
        )

    def __hash__(self) -> int:
        return hash((self.reference, self.target.selector))

    def __repr__(self) -> str:
        return str(self.reference)


class Constant:
    """``%name`` of a ``gin.constant``: a Python object that has no literal."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value

    def __repr__(self) -> str:
        return f"%{self.name}"


def mismatch(value: Any, annotation: Any) -> str | None:
    """What is wrong with a value, as ``expected ..., got ...``; None where it fits or cannot be judged.

    Args:
        value: a literal; references in it are ``Resolved``, constants ``Constant``.
        annotation: a resolved annotation.
    """
    if isinstance(value, Constant):
        value = value.value
    if _fits(value, annotation):
        return None
    return f"expected {spell(annotation)}, got {_got(value)}{_hint(value, annotation)}"


def spell(annotation: Any) -> str:
    """An annotation in words: ``a float``, ``one of 'a', 'b'``, ``a planner (@Name) or None``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is inspect.Parameter.empty:
        return "anything"
    if annotation is None or annotation is type(None):
        return "None"
    if origin is typing.Annotated:
        return spell(arguments[0])
    if isinstance(annotation, typing.NewType):
        return spell(annotation.__supertype__)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(spell(argument) for argument in arguments))
    if origin is Literal:
        options = ", ".join(repr(argument) for argument in arguments)
        return f"one of {options}" if len(arguments) > 1 else options
    wanted = wanted_class(annotation)
    if wanted is not None:
        if issubclass(wanted, Part) and wanted.kind in KINDS:
            return f"{article(wanted.kind)} (@Name)" if wanted is KINDS[wanted.kind] else f"a {wanted.__name__} (@Name)"
        return "a reference (@Name)" if wanted is object else f"a reference to {wanted.__name__} (@Name)"
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"a tuple of {_plain(arguments[0])}"
        return f"a tuple ({', '.join(_plain(argument) for argument in arguments)})"
    if origin in (dict, collections.abc.Mapping, collections.abc.MutableMapping) and arguments:
        return f"a dict of {_plain(arguments[0])} to {_plain(arguments[1])}"
    if origin is not None and len(arguments) == 1:
        name = "sequence" if origin in (collections.abc.Sequence, collections.abc.Iterable) else origin.__name__.lower()
        return f"a {name} of {_plain(arguments[0])}"
    if origin is not None:
        return str(annotation)
    return _article_for(_plain(annotation))


def _plain(annotation: Any) -> str:
    """The same without an article, for inside of containers."""
    if isinstance(annotation, typing.TypeVar | typing.ForwardRef | str) or annotation is Any:
        return "anything"
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return "string" if annotation is str else annotation.__name__
    known = isinstance(annotation, typing.NewType) or typing.get_origin(annotation) is not None
    return spell(annotation) if known else str(annotation)


def _article_for(word: str) -> str:
    return word if word == "anything" else f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"


def _fits(value: Any, annotation: Any) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, typing.TypeVar | typing.ForwardRef | str):
        return True
    if annotation is Any or annotation is inspect.Parameter.empty or annotation is object:
        return True
    if isinstance(annotation, typing.NewType):
        return _fits(value, annotation.__supertype__)
    if hasattr(annotation, "__value__"):  # a `type X = ...` alias
        return _fits(value, annotation.__value__)
    if origin is typing.Annotated:
        return _fits(value, arguments[0])
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if isinstance(value, Resolved) and value.reference.evaluate:
        return _returns(value.target, annotation)
    if annotation is None or annotation is type(None):
        return value is None
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in arguments)
    wanted = wanted_class(annotation)
    if wanted is not None:
        return _is_reference_to(value, wanted)
    if isinstance(value, Resolved):
        return False
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if origin is not None:
        return _fits_container(value, origin, arguments)
    return _fits_class(value, annotation)


def _fits_container(value: Any, origin: Any, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(origin, type) or not isinstance(value, origin) or isinstance(value, str):
        return not isinstance(origin, type)  # an annotation of an unknown sort is not judged
    if isinstance(value, dict) and len(arguments) == 2:
        return all(_fits(key, arguments[0]) and _fits(item, arguments[1]) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset) and len(arguments) == 1:
        return all(_fits(item, arguments[0]) for item in value)
    return True


def _fits_class(value: Any, annotation: Any) -> bool:
    if not isinstance(annotation, type):
        return True
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    try:
        return isinstance(value, annotation)
    except TypeError:  # a protocol that cannot be checked at run time
        return True


def _is_reference_to(value: Any, wanted: type) -> bool:
    if not isinstance(value, Resolved):
        return callable(value)  # a default or a constant
    target = value.target.target
    if isinstance(target, type):
        return issubclass(target, wanted)
    return _returns(value.target, wanted)


def _returns(target: Configurable, annotation: Any) -> bool:
    """Whether calling something gives what is annotated; True where nothing is known."""
    if isinstance(target.target, type):
        return isinstance(annotation, type) and issubclass(target.target, annotation)
    result = annotations_of(inspect.unwrap(target.target), target.target).get("return", Any)
    classes = [item for item in (result, annotation) if isinstance(item, type) and item is not Any]
    return len(classes) < 2 or issubclass(classes[0], classes[1])


def _got(value: Any) -> str:
    if isinstance(value, Resolved):
        kind = value.target.spoken
        return f"{value} ({'an' if kind[0] in 'aeiou' else 'a'} {kind})"
    text = f"{value!r:.60}"
    return text if isinstance(value, str | bool) or value is None else f"{text} ({type(value).__name__})"


def _hint(value: Any, annotation: Any) -> str:
    """What to write instead, where that can be guessed."""
    options = (
        typing.get_args(annotation) if typing.get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    )
    wanted = next((found for found in map(wanted_class, options) if found is not None), None)
    if isinstance(value, Resolved) and value.reference.evaluate and wanted is not None:
        return f": write {str(value.reference).removesuffix('()')}, without ()"
    if isinstance(value, str):
        texts = [item for option in options if typing.get_origin(option) is Literal for item in typing.get_args(option)]
        texts = [item for item in texts if isinstance(item, str)]
        if texts and "did you mean" in (guess := suggestion(value, texts)):
            return f": {guess}"
        if wanted is not None and value.isidentifier():
            return f": write @{value}, without quotes"
        for option in options:
            if option in (int, float, bool) and _is_number(value):
                return f": write {value}, without quotes"
    if isinstance(value, float) and value.is_integer() and int in options:
        return f": write {int(value):_}"
    if isinstance(value, list) and any(typing.get_origin(option) is tuple for option in options):
        return f": write ({', '.join(map(repr, value))}{',' if len(value) == 1 else ''})"
    if any(typing.get_origin(option) is tuple for option in options) and not isinstance(value, tuple | str):
        return f": write ({value!r},)"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False")
    return True
