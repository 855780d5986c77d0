"""What stands in messages, tables and pages: cut, on one line, and without people's folders."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable

from pipeline.files.limits import MAX_QUOTED, MAX_REASON


class _Short(reprlib.Repr):
    """As Python writes values, but bounded in width and depth."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = MAX_QUOTED
        self.maxlevel = 3

    def repr_int(self, value: int, level: int) -> str:
        """Python refuses to write numbers of thousands of digits."""
        if value.bit_length() > 4 * MAX_QUOTED:
            return f"a number of {value.bit_length()} bits"
        return repr(value)


# A name may hold spaces, but neither begin nor end with one.
_NAME = r"[^\s/\\:;,'\"()<>|~](?:[^/\\\n\r:;,'\"()<>|~]*[^\s/\\:;,'\"()<>|~])?"
_ABSOLUTE = re.compile(rf"(?<![\w.:/\\~-])(?:file://|~[\w.-]*|[A-Za-z]:)?[/\\]+(?:{_NAME}[/\\]+)+")
_RELATIVE = re.compile(r"(?<![\w.:/\\])(?:[\w.+=@-]+/)+(?=(?:[^\s/]+\.\w+)|[^\s/]+/)")


def quoted(value: object) -> str:
    """A value as a message repeats it: as Python writes it, cut to `MAX_QUOTED` characters."""
    return cut(_Short().repr(value), MAX_QUOTED)


def brief(reason: object) -> str:
    """What a library says, on one line of `MAX_REASON` characters at most, its words cut too."""
    line = " ".join(cut(word, MAX_QUOTED) for word in str(reason).split())
    return cut("".join(c if c.isprintable() else "\ufffd" for c in line), MAX_REASON)


def cut(text: str, length: int) -> str:
    """A text, its end left out where it is longer."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def without_folders(text: str, folders: Iterable[object] = ()) -> str:
    """A text in which the last part of every path alone is left.

    Args:
        text: for people, as why a case failed.
        folders: that are known to stand in it; others are recognised by their slashes.
    """
    known = sorted({str(folder) for folder in folders}, key=len, reverse=True)
    for folder in filter(None, (folder.rstrip("/") for folder in known)):
        # What lies deeper in it is left for the patterns, which do not know what begins it.
        text = re.sub(rf"(?<![\w./-]){re.escape(folder)}/", "/_/", text)
    return _RELATIVE.sub("", _ABSOLUTE.sub("", text))


def markdown_cell(text: str) -> str:
    """A name in a table or line of markdown: nothing in it is markup or begins a cell."""
    escaped = re.sub(r"([\\`*\[\]|#~])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def count(n: int, what: str) -> str:
    """A number with its noun: 1 slice, 2 slices, 2 studies."""
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{n} {what if n == 1 else plural}"
