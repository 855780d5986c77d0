"""The exception that stands for a user's mistake, and any error as one line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: which file or case, what was expected, what arrived, what to do.
    The command line prints it without a traceback.
    """


class TooManyFailuresError(InputError):
    """More cases failed than were allowed; those that are done are kept.

    Attributes:
        failed: case -> reason, of all that failed.
    """

    failed: Mapping[str, str] = MappingProxyType({})


class LaterVersionError(InputError):
    """A file was written by a later version, and must not be taken for a torn one."""


def user_error(error: BaseException | None) -> InputError | None:
    """The user's mistake behind an error that a library wrapped; None where there is none."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def reason_of(error: BaseException) -> str:
    """One line that says what failed: the user's mistake, or the first cause with its type."""
    if (mistake := user_error(error)) is not None:
        return str(mistake)
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
