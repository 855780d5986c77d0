"""SIGTERM and SIGHUP end a command as Ctrl-C does: what is unfinished is cleared away."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

logger = logging.getLogger(__name__)

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
GRACE_S = 5.0
"""For so long further signals change nothing, so that what is left can be cleared away."""


@dataclass
class Stop:
    """Whether, and by which signal, the command was asked to stop.

    Attributes:
        number: of the signal; None before one.
    """

    number: int | None = None
    asked_at: float = float("-inf")

    @property
    def status(self) -> int:
        """Exit status as shells know it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (signal.SIGINT if self.number is None else self.number)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise `KeyboardInterrupt`; again only after a while."""
        if time.monotonic() - self.asked_at < GRACE_S:
            return
        self.number, self.asked_at = number, time.monotonic()
        raise KeyboardInterrupt

    def not_raised(self, failure: sys.UnraisableHookArgs) -> None:
        """An interruption that fell into a callback, where Python drops it, is asked for again.

        What else falls there is of libraries that are being interrupted, and nothing to tell.
        """
        logger.debug("dropped in %r: %r", failure.object, failure.exc_value)
        if self.number is not None and issubclass(failure.exc_type, KeyboardInterrupt):
            self.asked_at = float("-inf")
            threading.Timer(0.05, os.kill, (os.getpid(), self.number)).start()


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[Stop]:
    """Inside, signals raise `KeyboardInterrupt`; one that is ignored (nohup) stays so."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {n: handler for n in SIGNALS if (handler := signal.getsignal(n)) in usual}
    for number in before:
        signal.signal(number, stop)
    hook, sys.unraisablehook = sys.unraisablehook, stop.not_raised
    try:
        yield stop
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            # After a stop the interpreter ends, and clears away in peace.
            signal.signal(number, handler if stop.number is None else signal.SIG_IGN)
