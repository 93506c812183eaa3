"""A process that stops with whoever started it, whatever became of them.

Whoever starts it keeps the other end of its standard input open and writes nothing to it. When they end, also by
``kill -9`` or with their machine's power, the pipe closes; the process then interrupts itself as Ctrl-C would, which
makes a run save itself. So no run goes on behind the back of a sweep that is started again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

GRACE = (120.0, 20.0)
"""Seconds for saving after the first interruption, and for stopping after the second; then the process is ended."""
ENDED = 130


def hold(stream: int = 0) -> None:
    """Begin to watch; returns at once. To be called in the main thread, before anything else.

    Args:
        stream: file descriptor of the reading end.
    """
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "pthread_sigmask"):  # a process started by one of Ray's inherits that it does not hear Ctrl-C
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    threading.Thread(target=_watch, args=(stream,), name="smbrl-leash", daemon=True).start()


def _watch(stream: int) -> None:
    with contextlib.suppress(OSError):  # closed from inside: nobody holds us either
        while os.read(stream, 64):
            pass
    for seconds in GRACE:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(seconds)
    os._exit(ENDED)
