"""What smbrl raises at a user's mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SmbrlError(Exception):
    """One line for a user: what was found, what was expected, what to do. No traceback is shown for it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name`` (case aside), or None where none is like it."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def suggestion(name: str, known: Iterable[str], *, show: int = 8) -> str:
    """A clause for the end of an error line: the closest match, or what is known where nothing is close.

    Args:
        name: what was found.
        known: what would have been right.
        show: how many known names to list at most.

    Returns:
        ``"did you mean 'x'?"``, ``"known: a, b, c"`` or ``"none is known"``.
    """
    names = sorted(set(known))
    match = closest(name, names)
    if match is not None:
        return f"did you mean {match!r}?"
    if not names:
        return "none is known"
    more = f", ... ({len(names) - show} more)" if len(names) > show else ""
    return "known: " + ", ".join(names[:show]) + more
