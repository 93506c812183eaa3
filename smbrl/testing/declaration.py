"""What can be seen of a part without building it: its documentation, and what gin makes of its constructor."""

from __future__ import annotations

import inspect
import re

from smbrl.config.names import annotations_of
from smbrl.config.types import mismatch, spell
from smbrl.faults import constructor_parameters, part_fault
from smbrl.interfaces import KINDS, Part
from smbrl.testing.findings import Report


def check_declaration(cls: type[Part], report: Report) -> None:
    """Contract, docstring, constructor."""
    own = (cls.__dict__.get("__doc__") or "").strip()
    report.expect(bool(own), "a docstring", "none", "say what the part is and its source")
    kind = getattr(cls, "kind", "")
    report.expect(kind in KINDS, f"one of the kinds {', '.join(KINDS)}", repr(kind), "derive from one contract")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    report.expect(not missing, "every abstract member", f"missing {', '.join(missing)}", "implement them")
    parameters = constructor_parameters(cls)
    stars = [p for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    for parameter in stars:
        report.expect(
            False,
            "a constructor without *args and **kwargs",
            f"{parameter}",
            "name the parameters, so that gin finds misspelt bindings",
        )
    if not missing and not stars and kind in KINDS:
        fault = part_fault(cls)
        report.expect(fault is None, "a class that the registry takes", fault, "see the contract's signatures")
    bindable = [p for p in parameters if p not in stars and (p.kind is p.KEYWORD_ONLY or p.default is not p.empty)]
    _check_documented(cls, bindable, report)
    _check_types(cls, bindable, report)


def _check_documented(cls: type[Part], bindable: list[inspect.Parameter], report: Report) -> None:
    """Every parameter that gin binds stands in the docstring of the class (or of one that it inherits from)."""
    said = " ".join(base.__dict__.get("__doc__") or "" for base in cls.__mro__ if issubclass(base, Part))
    words = set(re.findall(r"\w+", said))
    silent = [p.name for p in bindable if p.name not in words]
    report.expect(
        not silent,
        "every parameter in the docstring",
        f"nothing about {', '.join(silent)}",
        "add a line `name: what it is, its unit.` under Args:, which `smbrl describe` shows",
    )


def _check_types(cls: type[Part], bindable: list[inspect.Parameter], report: Report) -> None:
    """Every parameter has a type that can be resolved, and a default of that type."""
    known = annotations_of(inspect.unwrap(cls.__init__), cls) if bindable else {}
    for parameter in bindable:
        if not report.expect(
            parameter.annotation is not parameter.empty,
            f"a type annotation on {parameter.name}",
            "none",
            "annotate it, so that wrong types are found before the run",
        ):
            continue
        if not report.expect(
            parameter.name in known,
            f"a type annotation on {parameter.name} that can be resolved",
            str(parameter.annotation),
            "import its names at the top of the module, not for type checkers only",
        ):
            continue
        default, annotation = parameter.default, known[parameter.name]
        if default is parameter.empty or isinstance(default, type):
            continue
        fault = mismatch(default, annotation)
        report.expect(
            fault is None,
            f"a default of {parameter.name} that is {spell(annotation)}",
            repr(default),
            "mend the annotation or the default: gin files are checked against it",
        )
