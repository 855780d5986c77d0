"""The exception that stands for a user's mistake, and any error as one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

MAX_LENGTH = 500
"""Characters of a message; a longer one is a quoted value, and hides what is wrong."""
_LINE_BREAK = re.compile(r"[ \t]*[\n\r\v\f\t]\s*")


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: which file or case, what was expected, what arrived, what to do.
    Names and values that it quotes may hold anything; see `one_line`. The command line prints it
    without a traceback.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


class TooManyFailuresError(InputError):
    """More cases failed than were allowed; those that are done are kept.

    Attributes:
        failed: case -> reason, of all that failed.
    """

    failed: Mapping[str, str] = MappingProxyType({})


class FullDiskError(InputError):
    """Nothing more can be written there, whatever the case: no case is to blame."""


class NamelessError(InputError):
    """No name of a file says its modality, and nobody said it.

    Attributes:
        paths: of the images that are all there is.
    """

    def __init__(self, message: object = "", paths: Iterable[Path] = ()) -> None:
        super().__init__(message)
        self.paths = tuple(paths)


class LaterVersionError(InputError):
    """A file was written by a later version, and must not be taken for a torn one."""


def causes_of(error: BaseException | None) -> list[BaseException]:
    """An error and what it was raised from, the first cause last; each once, also in a circle."""
    chain: list[BaseException] = []
    following = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain


def user_error(error: BaseException | None) -> InputError | None:
    """The user's mistake behind an error that a library wrapped; None where there is none."""
    return next((cause for cause in causes_of(error) if isinstance(cause, InputError)), None)


def interruption_in(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption by the user that a library made an error of its own; None without one."""
    return next((cause for cause in causes_of(error) if isinstance(cause, KeyboardInterrupt)), None)


_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "unable to allocate")
"""In messages of torch, which has no type of its own for it on CPUs."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory that did not suffice is behind an error."""
    return any(
        isinstance(cause, MemoryError)
        or (
            isinstance(cause, RuntimeError)
            and any(text in str(cause).lower() for text in _OF_MEMORY)
        )
        for cause in causes_of(error)
    )


def reason_of(error: BaseException) -> str:
    """One line that says what failed: the user's mistake, or the first cause with its type."""
    if (mistake := user_error(error)) is not None:
        return one_line(str(mistake))
    cause = causes_of(error)[-1]
    kind = "not enough memory" if is_out_of_memory(error) else type(cause).__name__
    first = next((line for line in str(cause).splitlines() if line.strip()), "")
    if first.startswith("applying transform"):  # what follows is the address of a transform
        first = ""
    return one_line(f"{kind}: {first}" if first else kind)


def one_line(text: str) -> str:
    """A text as a message takes it: no line break, all of it visible, `MAX_LENGTH` at most.

    Of a longer one the middle is left out: a file stands at the beginning, advice at the end.
    """
    joined = _LINE_BREAK.sub(" ", text.strip())
    visible = printable(joined)
    if len(visible) <= MAX_LENGTH:
        return visible
    n_end = MAX_LENGTH // 3
    return f"{visible[: MAX_LENGTH - n_end - 5]} ... {visible[-n_end:]}"


def printable(text: str) -> str:
    """A text on one line that every file takes: what cannot be seen is written as its code."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
