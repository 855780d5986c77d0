"""How long each stage of the work takes: told at the end of a command, and as lines of JSON.

What is in a stage is not in the stage around it, so that seconds add up. The clock and the case are
of the context: where nobody has started a clock, a stage costs nothing.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


@dataclass
class Clock:
    """Seconds of the stages of a command.

    Attributes:
        seconds: stage -> of all cases together, in the order in which they were first entered.
        started: when the clock was.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    inner: list[float] = field(default_factory=list)

    def summary(self) -> str:
        """The stages in one line; "" where there was none."""
        if not self.seconds:
            return ""
        parts = [f"{name} {seconds_text(spent)}" for name, spent in self.seconds.items()]
        return f"time: {', '.join(parts)}; {seconds_text(time.monotonic() - self.started)} in all"


_CLOCK: ContextVar[Clock | None] = ContextVar("clock", default=None)
_CASE: ContextVar[str] = ContextVar("case", default="")


@contextmanager
def timed() -> Iterator[Clock]:
    """Start a clock; the stages inside are counted by it."""
    clock = Clock()
    token = _CLOCK.set(clock)
    try:
        yield clock
    finally:
        _CLOCK.reset(token)


@contextmanager
def of_case(name: str) -> Iterator[None]:
    """What stands inside is done for a case of this name."""
    token = _CASE.set(name)
    try:
        yield
    finally:
        _CASE.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the seconds of what stands inside, less those of stages in it."""
    clock = _CLOCK.get()
    if clock is None:
        yield
        return
    clock.seconds.setdefault(name, 0.0)
    clock.inner.append(0.0)
    start = time.monotonic()
    try:
        yield
    finally:
        spent = time.monotonic() - start
        own = max(spent - clock.inner.pop(), 0.0)
        clock.seconds[name] += own
        if clock.inner:
            clock.inner[-1] += spent
        event("stage", stage=name, seconds=round(own, 3), memory_mib=peak_memory_mib())


def add_seconds(seconds: Mapping[str, float]) -> None:
    """Count seconds of stages that were spent in another process."""
    clock = _CLOCK.get()
    if clock is not None:
        for name, spent in seconds.items():
            clock.seconds[name] = clock.seconds.get(name, 0.0) + spent


def event(what: str, **fields: object) -> None:
    """Log what happened for ``--log-json``; people are not told."""
    logger.debug("%s", what, extra={"fields": fields})


def peak_memory_mib() -> float | None:
    """The most memory that this process has held so far, in MiB; None where nobody counts it."""
    if resource is None:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def seconds_text(seconds: float) -> str:
    """A duration for people: ``0.4 s``, ``12 s``, ``3 min 5 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class JsonLines(logging.Formatter):
    """A line of JSON for each event and each message: time, level, case, what, and its numbers."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "case": _CASE.get(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, ensure_ascii=False)
