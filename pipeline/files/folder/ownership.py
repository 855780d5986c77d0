"""Which files of a folder are ours: nobody else's is replaced.

Each folder that we write to holds a list of the names that we wrote there, `LEDGER`: one a line, as
JSON texts, so that a torn line is none. It is only ever added to, and before a file gets its name.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.folder.disk import FLOOR, check_rights, check_room, sync
from pipeline.files.limits import MAX_RECORD_BYTES
from pipeline.files.names import (
    ATLASES,
    CACHE,
    CALIBRATION,
    CAPTIONS,
    CASE_PICTURES,
    CASE_SCORES,
    CHECKPOINT,
    COHORT,
    CONFIG,
    CURVES,
    DATALIST,
    LEDGER,
    LOSS_CHART,
    LOSSES,
    REPORT,
    RESULT,
    RUN_RECORD,
    SUMMARY,
    TABLE,
    TABLE_CSV,
    WEIGHTS,
)
from pipeline.files.strict_json import parse_json, read_text

OF_A_RUN = (
    *(CONFIG, WEIGHTS, CHECKPOINT, ATLASES, CALIBRATION, DATALIST, RUN_RECORD),
    *(LOSSES, LOSS_CHART),
)
OF_SCORES = (SUMMARY, CURVES, CASE_SCORES, TABLE, TABLE_CSV, DATALIST)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Flag of hidden files of ours: a link in their place leads to somebody's file."""
OF_PICTURES = (CASE_PICTURES, str(Path(CASE_PICTURES).with_suffix(".pdf")))


def claim(folder: Path, names: Iterable[str] = (), *, n_bytes: int = FLOOR) -> None:
    """See, before any long work, that files of these names can be written to a folder.

    Nothing is made or left there.

    Args:
        folder: there or not yet.
        names: of files directly in it.
        n_bytes: that they take at least.

    Raises:
        InputError: the folder cannot be written to, has too little room, or holds a file of such a
            name that is not ours.
    """
    wanted = tuple(names)
    check_rights(folder)
    _check_kind(folder, wanted)
    for name in wanted:
        check_ours(folder / name)
    check_room(folder, n_bytes)


def _check_kind(folder: Path, names: Iterable[str]) -> None:
    """See that tables do not go into the folder of a run, nor a run beside tables.

    Both keep who is in them under one name.
    """
    kinds = ((OF_SCORES, CONFIG, "a run"), (OF_A_RUN, SUMMARY, "the tables of a benchmark"))
    for wanted, sign, what in kinds:
        path = folder / sign
        if set(wanted) <= set(names) and os.path.lexists(path) and is_ours(path):
            raise InputError(f"{folder}: holds {what} ({sign}); give another output folder")


def check_ours(path: Path) -> None:
    """See that a file is not there, or ours.

    Raises:
        InputError: it is somebody else's.
    """
    if os.path.lexists(path) and not is_ours(path):
        kind = "folder" if path.is_dir() else "file"
        raise InputError(
            f"{path}: there is a {kind} that anomap did not write; move it away or give another "
            "output folder"
        )


def is_ours(path: Path) -> bool:
    """Whether we wrote the file of this name, by the list of its folder or a former record."""
    if path.is_dir():
        return False
    return path.name in _listed(path.parent) or path.name in _recorded(path.parent)


def note(path: Path) -> None:
    """Put the name of a file that is about to be written on the list of its folder.

    Raises:
        OSError: the list cannot be written.
    """
    if path.name in _listed(path.parent):
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_LINK
    handle = os.open(path.parent / LEDGER, flags, 0o666)
    try:
        line = f"{json.dumps(path.name)}\n".encode()
        if _is_torn(handle):
            line = b"\n" + line
        if os.write(handle, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path.parent / LEDGER)
        sync(handle)
    finally:
        os.close(handle)


def note_recorded(folder: Path) -> None:
    """Put on the list what a record of a former version accounts for, before that record goes.

    Raises:
        OSError: the list cannot be written.
    """
    for name in sorted(_recorded(folder)):
        if os.path.lexists(folder / name):
            note(folder / name)


def _is_torn(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"


def _listed(folder: Path) -> set[str]:
    try:
        lines = (folder / LEDGER).read_bytes().splitlines()
    except OSError:
        return set()
    names: set[str] = set()
    for line in lines:
        with contextlib.suppress(ValueError):
            name = json.loads(line)
            if isinstance(name, str):
                names.add(name)
    return names


# What versions wrote that kept no list, by the record that they left beside it ------------------


def _recorded(folder: Path) -> set[str]:
    return {name for names_of in _RECORDED for name in names_of(folder)}


def _of_result(folder: Path) -> Iterable[str]:
    tree = _tree(folder / RESULT)
    if not isinstance(tree.get("provenance"), dict) or not isinstance(tree.get("files"), list):
        return ()
    # Names alone before version 3 of the record, then each with its hash.
    names = (file.get("name") if isinstance(file, dict) else file for file in tree["files"])
    return (RESULT, *map(str, names))


def _of_run(folder: Path) -> Iterable[str]:
    tree = _tree(folder / RUN_RECORD)
    is_run = (folder / CONFIG).is_file() and ("software" in tree or "anomap" in tree)
    return OF_A_RUN if is_run else ()


def _of_cache(folder: Path) -> Iterable[str]:
    """All of it, where the folder above is a run."""
    if folder.name != CACHE or not _of_run(folder.parent):
        return ()
    return (path.name for path in folder.iterdir())


def _of_scores(folder: Path) -> Iterable[str]:
    is_ours = isinstance(_tree(folder / SUMMARY).get("methods"), dict)
    return (*OF_SCORES, *OF_PICTURES) if is_ours else ()


def _of_cohort(folder: Path) -> Iterable[str]:
    """``cohort.json`` itself, and the images of its cases two folders below."""
    if "arguments" in _tree(folder / COHORT):
        return (COHORT,)
    if "arguments" not in _tree(folder.parent.parent / COHORT):
        return ()
    return (path.name for path in folder.glob("*.nii.gz") if path.name.startswith(folder.name))


def _of_page(folder: Path) -> Iterable[str]:
    return (REPORT,) if "anomap</title>" in _head(folder / REPORT) else ()


def _of_figures(folder: Path) -> Iterable[str]:
    text = _head(folder / CAPTIONS)
    if not text.startswith("# Figures\n"):
        return ()
    names = re.findall(r"^!\[.*?\]\((.+)\.png\)$", text, re.MULTILINE)
    return (CAPTIONS, *(f"{name}{suffix}" for name in names for suffix in (".pdf", ".png")))


_RECORDED: tuple[Callable[[Path], Iterable[str]], ...] = (
    *(_of_result, _of_run, _of_cache, _of_scores, _of_cohort, _of_page, _of_figures),
)


def _tree(path: Path) -> dict[str, Any]:
    """The content of a JSON file; nothing where it is no such file."""
    try:
        tree = parse_json(read_text(path, MAX_RECORD_BYTES))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _head(path: Path, n_characters: int = 1 << 16) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(n_characters)
    except OSError:
        return ""
