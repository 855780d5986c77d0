"""Before a bundle runs: is MONAI new enough, and how a user's mistake is told.

It imports nothing that an old MONAI lacks.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

import monai

from pipeline.errors import InputError


def begin(monai_version: str) -> None:
    """Check the installed MONAI, and let a user's mistake be one line instead of a traceback.

    Args:
        monai_version: that of metadata.json; an older minor version is refused.

    Raises:
        InputError: MONAI is too old.
    """
    sys.excepthook = _one_line
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    if _minor(monai.__version__) < _minor(monai_version):
        raise InputError(
            f"MONAI {monai.__version__} is installed; this bundle needs {monai_version} or newer: "
            f"pip install 'monai>={monai_version}'"
        )


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2])


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    mistake: object = user_error(error)
    if issubclass(kind, KeyboardInterrupt):
        mistake = (
            "stopped; what is finished stays: repeat the command to go on (a training: with "
            "--resume)"
        )
    if mistake is None:
        traceback.print_exception(kind, error, trace)
    else:
        print(f"anomap: {mistake}", file=sys.stderr)


def reason_of(error: BaseException) -> str:
    """A line that says what failed: the user's mistake, or the error that MONAI wrapped."""
    if (mistake := user_error(error)) is not None:
        return str(mistake)
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}"


def user_error(error: BaseException | None) -> InputError | None:
    """The user's mistake behind an error that MONAI wrapped; None where there is none."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error
