"""What the phases of a run share: its folder, its log, its bars, and when to stop or save."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch import nn

from smbrl.errors import SmbrlError
from smbrl.tracking.progress import Phase, ProgressBars
from smbrl.tracking.tracker import Tracker
from smbrl.training.folder import RunFolder
from smbrl.training.guard import Guard
from smbrl.training.seeding import globals_state
from smbrl.training.settings import Checkpoints

logger = logging.getLogger("smbrl.training")


class InterruptedRunError(Exception):
    """The user (or the system) asked the run to stop, and it did; it can be resumed."""


class Interrupt:
    """Ctrl-C and SIGTERM as a wish that a phase grants at its next safe point; the second time they insist."""

    def __init__(self, message: Callable[[str], None]) -> None:
        self.asked = False
        self._message = message
        self._patient = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._handle)
            except ValueError:  # not the main thread: whoever runs it there stops it
                continue
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Inside, the wish waits for ``asked`` to be looked at; outside it is granted at once."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self._patient:
            raise KeyboardInterrupt
        self.asked = True
        self._message("stopping at the next safe point (press Ctrl-C again to stop at once)")


class Session:
    """One sitting of a run, from its start or resumption to its end or interruption.

    Args:
        folder: of the run.
        tracker: what is logged to.
        bars: progress.
        checkpoints: when to save.
        seconds: spent so far, by phase (a resumed run goes on counting).
    """

    def __init__(
        self,
        folder: RunFolder,
        tracker: Tracker,
        bars: ProgressBars,
        checkpoints: Checkpoints,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self.folder = folder
        self.tracker = tracker
        self.bars = bars
        self.settings = checkpoints
        self.store = folder.checkpoints(checkpoints.keep)
        self.interrupt = Interrupt(bars.message)
        self.seconds = dict(seconds or {})
        self._saved_at = time.monotonic()
        self._saved_step = 0
        self._warned = False

    # -- time --------------------------------------------------------------------------------------
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside to a phase, and say in run.json that it is going on."""
        self.note(phase=name)
        self.tracker.tags({"phase": name})
        before, began = self.seconds.get(name, 0.0), time.monotonic()
        self._ticking = (name, before, began)
        self._saved_at = began
        try:
            yield
        finally:
            self.tick()

    def tick(self) -> float:
        """Bring the running phase's seconds up to date; return them."""
        name, before, began = self._ticking
        self.seconds[name] = before + time.monotonic() - began
        return self.seconds[name]

    def bar(self, name: str, total: int, unit: str, start: int = 0) -> Phase:
        """A progress bar."""
        return self.bars.phase(name, total, unit, start=start)

    # -- saving and stopping -----------------------------------------------------------------------
    def began(self, step: int) -> None:
        """A loop starts (or goes on) at ``step``: count from there to the next checkpoint."""
        self._saved_at, self._saved_step = time.monotonic(), step

    def pause(self, phase: str, step: int, agent: nn.Module, guard: Guard, state: Callable[[], dict[str, Any]]) -> None:
        """A safe point: save if it is time to, stop if that was asked for. Changes no number of the run.

        Args:
            phase: that goes on.
            step: how far it is.
            agent: whose parameters must be finite to be saved.
            guard: looks at them.
            state: the phase's state, called where it is needed.

        Raises:
            InterruptedRunError: after saving.
            SmbrlError: that was asked for, but the disk does not take the checkpoint.
            DivergedError: there is nothing good to save.
        """
        every = self.settings.every_steps
        if (
            self.interrupt.asked
            or time.monotonic() - self._saved_at >= self.settings.every_seconds
            or (every and step // every > self._saved_step // every)
        ):
            try:
                self.save(phase, step, agent, guard, state())
            except SmbrlError as error:
                if self.interrupt.asked:
                    raise
                logger.warning(str(error))  # the disk may have room again next time
                self.began(step)
        if self.interrupt.asked:
            raise InterruptedRunError

    def save(self, phase: str, step: int, agent: nn.Module, guard: Guard, state: dict[str, Any]) -> None:
        """Write a checkpoint now."""
        guard.check_parameters(agent, step)
        self.tick()
        whole = {
            "phase": state,
            "globals": globals_state(),
            "position": self.tracker.position(),
            "seconds": self.seconds,
        }
        self.store.save(whole, phase=phase, step=step)
        self.note(step=step, seconds=self.seconds)
        self.began(step)

    def note(self, **changes: Any) -> None:
        """Change entries of run.json that nothing depends on; a full disk is a warning."""
        try:
            self.folder.update(**changes)
        except SmbrlError as error:
            if not self._warned:
                self._warned = True
                logger.warning(str(error))
