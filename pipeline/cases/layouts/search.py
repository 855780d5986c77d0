"""The image files below a folder, and the data set that a path belongs to; no file is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.files.names import BIDS_DESCRIPTION, MSD_DESCRIPTION
from pipeline.files.nifti import is_picture, is_volume

UNREADABLE: Mapping[str, str] = {
    ".dcm": "DICOM: convert the series with dcm2niix",
    ".ima": "DICOM: convert the series with dcm2niix",
    ".img": "image and header in two files: save it as .nii.gz (nibabel.load, nibabel.save)",
    ".hdr": "image and header in two files: save it as .nii.gz (nibabel.load, nibabel.save)",
    ".mgz": "FreeSurfer format: convert with mri_convert x.mgz x.nii.gz",
    ".mgh": "FreeSurfer format: convert with mri_convert x.mgh x.nii.gz",
    ".nrrd": "NRRD: save it as .nii.gz (SimpleITK, 3D Slicer)",
    ".mha": "MetaImage: save it as .nii.gz (SimpleITK, 3D Slicer)",
    ".mhd": "MetaImage: save it as .nii.gz (SimpleITK, 3D Slicer)",
    ".tif": "TIFF: save it as PNG",
    ".tiff": "TIFF: save it as PNG",
    ".bmp": "BMP: save it as PNG",
}
"""Image formats that are reported rather than read, with the remedy."""


def image_files(root: Path, *, recursive: bool) -> tuple[list[Path], dict[Path, str]]:
    """All NIfTI files and pictures of a folder, and what cannot be read.

    Args:
        root: a folder, or a file, which stands for itself.
        recursive: whether subfolders are read; links to folders are followed, each once.

    Returns:
        The files in sorted order, and every file or folder that cannot be read with the reason.
    """
    if root.is_file():
        return [root] if _is_image(root) else [], {}
    unlisted: dict[Path, str] = {}

    def keep_reason(error: OSError) -> None:
        unlisted[Path(error.filename)] = f"folder cannot be listed ({error.strerror})"

    walk = os.walk(root, followlinks=True, onerror=keep_reason)
    there = list(_visible_files(walk, recursive=recursive))
    refused = {
        path: UNREADABLE[path.suffix.lower()]
        for path in there
        if not _is_image(path) and path.suffix.lower() in UNREADABLE
    }
    return sorted(path for path in there if _is_image(path)), {**unlisted, **refused}


def _is_image(path: Path) -> bool:
    return is_volume(path) or is_picture(path)


def _visible_files(
    walk: Iterator[tuple[str, list[str], list[str]]], *, recursive: bool
) -> Iterator[Path]:
    """The files of a walk that are not hidden, each folder once."""
    seen: set[Path] = set()
    for folder, subfolders, names in walk:
        real = Path(folder).resolve()
        if real in seen:  # a link to a folder already read, or a loop of links
            subfolders.clear()
            continue
        seen.add(real)
        if not recursive:
            subfolders.clear()
        # os.walk goes on with what this list then holds.
        subfolders[:] = sorted(s for s in subfolders if not s.startswith((".", "__MACOSX")))
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def enclosing_dataset(path: Path) -> Path | None:
    """The BIDS or MSD data set that a path is or lies in, at most five levels up, or None."""
    if path.suffix.lower() == ".json":
        return None
    for folder in (path, *path.parents)[:6]:
        if (folder / BIDS_DESCRIPTION).is_file() or (folder / MSD_DESCRIPTION).is_file():
            return folder
        if folder.name.startswith("sub-") and (folder.parent / "derivatives").is_dir():
            return folder.parent
    return None
