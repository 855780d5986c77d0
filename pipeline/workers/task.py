"""Work as it travels to a worker, what a worker does with an item, and what comes back.

The function that does the work travels once to each worker, by value. What a worker logs and how
long its stages took comes back with each result, so that nobody who reads messages, lines of JSON
or the summary of stages sees where the work was done.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline.errors import FullDiskError, InputError, interruption_in, reason_of
from pipeline.stages import of_case, timed

R = TypeVar("R")
logger = logging.getLogger(__name__)
OURS = "pipeline"
"""The logger of this package, and the package."""
KILLED = "the process that worked on it was killed, for want of memory perhaps"


@dataclass(frozen=True)
class Said:
    """A record that a worker logged."""

    logger: str
    level: int
    message: str
    created: float
    fields: dict[str, object]


@dataclass(frozen=True)
class Report(Generic[R]):
    """What became of an item.

    Attributes:
        value: what the work returned; None where it failed.
        reason: why it failed, in a line; "" where it did not.
        disk_is_full: whether that was for want of room, of which no item is to blame.
        said: what was logged.
        seconds: stage -> of this item.
    """

    value: R | None = None
    reason: str = ""
    disk_is_full: bool = False
    said: tuple[Said, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Manners:
    """What a worker says aloud: as little as this process.

    Attributes:
        levels: of the loggers of libraries.
        filters: of warnings.
    """

    levels: dict[str, int]
    filters: tuple[Any, ...]

    @classmethod
    def of_this_process(cls) -> Manners:
        """Those of now."""
        known = logging.root.manager.loggerDict.items()
        levels = {
            name: one.level
            for name, one in known
            if isinstance(one, logging.Logger) and one.level and not name.startswith(OURS)
        }
        return cls(levels, tuple(warnings.filters))

    def take_on(self) -> None:
        """Make them those of this process."""
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)
        warnings.filters[:] = list(self.filters)  # type: ignore[index]


@dataclass(frozen=True)
class Task:
    """The work as it travels: what is done, and how.

    Attributes:
        payload: the function, pickled by value.
        key: hash of it.
        manners: see `Manners`.
        folders: where this process finds modules, the current folder among them.
    """

    payload: bytes
    key: str
    manners: Manners
    folders: tuple[str, ...]

    @classmethod
    def of(cls, work: Callable[[Any], Any]) -> Task:
        """Of a function."""
        import cloudpickle  # not by a bundle that works alone

        payload = cloudpickle.dumps(work)
        key = hashlib.sha256(payload).hexdigest()
        return cls(
            payload, key, Manners.of_this_process(), (*filter(None, sys.path), str(Path.cwd()))
        )

    def unpack(self) -> None:
        """Make the function that of this worker; where it cannot be, each item says why."""
        import cloudpickle

        self.manners.take_on()
        sys.path += [folder for folder in self.folders if folder not in sys.path]
        try:
            _WORK[self.key] = cloudpickle.loads(self.payload)
        except Exception as error:  # a module that is not there, or another version of it
            reason = f"a worker could not begin: {reason_of(error)}"

            def refuse(item: object) -> None:
                raise InputError(reason)

            _WORK[self.key] = refuse

    def forget(self) -> None:
        """Make room in this worker."""
        _WORK.pop(self.key, None)


_WORK: dict[str, Callable[[Any], Any]] = {}
"""Key -> function, of this worker."""
_ONE_AT_A_TIME = threading.Lock()


def run(key: str, name: str, item: object) -> Report[Any]:
    """Do the work on an item; whatever comes of it is a report."""
    ours, heard = logging.getLogger(OURS), _Heard()
    before = ours.level, ours.propagate
    # One item at a time, whatever threads a worker has: an item may use all cores by itself.
    with _ONE_AT_A_TIME, timed() as clock, of_case(name):
        ours.addHandler(heard)
        ours.setLevel(logging.DEBUG)
        ours.propagate = False
        try:
            report = Report(_WORK[key](item))
        except FullDiskError as error:
            report = Report(reason=reason_of(error), disk_is_full=True)
        except Exception as error:  # whatever it is, it does not stop the other items
            if interruption_in(error) is not None:
                raise KeyboardInterrupt from error
            logger.debug("%s", name, exc_info=True)
            report = Report(reason=reason_of(error))
        finally:
            ours.removeHandler(heard)
            ours.setLevel(before[0])
            ours.propagate = before[1]
    return replace(report, said=tuple(heard.said), seconds=clock.seconds)


class _Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Said] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, without what cannot travel."""
        fields = dict(getattr(record, "fields", {}))
        message = record.getMessage()
        self.said.append(Said(record.name, record.levelno, message, record.created, fields))


def repeat(said: Sequence[Said]) -> None:
    """Log in this process what was logged in a worker."""
    for one in said:
        target = logging.getLogger(one.logger)
        if target.isEnabledFor(one.level):
            record = target.makeRecord(
                one.logger,
                one.level,
                "",
                0,
                "%s",
                (one.message,),
                None,
                extra={"fields": one.fields},
            )
            record.created = one.created
            target.handle(record)
