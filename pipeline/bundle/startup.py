"""Before a bundle runs: is MONAI new enough, and how a user's mistake is told.

It imports nothing that an old MONAI lacks.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

import monai

from pipeline.errors import InputError, user_error


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
