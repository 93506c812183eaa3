"""What keeps a class from being a part, and kinds in words."""

from __future__ import annotations

import inspect
import re

from smbrl.errors import closest
from smbrl.interfaces import KINDS, Part


def part_fault(part: object) -> str | None:
    """What keeps something from being a part, in one line, or None."""
    if not isinstance(part, type):
        shown = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(part))
        return f"part {shown:.80} is {type(part).__name__}, expected a class"
    contracts = [contract for contract in KINDS.values() if issubclass(part, contract)]
    names = ", ".join(contract.__name__ for contract in KINDS.values())
    if not contracts:
        return f"part {part.__name__} implements no contract (a subclass of one of {names})"
    if len(contracts) > 1:
        return f"part {part.__name__} implements {len(contracts)} contracts, expected one"
    contract = contracts[0]
    if part is contract:
        return f"part {part.__name__} is the contract itself, expected a subclass of it"
    missing = sorted(getattr(part, "__abstractmethods__", ()))
    if missing:
        own = [name for name in vars(part) if not name.startswith("_") and not hasattr(contract, name)]
        near = {name: closest(name, own) for name in missing}
        words = [name + (f" (misspelt as {near[name]!r}?)" if near[name] else "") for name in missing]
        return f"part {part.__name__} lacks {', '.join(words)} of the contract {contract.__name__}"
    for parameter in constructor_parameters(part):
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            stars = "**" if parameter.kind is parameter.VAR_KEYWORD else "*"
            return (
                f"part {part.__name__} has {stars}{parameter.name} in its constructor; "
                "name every parameter, so that a misspelt binding is found"
            )
    return _wrong_constructor(part, contract) or _wrong_method(part, contract)


def _wrong_constructor(part: type[Part], contract: type[Part]) -> str | None:
    places = [p for p in constructor_parameters(part) if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in places if p.default is p.empty]
    if len(needed) <= len(contract.given) <= len(places):
        return None
    return (
        f"part {part.__name__} takes ({', '.join(needed)}) in its constructor, the contract {contract.__name__} gives "
        f"({', '.join(contract.given)}); what gin binds comes after a *, with a default"
    )


def _wrong_method(part: type[Part], contract: type[Part]) -> str | None:
    """A method that cannot be called as the contract says: most likely it was written for another version of it."""
    for name, wanted in vars(contract).items():
        found = getattr(part, name)
        if name.startswith("__") or not inspect.isfunction(wanted) or not inspect.isfunction(found):
            continue
        parameters = list(inspect.signature(wanted).parameters.values())
        places = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        try:
            inspect.signature(found).bind(*places, **dict.fromkeys(named))
        except TypeError:
            own = [p.name for p in inspect.signature(found).parameters.values()][1:]
            asked = [p.name for p in parameters][1:]
            return (
                f"part {part.__name__} has {name}({', '.join(own)}), the contract {contract.__name__} calls it with "
                f"({', '.join(asked)}): it was written for another version of smbrl, or is wrong"
            )
    return None


def constructor_parameters(cls: type) -> list[inspect.Parameter]:
    """The parameters of a class's constructor without ``self``; empty where it has none of its own."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return []
    return list(inspect.signature(inspect.unwrap(cls.__init__)).parameters.values())[1:]  # type: ignore[misc]


def spoken(kind: str | None) -> str:
    """A kind in words: ``skill model``."""
    return (kind or "part").replace("_", " ")


def article(kind: str) -> str:
    """A kind with its article: ``an encoder``."""
    word = spoken(kind)
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
