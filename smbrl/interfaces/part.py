"""What every part of smbrl has in common."""

from __future__ import annotations

import functools
import inspect
from typing import Any, ClassVar


class Part:
    """Base of every contract: an exchangeable piece that gin builds and a plugin registers.

    A part's constructor takes what the run knows first and positionally (each contract says what), and
    what a gin file may bind after that, by name, with a default and a type annotation. No ``**kwargs``:
    a misspelt binding must be found before the run starts.

    Attributes:
        kind: the contract's name, ``"encoder"``, ``"agent"``, ...; set by the contract, not by the part.
        given: what a contract's constructor gets positionally; set by the contract.
        settings: the arguments that this object was built with, defaults included. Pre-trained models
            are found again by them (see ``smbrl.training.pretrained``).
    """

    kind: ClassVar[str] = ""
    given: ClassVar[tuple[str, ...]] = ()
    settings: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]


def _recording(init: Any) -> Any:
    """Wrap a constructor so that it leaves its bound arguments in ``self.settings``."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        if "settings" not in self.__dict__:  # the outermost constructor is the one that was configured
            try:
                bound = signature.bind(self, *args, **kwargs)
            except TypeError:
                pass  # let the constructor itself complain
            else:
                bound.apply_defaults()
                values = dict(list(bound.arguments.items())[1:])
                # nn.Module refuses attributes before its own __init__; the dict does not
                self.__dict__["settings"] = values
        init(self, *args, **kwargs)

    wrapper.__signature__ = signature  # type: ignore[attr-defined]  # what gin reads names and defaults from
    return wrapper
