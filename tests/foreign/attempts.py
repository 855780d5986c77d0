"""What must hold of any input: a result, or one line of refusal, within bounds."""

from __future__ import annotations

import contextlib
import signal
import stat
import threading
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pipeline.errors import InputError

READ, REFUSED = "read", "refused"

LONGEST_MESSAGE = 600
"""Characters of a refusal beside the path that it names."""
LONGEST_SECONDS = 10.0
"""For any input; one second here, and a small machine that does other work is ten times slower."""
MEBIBYTE = 1 << 20
WORKING_MEMORY = 96 * MEBIBYTE
"""What may be taken for any input, however small."""
MEMORY_A_BYTE = 24
"""What may be taken besides for each byte that a file really holds: three copies as float64."""


class Fault(AssertionError):
    """An input that is neither read nor refused as it should be."""


@dataclass(frozen=True)
class Attempt:
    """An input on the disk, and what is done with it.

    Attributes:
        use: reads it; raises `InputError`, or `Fault` where what it reads is wrong.
        named: a refusal holds one of these texts.
        unpacked: number of bytes that the input really holds.
        folder: holds the input, and is not written to.
    """

    use: Callable[[], object]
    named: tuple[str, ...]
    unpacked: int
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What became of an input, and what it took."""

    what: str
    message: str
    seconds: float
    peak_bytes: int


def outcome_of(attempt: Attempt) -> Outcome:
    """Use an input, and see that all holds.

    Raises:
        Fault: something does not.
    """
    before = snapshot(attempt.folder)
    start, memory = time.perf_counter(), PeakMemory()
    message = ""
    try:
        with warnings.catch_warnings(), _at_most(LONGEST_SECONDS):
            warnings.simplefilter("ignore")
            attempt.use()
    except InputError as error:
        message = str(error)
        _check_message(message, attempt.named)
    except (Fault, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Fault(f"{type(error).__name__}: {str(error)[:200]}") from error
    peak = memory.taken()
    if peak > WORKING_MEMORY + MEMORY_A_BYTE * attempt.unpacked:
        raise Fault(f"took {peak / MEBIBYTE:.0f} MiB for {attempt.unpacked} bytes ({message})")
    if snapshot(attempt.folder) != before:
        raise Fault("wrote beside its input")
    seconds = time.perf_counter() - start
    return Outcome(REFUSED if message else READ, message, seconds, peak)


def _check_message(message: str, named: tuple[str, ...]) -> None:
    shown = message[:300]
    if not message or message.splitlines() != [message]:
        raise Fault(f"a refusal is one line: {shown!r}")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in message):
        raise Fault(f"a refusal holds a character that terminals act upon: {shown!r}")
    if not any(name in message for name in named):
        raise Fault(f"a refusal names its file ({', '.join(named)[:100]!r}): {shown!r}")
    for name in named:
        message = message.replace(name, "")
    if len(message) > LONGEST_MESSAGE:
        raise Fault(f"a refusal of {len(message)} characters: {shown!r}")


def snapshot(folder: Path) -> list[tuple[str, int, int]]:
    """Names of all that lies below a folder, sizes and times of its files."""
    found = []
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        is_folder = stat.S_ISDIR(about.st_mode)
        found.append((str(path), *((0, 0) if is_folder else (about.st_size, about.st_mtime_ns))))
    return found


# --- time and memory -----------------------------------------------------------------------------


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise a `Fault` in what takes longer; only the main thread can be interrupted so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _TooLong(f"took more than {seconds:g} s")

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


class _TooLong(BaseException):
    """Not an `Exception`: no code that catches everything takes it for a refusal."""


class PeakMemory:
    """How much more memory this process held than at first; 0 where the system does not tell."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before = _status("VmRSS")

    def taken(self) -> int:
        """Bytes at the highest since this was made."""
        return max(0, _status("VmHWM") - self._before)


def _status(key: str) -> int:
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return int(text.partition(f"{key}:")[2].split()[0]) * 1024
