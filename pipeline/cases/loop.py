"""One loop over cases for everything: progress, failures by name, one policy of what is caught.

An error of one case, whatever it is, does not stop the others; it is kept as a line under the
case's name. An interruption by the user goes through, and what is finished stays.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tqdm import tqdm

from pipeline.errors import (
    FullDiskError,
    InputError,
    TooManyFailuresError,
    interruption_in,
    printable,
    reason_of,
)
from pipeline.files.texts import count
from pipeline.stages import event, of_case

T = TypeVar("T")
R = TypeVar("R")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Execution:
    """How work on cases is done; no result depends on it.

    Attributes:
        progress: show a bar.
        overwrite: do finished cases again.
        max_failures: stop once more cases than this have failed; None never stops.
        device: ``cpu``, ``cuda``, ``cuda:1`` ...; None takes CUDA where there is one.
        lines: log lines of progress, as for a file in which a bar is of no use.
        part: ``(number, parts)``: of the cases, in the order of their names, those whose place is
            ``number`` modulo ``parts``; for detection, which leaves the others to other processes.
    """

    progress: bool = True
    overwrite: bool = False
    max_failures: int | None = None
    device: str | None = None
    lines: bool = False
    part: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        number, parts = self.part
        if not 0 <= number < parts:
            raise InputError(
                f"part {number} of {parts}: expected 0 to {parts - 1} (--part-id, --num-parts)"
            )
        if self.max_failures is not None and self.max_failures < 0:
            raise InputError(f"--max-failures {self.max_failures}: expected 0 or more")


QUIET = Execution(progress=False)


def of_part(cases: Sequence[T], execution: Execution) -> list[T]:
    """The cases that this process does, in order; see `Execution.part`."""
    number, parts = execution.part
    return list(cases[number::parts])


@dataclass
class Failures:
    """Reasons by the name of the case, and the policy of what counts as one.

    Attributes:
        reasons: case -> one line.
        max_failures: see `Execution`.
    """

    max_failures: int | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def catching(self, name: str) -> Iterator[None]:
        """Keep an error of what stands inside as the reason of a case.

        Raises:
            TooManyFailuresError: more cases failed than are allowed.
            FullDiskError: nothing more can be written.
            KeyboardInterrupt: the user wants to stop, whatever a library made of it.
        """
        try:
            yield
        except FullDiskError:  # the other cases would fail of it too
            raise
        except Exception as error:  # whatever it is, it does not stop the other cases
            if interruption_in(error) is not None:
                raise KeyboardInterrupt from error
            logger.debug("case %s", name, exc_info=True)
            self.add(name, reason_of(error))

    def add(self, name: str, reason: str) -> None:
        """Keep a reason; errors as `catching`."""
        reason = printable(reason)
        self.reasons[name] = reason
        event("case failed", case=name, reason=reason)
        if self.max_failures is not None and len(self.reasons) > self.max_failures:
            error = TooManyFailuresError(
                f"stopped: {len(self.reasons)} cases failed, more than --max-failures "
                f"{self.max_failures}; the last: {name}: {reason}"
            )
            error.failed = dict(self.reasons)
            raise error


MAX_NOTES = 10
SECONDS_A_LINE = 60.0
"""Between two lines of progress in a log."""


def say_notes(notes: Mapping[str, Sequence[str]], where: str = "") -> None:
    """Log what is to be known of cases, a line each; of many the first `MAX_NOTES`.

    Args:
        notes: case -> sentences; each is said once.
        where: the rest can be read.
    """
    lines = [
        f"note: {name}: {note}" for name, said in notes.items() for note in dict.fromkeys(said)
    ]
    for line in lines[:MAX_NOTES]:
        logger.warning("%s", line)
    if (n_more := len(lines) - MAX_NOTES) > 0:
        logger.warning("note: and %d more%s", n_more, f", see {where}" if where else "")


@dataclass(frozen=True)
class Outcomes(Generic[R]):
    """What became of cases, each name in one of the two.

    Attributes:
        done: case -> what the work returned, in order.
        failed: case -> one line.
    """

    done: dict[str, R] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class ProgressLines:
    """Lines of progress for a log: how much there is, and how much is done, once a minute.

    Attributes:
        start: of each line.
        total: number of things.
        unit: what a thing is called.
    """

    start: str
    total: int
    unit: str
    _said: float = field(default_factory=time.monotonic)

    def say(self, number: int) -> None:
        """Log a line before thing ``number``, from 0, if one is due."""
        if number == 0 and self.total > 1:
            logger.info("%s%s", self.start, count(self.total, self.unit))
        elif time.monotonic() - self._said >= SECONDS_A_LINE:
            logger.info("%s%d of %s", self.start, number, count(self.total, self.unit))
            self._said = time.monotonic()


def each_case(
    items: Mapping[str, T],
    work: Callable[[T], R],
    *,
    description: str,
    execution: Execution,
    unit: str = "case",
) -> Outcomes[R]:
    """Do some work on every case.

    Args:
        items: name of a case -> what the work gets.
        work: raises `InputError` for what the user can mend; anything else counts as a failure of
            that case too.
        description, unit: of the progress bar.
        execution: its ``progress`` and ``max_failures``.

    Raises:
        TooManyFailuresError: more cases failed than are allowed.
        FullDiskError: nothing more can be written; what is done stays.
    """
    done: dict[str, R] = {}
    failures = Failures(execution.max_failures)
    bar = tqdm(items.items(), desc=description, unit=unit, disable=not execution.progress)
    lines = ProgressLines(f"{description}: ", len(items), unit) if execution.lines else None
    for number, (name, item) in enumerate(bar):
        if lines is not None:
            lines.say(number)
        with of_case(name), failures.catching(name):
            done[name] = work(item)
            event(f"{unit} done", step=description)
    return Outcomes(done, failures.reasons)
