"""Images in two files: which file holds the voxels of a header."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files.identity import content_hash
from pipeline.files.images.formats import (
    DETACHED_SUFFIXES,
    IMG_SUFFIXES,
    PAIR_SUFFIXES,
    without_suffix,
)
from pipeline.files.limits import MAX_TEXT_HEADER_BYTES
from pipeline.files.texts import quoted


def is_header(path: Path) -> bool:
    """Whether the name says that the voxels lie in another file."""
    return path.name.lower().endswith((*PAIR_SUFFIXES, *DETACHED_SUFFIXES))


def header_of(path: Path) -> Path:
    """The header of a pair, where a path is that of its voxels; else the path itself."""
    if not path.name.lower().endswith(IMG_SUFFIXES):
        return path
    return _beside(path, PAIR_SUFFIXES) or path


def voxel_file(path: Path) -> Path:
    """The file that holds the voxels of a header: a plain file in the header's own folder.

    Args:
        path: of a header, see `is_header`.

    Raises:
        InputError: it is not there, or the header names something else.
    """
    if path.name.lower().endswith(DETACHED_SUFFIXES):
        return _named_in(path)
    voxels = _beside(path, IMG_SUFFIXES)
    if voxels is None:
        stem = without_suffix(path.name)
        raise InputError(f"{path}: its voxels are in {stem}.img, which is not there; copy both")
    return voxels


def files_of(path: Path) -> tuple[Path, ...]:
    """An image's file, and the one with its voxels where that is another, as far as it is there."""
    if not is_header(path):
        return (path,)
    try:
        return (path, voxel_file(path))
    except (InputError, OSError):  # reading it will say so
        return (path,)


def image_hash(path: Path) -> str:
    """What an image is, as one hash, of its voxels and its header wherever these lie.

    Raises:
        OSError: it cannot be read.
    """
    first, *rest = (content_hash(file) for file in files_of(path))
    return hashlib.sha256("\n".join([first, *rest]).encode()).hexdigest() if rest else first


def _beside(path: Path, suffixes: Sequence[str]) -> Path | None:
    stem = without_suffix(path.name)
    names = (stem + one for suffix in suffixes for one in (suffix, suffix.upper()))
    return next((p for name in names if (p := path.with_name(name)).is_file()), None)


_DATA_FILE = re.compile(r"^(?:ElementDataFile\s*=|data ?file:)\s*(.+?)\s*$", re.M | re.I)

_SEVERAL = re.compile(r"^LIST|%|\s", re.IGNORECASE)
_NO_NAME = re.compile(r"[/\\\0]")


def _named_in(path: Path) -> Path:
    """The file that a text header names; it must lie beside it, and be one."""
    with path.open("rb") as file:
        text = file.read(MAX_TEXT_HEADER_BYTES).decode("latin-1")
    found = _DATA_FILE.search(text)
    if found is None:
        raise InputError(f"{path}: does not say in which file its voxels are; save it as .nii.gz")
    name = found[1]
    if name.startswith("./"):
        name = name[2:]
    if _SEVERAL.search(name):
        raise InputError(
            f"{path}: its voxels lie in several files ({quoted(name)}); save it as .nii.gz"
        )
    if name in (".", "..") or _NO_NAME.search(name):
        raise InputError(
            f"{path}: its voxels are in {quoted(name)}, which is not a file beside it; move both "
            "into one folder, or save it as .nii.gz"
        )
    voxels = path.with_name(name)
    if not voxels.is_file():
        raise InputError(f"{path}: its voxels are in {quoted(name)}, which is not there; copy both")
    return voxels
