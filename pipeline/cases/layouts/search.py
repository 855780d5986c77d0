"""The image files below a folder, and the data set that a path belongs to; no file is opened."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from pipeline.files.images.formats import DICOM_ADVICE, advice_for, is_picture, is_volume
from pipeline.files.images.pairs import header_of
from pipeline.files.names import BIDS_DESCRIPTION, MSD_DESCRIPTION
from pipeline.files.paths import is_file, is_folder

NO_FILE = "no such file, or a dead link"
"""The reason why a file cannot be used that a folder or a datalist names."""


def why_unreadable(path: Path) -> str:
    """What to do with an image of a format that is not read; "" for any other file."""
    if (advice := advice_for(path)) is not None:
        return advice
    is_known = path.suffix[1:].isalpha()
    return DICOM_ADVICE if not is_known and _has_dicom_preamble(path) else ""


def _has_dicom_preamble(path: Path) -> bool:
    """Whether a file without a suffix that says anything begins as DICOM does."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except (OSError, ValueError):
        return False


def image_files(root: Path, *, recursive: bool) -> tuple[list[Path], dict[Path, str]]:
    """All volumes and pictures of a folder, and what cannot be read.

    Args:
        root: a folder, or a file, which stands for itself.
        recursive: whether subfolders are read; links to folders are followed, each once.

    Returns:
        The files in sorted order, and every file or folder that cannot be read with the reason.
    """
    if not is_folder(root):
        return ([header_of(root)], {}) if _is_image(root) else ([], {})
    unlisted: dict[Path, str] = {}

    def keep_reason(error: OSError) -> None:
        unlisted[Path(error.filename)] = f"folder cannot be listed ({error.strerror})"

    walk = os.walk(root, followlinks=True, onerror=keep_reason)
    there = list(_visible_files(walk, recursive=recursive))
    refused = {path: why for path in there if (why := _why_not_read(path))}
    usable = (path for path in there if _is_image(path) and path not in refused)
    # Of a pair the header stands for the image; its voxels are no further one.
    images = sorted({header_of(path) for path in usable})
    return images, {**unlisted, **refused}


def _why_not_read(path: Path) -> str:
    """The reason for what is no image that is read; "" for one, and for files of no image."""
    if not _is_image(path):
        return why_unreadable(path)
    return "a folder with a file's name: see inside" if is_folder(path) else ""


def _is_image(path: Path) -> bool:
    return is_volume(path) or is_picture(path)


def _visible_files(
    walk: Iterator[tuple[str, list[str], list[str]]], *, recursive: bool
) -> Iterator[Path]:
    """The files of a walk that are not hidden, and folders with names of images; each once."""
    seen: set[str] = set()
    for folder, subfolders, names in walk:
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder already read, or a loop of links
            subfolders.clear()
            continue
        seen.add(real)
        visible = sorted(s for s in subfolders if not s.startswith((".", "__MACOSX")))
        names += [name for name in visible if _is_image(Path(name))]
        # os.walk goes on with what this list then holds.
        subfolders[:] = visible if recursive else []
        yield from (Path(folder, name) for name in names if not name.startswith("."))


IMAGE_FOLDER = re.compile(r"images(tr|ts|val|test)", re.IGNORECASE)
"""Names of the folders of images in data sets of nnU-Net and the Decathlon."""


def enclosing_dataset(path: Path) -> Path | None:
    """The BIDS, MSD or nnU-Net data set that a path is or lies in, or None.

    At most five levels up.
    """
    if path.suffix.lower() == ".json":
        return None
    for folder in (path, *path.parents)[:6]:
        if any(is_file(folder / name) for name in (BIDS_DESCRIPTION, MSD_DESCRIPTION)):
            return folder
        if IMAGE_FOLDER.fullmatch(folder.name) and is_folder(folder):
            return folder.parent
        if folder.name.startswith("sub-") and is_folder(folder.parent / "derivatives"):
            return folder.parent
    return None
