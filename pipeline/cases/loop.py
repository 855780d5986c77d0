"""One loop over cases for everything: progress, failures by name, one policy of what is caught.

An error of one case, whatever it is, does not stop the others; it is kept as a line under the
case's name. An interruption by the user goes through, and what is finished stays.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

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
from pipeline.stages import add_seconds, event, of_case
from pipeline.workers.crew import Crew, spread_over
from pipeline.workers.task import repeat

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
        crew: who does it: this process, several of this machine, or a cluster.
    """

    progress: bool = True
    overwrite: bool = False
    max_failures: int | None = None
    device: str | None = None
    lines: bool = False
    part: tuple[int, int] = (0, 1)
    crew: Crew = Crew()

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
    def catching(self, name: str) -> Generator[None]:
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
        hidden: nothing is logged.
    """

    start: str
    total: int
    unit: str
    hidden: bool = False
    _said: float = field(default_factory=time.monotonic)

    def say(self, number: int) -> None:
        """Log a line before thing ``number``, from 0, if one is due."""
        if self.hidden:
            return
        if number == 0 and self.total > 1:
            logger.info("%s%s", self.start, count(self.total, self.unit))
        elif time.monotonic() - self._said >= SECONDS_A_LINE:
            logger.info("%s%d of %s", self.start, number, count(self.total, self.unit))
            self._said = time.monotonic()


def _as_it_is(name: str, value: R) -> R:
    """What is kept of most work."""
    return value


@dataclass(frozen=True)
class Apart(Generic[T, R]):
    """Work that changes nothing but files of its own case, so that other processes may do it.

    Attributes:
        work: of a case.
        then: done in this process with name and value of each case, one after the other; what it
            returns is kept.
    """

    work: Callable[[T], R]
    then: Callable[[str, R], R] = _as_it_is

    def __call__(self, item: T) -> R:
        """Do the work."""
        return self.work(item)


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
            that case too. Where it is `Apart`, the execution's crew does it.
        description, unit: of the progress bar.
        execution: its ``progress``, ``max_failures`` and ``crew``.

    Raises:
        TooManyFailuresError: more cases failed than are allowed.
        FullDiskError: nothing more can be written; what is done stays.
        InputError: the cluster was lost.
    """
    done: dict[str, R] = {}
    failures = Failures(execution.max_failures)
    lines = ProgressLines(f"{description}: ", len(items), unit, hidden=not execution.lines)
    apart = work if isinstance(work, Apart) else Apart(work)
    crew = execution.crew if apart is work and len(items) > 1 else Crew()
    bar = tqdm(total=len(items), desc=description, unit=unit, disable=not execution.progress)
    finish = _alone if crew.is_this_process else _together
    with bar, contextlib.closing(finish(items, apart.work, failures, crew)) as finished:
        for number in range(len(items)):
            lines.say(number)
            name, values = next(finished)
            with of_case(name), failures.catching(name):
                for value in values:
                    done[name] = apart.then(name, value)
                    event(f"{unit} done", step=description)
            bar.update()
    return Outcomes({name: done[name] for name in items if name in done}, failures.reasons)


_Finished = Generator[tuple[str, list[R]]]
"""Names with what the work returned, nothing where it failed."""


def _alone(
    items: Mapping[str, T], work: Callable[[T], R], failures: Failures, crew: Crew
) -> _Finished[R]:
    """In this process, one after the other."""
    for name, item in items.items():
        values: list[R] = []
        with of_case(name), failures.catching(name):
            values.append(work(item))
        yield name, values


def _together(
    items: Mapping[str, T], work: Callable[[T], R], failures: Failures, crew: Crew
) -> _Finished[R]:
    """By a crew, as they are done; errors as of `Failures.catching`."""
    with contextlib.closing(spread_over(work, items, crew)) as reports:
        for name, report in reports:
            with of_case(name):
                repeat(report.said)
                add_seconds(report.seconds)
                if report.disk_is_full:
                    raise FullDiskError(report.reason)
                if report.reason:
                    failures.add(name, report.reason)
            yield name, [] if report.reason else [cast(R, report.value)]
