"""Sub-tasks that count in a fixed order: the reward rule of the Kitchen and of the desk tasks.

A sub-task pays 1 when all before it in the list have been completed and its condition holds. One whose condition came
true too early pays when its turn comes, if it still holds then; so several may pay in one step. What has been paid
stays paid, whatever happens to it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smbrl.errors import SmbrlError, suggestion


def check_subtasks(task: str, chosen: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The ordered list of a task, checked.

    Args:
        task: name for the message, as in ``Kitchen``.
        chosen: what somebody asked for.
        known: what there is.

    Raises:
        SmbrlError: none, an unknown one, or one twice.
    """
    names = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    if not names:
        raise SmbrlError(f"{task}.subtasks is empty: give at least one of {', '.join(known)}")
    for index, name in enumerate(names):
        if name not in known:
            raise SmbrlError(f"{task}.subtasks names {name!r}: {suggestion(str(name), known)}")
        if name in names[:index]:
            raise SmbrlError(f"{task}.subtasks names {name!r} twice: each sub-task counts once")
    return names


class InOrder:
    """How far an episode has come.

    Attributes:
        names: the sub-tasks in their order.
        done: the completed ones, a beginning of ``names``.
        steps: for each completed one, the number of env steps after which it was.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.done: tuple[str, ...] = ()
        self.steps: tuple[int, ...] = ()

    def reset(self) -> None:
        """A new episode."""
        self.done, self.steps = (), ()

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return len(self.done) == len(self.names)

    @property
    def next(self) -> str | None:
        """The sub-task whose turn it is."""
        return None if self.complete else self.names[len(self.done)]

    def update(self, holds: Callable[[str], bool], step: int) -> int:
        """How many sub-tasks were completed by this step: what it pays.

        Args:
            holds: says whether a sub-task's condition is true now; asked for as few as possible.
            step: env steps of the episode so far, this one included.
        """
        before = len(self.done)
        while not self.complete and holds(self.names[len(self.done)]):
            self.done = self.names[: len(self.done) + 1]
            self.steps = (*self.steps, step)
        return len(self.done) - before
