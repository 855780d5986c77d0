"""How a command ends, and what it prints."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from pipeline.errors import one_line
from pipeline.files.names import FINDINGS_TABLE
from pipeline.files.texts import count

RED, GREEN = "31", "32"


DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
"""Exit statuses; those after a signal are of `pipeline.cli.stopping`."""


def finish(failed: Mapping[str, str], message: str) -> int:
    """Print the failures and where the result lies; the exit status."""
    for name, reason in failed.items():
        complain(f"{name} failed: {reason}")
    print(_painted(message, GREEN, sys.stdout))
    return SOME_FAILED if failed else DONE


MAX_SAID = 20
"""Cases whose findings are printed."""


def say_findings(out: Path, names: Sequence[str]) -> None:
    """Print what was found in cases, a line each; of many the first `MAX_SAID`."""
    from pipeline.findings.folder import sentences

    for name, found in sentences(out, names[:MAX_SAID]).items():
        print(one_line(f"{name}: {found}"))
    if (n_more := len(names) - MAX_SAID) > 0:
        print(f"and {n_more} more cases, see {FINDINGS_TABLE} in the folder of each")


def in_folder(n_cases: int, out: Path) -> str:
    """How many cases are done, and what to do next with their folder."""
    done = f"{count(n_cases, 'case')} in {out}"
    return f"{done}; {to_look_at(out)}" if n_cases else done


def to_look_at(out: Path) -> str:
    """What to do next with a folder of results."""
    return f"to look at every case: anomap report {shlex.quote(str(out))}"


def complain(message: str) -> None:
    """Print a line to standard error, whatever the message holds."""
    print(f"{_painted('anomap:', RED, sys.stderr)} {one_line(message)}", file=sys.stderr)


def _painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, on a terminal that has not asked for none (no-color.org)."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{colour}m{text}\033[0m"


class ToStandardError(logging.Handler):
    """Prints what the package logs for people, to the standard error of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        print(one_line(record.getMessage()), file=sys.stderr)
