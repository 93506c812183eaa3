"""What a gin file may name: parts and settings, their parameters, types and defaults."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gin.config

from smbrl.config.parse import Reference
from smbrl.errors import SmbrlError, closest, suggestion
from smbrl.faults import spoken
from smbrl.registry import PartInfo, Registry, is_configured_part

_HIDDEN = ("gin.macro", "gin.constant")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a constructor.

    Attributes:
        name: of the parameter.
        annotation: resolved; ``typing.Any`` where there is none or it cannot be resolved.
        default: ``inspect.Parameter.empty`` where there is none.
        given: whether whoever builds the part passes it, so that a gin file cannot.
    """

    name: str
    annotation: Any
    default: Any
    given: bool

    @property
    def has_default(self) -> bool:
        """Whether it may be left unbound."""
        return self.default is not inspect.Parameter.empty


@dataclass(frozen=True)
class Configurable:
    """A class or function that a gin file may bind parameters of.

    Attributes:
        name: how gin files call it.
        selector: its complete name in gin.
        target: the class or function itself.
        part: what the registry knows of it, where it is a part.
        parameters: by name, in the order of the signature.
    """

    name: str
    selector: str
    target: Callable[..., Any]
    part: PartInfo | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """`` (of DISTRIBUTION VERSION)`` for what a third-party plugin offers, nothing for smbrl's own."""
        source = self.part.source if self.part else None
        return "" if source is None or source.built_in else f" (of {source.distribution} {source.version})"

    @property
    def spoken(self) -> str:
        """What it is, in a word or two."""
        return spoken(self.part.kind) if self.part else "setting" if isinstance(self.target, type) else "function"


class Names:
    """Everything a configuration may name, and the root it is for.

    Args:
        registry: the loaded plugins.
        root: the class or function, registered with gin, that a run starts from.

    Attributes:
        root: the root's configurable.
        settings: what is registered under the root's gin module (Online, Evaluation, ...): settings that the
            root reads without a parameter for them, so that they belong to every run.
    """

    def __init__(self, registry: Registry, root: Callable[..., Any]) -> None:
        self.registry = registry
        self._parts = {info.configured: info for info in registry.parts.values()}
        self._known: dict[str, Configurable] = {}
        self._by_target: dict[Any, Configurable] = {}
        self._ambiguous: dict[str, list[str]] = {}
        others: dict[str, list[Configurable]] = {}
        rooted = gin.config._inverse_lookup(root)
        if rooted is None:
            raise TypeError(f"{root!r} is not registered with gin")
        core = rooted.module
        for selector, entry in gin.config._REGISTRY.items():
            if selector in _HIDDEN:
                continue
            info = self._parts.get(entry.wrapper)
            if info is None and is_configured_part(entry.wrapped, entry.wrapper):
                continue  # registered by another Registry of this process
            known = Configurable(entry.name, selector, entry.wrapped, info, parameters_of(entry, info is not None))
            self._by_target[entry.wrapped] = self._by_target[entry.wrapper] = known
            if info is not None or entry.module == core:
                self._known[entry.name] = known
            else:
                others.setdefault(entry.name, []).append(known)
        for name, same in others.items():
            if name not in self._known and len(same) == 1:
                self._known[name] = same[0]
            elif name not in self._known:
                self._ambiguous[name] = [known.selector for known in same]
        self.root = self._by_target[rooted.wrapped]
        self.settings = [known for known in self.all() if known.selector == f"{core}.{known.name}"]

    def accepted(self, annotation: Any) -> list[str]:
        """Names of what a parameter for a reference takes: ``type[Planner] | None`` -> the planners."""
        options = [annotation, *typing.get_args(annotation)]
        wanted = [found for found in map(wanted_class, options) if found is not None and found is not object]
        return [
            known.name
            for known in self.all()
            if isinstance(known.target, type) and any(issubclass(known.target, one) for one in wanted)
        ]

    def find(
        self, written: str, place: str, *, what: str = "name", expected: collections.abc.Iterable[str] = ()
    ) -> Configurable:
        """The configurable of a name as a gin file has it, with or without module.

        Args:
            written: the name.
            place: for the error line.
            what: name or reference, for the error line.
            expected: names to list in the error line where none is close; all parts and settings where empty.

        Raises:
            SmbrlError: unknown or ambiguous.
        """
        known = self._known.get(written)
        if known is not None:
            return known
        full = [known for known in self._by_target.values() if ("." + known.selector).endswith("." + written)]
        if "." in written and full:
            return full[0]
        if written in self._ambiguous:
            raise SmbrlError(
                f"{place}: {written} is several things: write one of {', '.join(self._ambiguous[written])}"
            )
        head, _, tail = written.partition(".")
        if tail and head in self._known and tail in self._known[head].parameters:
            raise SmbrlError(
                f"{place}: {written} is a parameter of {head}: bind a part to it ({written} = @Name), "
                "and the part's own parameters by its name (Name.parameter = value)"
            )
        own = list(expected) or [
            name for name, known in self._known.items() if known.part is not None or known in self.settings
        ]
        hint = suggestion(written, self._known if closest(written, self._known) else own)
        raise SmbrlError(f"{place}: unknown {what} {written!r}: {hint}{self.registry.excuse(written)}")

    def of_target(self, target: object) -> Configurable | None:
        """The configurable of a class or function (as it is, or with gin around it)."""
        try:
            return self._by_target.get(target)
        except TypeError:  # unhashable, so no class
            return None

    def all(self) -> list[Configurable]:
        """Every configurable that has a name of its own."""
        return [self._known[name] for name in sorted(self._known)]

    def reference_to(self, value: object) -> Reference | None:
        """``@Name`` for a class or function that is known, as a default may be."""
        found = self.of_target(value) if callable(value) else None
        return Reference((), found.name, False) if found is not None and found.name in self._known else None


def wanted_class(annotation: Any) -> type | None:
    """X of ``type[X]`` and ``Callable[..., X]``; object where X is not a class; None for other annotations."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (type, collections.abc.Callable, typing.Callable):
        return object
    if origin not in (type, collections.abc.Callable):
        return None
    wanted = arguments[-1]
    return wanted if isinstance(wanted, type) and wanted is not Any else object


def parameters_of(entry: Any, is_part: bool) -> dict[str, Parameter]:
    """The parameters of a configurable that gin knows."""
    function = (
        gin.config._find_class_construction_fn(entry.wrapped) if isinstance(entry.wrapped, type) else entry.wrapped
    )
    function = inspect.unwrap(function)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built-in functions have none
        return {}
    if function is object.__init__:
        return {}
    found = list(signature.parameters.values())
    if isinstance(entry.wrapped, type):
        found = found[1:]
    hints = annotations_of(function, entry.wrapped)
    parameters = {}
    for parameter in found:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY
        denied = parameter.name in (entry.denylist or ()) or (entry.allowlist and parameter.name not in entry.allowlist)
        given = bool(denied) or parameter.kind is parameter.POSITIONAL_ONLY or (is_part and needed)
        annotation = hints.get(parameter.name, Any)
        parameters[parameter.name] = Parameter(parameter.name, annotation, parameter.default, given)
    return parameters


def annotations_of(function: Callable[..., Any], owner: Any) -> dict[str, Any]:
    """Resolved annotations; what cannot be resolved (imported for type checkers only, say) is left out."""
    try:
        return typing.get_type_hints(function)
    except Exception:  # an annotation is any expression, so resolving it may raise anything
        pass
    raw = getattr(function, "__annotations__", {})
    space = {**vars(typing), **getattr(function, "__globals__", {})}
    resolved = {}
    for name, annotation in raw.items():
        probe = type(
            "probe", (), {"__annotations__": {name: annotation}, "__module__": getattr(owner, "__module__", "")}
        )
        try:
            resolved.update(typing.get_type_hints(probe, space))
        except Exception:  # as above; the others are still of use
            continue
    return resolved
