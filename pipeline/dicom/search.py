"""The DICOM files of a folder, a zip or a path, recognised by content; no header is parsed."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import InputError, reason_of
from pipeline.files.archives import TORN, check_member, unpack_member
from pipeline.files.images.formats import is_picture, is_volume
from pipeline.files.limits import MAX_STUDY_BYTES, MAX_STUDY_FILE_BYTES, MAX_STUDY_FILES
from pipeline.files.paths import is_file, is_folder
from pipeline.files.scratch import remove_scratch, scratch_folder

DICOM_SUFFIXES = (".dcm", ".ima", ".dicom", ".dic")
PREAMBLE = 128
_MAGIC = b"DICM"
_BARE = tuple(bytes((8, 0, element, 0)) for element in (0x00, 0x01, 0x05, 0x08, 0x16, 0x18))
"""How a file begins that has no preamble: an element of group 0008, little-endian."""
_INDEX = "DICOMDIR"
"""Name of the index of a medium: it lists files that are found without it."""


@dataclass(frozen=True)
class StudyFile:
    """A file that begins as DICOM does.

    Attributes:
        path: where it can be read.
        name: relative to the study, with forward slashes.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class StudyFiles:
    """What a path holds of DICOM.

    Attributes:
        source: the folder, zip or file, as an absolute path.
        files: sorted by name.
        left_out: name -> why it is not read.
        scratch: where a zip is unpacked, None for others; see `close`.
    """

    source: Path
    files: tuple[StudyFile, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    scratch: Path | None = None

    def close(self) -> None:
        """Remove what was unpacked."""
        if self.scratch is not None:
            remove_scratch(self.scratch)


def study_files(source: Path) -> StudyFiles:
    """Every DICOM file of a folder (and those below it), of a ``.zip``, or a file alone.

    Links to folders are followed, each once.

    Args:
        source: absolute.

    Raises:
        InputError: the zip is torn, or more than is read; so many files are no study.
    """
    source = _of_index(source)
    if is_folder(source):
        return _of_folder(source)
    if is_zip(source):
        return _of_zip(source)
    if not is_file(source) or not is_dicom(source):
        return StudyFiles(source)
    return StudyFiles(source, (StudyFile(source, source.name),))


def holds_dicom(source: Path) -> bool:
    """Whether there is a DICOM file in a folder or zip, or the file is one.

    Of a zip the first bytes of members are read until one is DICOM. A torn one is taken to hold
    some: reading it says what is wrong.
    """
    source = _of_index(source)
    if is_folder(source):
        return any(is_dicom(path) for path in _visible(source))
    if not is_zip(source):
        return is_file(source) and is_dicom(source)
    try:
        with zipfile.ZipFile(source) as archive:
            return any(map(_has_dicom, [archive] * MAX_STUDY_FILES, _members(archive)))
    except TORN:
        return True


def _of_index(source: Path) -> Path:
    """The folder of a medium where its index is given; any other path as it is."""
    return source.parent if source.name.upper() == _INDEX and is_file(source) else source


def is_zip(path: Path) -> bool:
    """Whether the name says zip."""
    return path.suffix.lower() == ".zip" and is_file(path)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does, with a preamble or without.

    Never one with the name of a volume or picture, nor the index of a medium.
    """
    if _is_other(path):
        return False
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return begins_as_dicom(file.read(PREAMBLE + 4), path.name)
    except (OSError, ValueError):
        return False


def begins_as_dicom(head: bytes, name: str) -> bool:
    """Whether the first `PREAMBLE` + 4 bytes are those of DICOM.

    A name that says DICOM is believed, so that a damaged file is said rather than passed over.
    """
    if head[PREAMBLE:] == _MAGIC or name.lower().endswith(DICOM_SUFFIXES):
        return True
    return len(head) == PREAMBLE + 4 and head.startswith(_BARE)


# --- folders --------------------------------------------------------------------------------------


def _of_folder(root: Path) -> StudyFiles:
    found: list[StudyFile] = []
    for path in _visible(root):
        if is_dicom(path):
            if len(found) == MAX_STUDY_FILES:
                raise _too_many(root)
            found.append(StudyFile(path, path.relative_to(root).as_posix()))
    return StudyFiles(root, tuple(sorted(found, key=lambda file: file.name)))


def _visible(root: Path) -> Iterator[Path]:
    """The files below a folder that are not hidden; each folder once, whatever links to it."""
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        subfolders[:] = (
            [] if real in seen else sorted(s for s in subfolders if not s.startswith("."))
        )
        if real not in seen:
            yield from (Path(folder, name) for name in sorted(names) if name[0] != ".")
        seen.add(real)


# --- zips -----------------------------------------------------------------------------------------


def _of_zip(source: Path) -> StudyFiles:
    """Unpacked under numbers, whatever the members are called."""
    scratch = scratch_folder()
    try:
        with zipfile.ZipFile(source) as archive:
            members = _members(archive)
            _check_size(source, members)
            files, left_out = _unpacked(archive, members, scratch)
    except TORN as error:
        remove_scratch(scratch)
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: not a zip that can be read ({reason_of(error)})") from error
    except BaseException:
        remove_scratch(scratch)
        raise
    return StudyFiles(source, tuple(files), left_out, scratch)


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Files that may be DICOM, by name."""
    return sorted((one for one in archive.infolist() if _may_be(one)), key=lambda one: one.filename)


def _may_be(info: zipfile.ZipInfo) -> bool:
    name = Path(info.filename)
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts if part != "..")
    return not (info.is_dir() or is_hidden or _is_other(name))


def _is_other(path: Path) -> bool:
    """By its name; some programs give DICOM the ending of Analyze."""
    is_image = (is_volume(path) and path.suffix.lower() != ".img") or is_picture(path)
    return is_image or path.name.upper() == _INDEX


def _check_size(source: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_STUDY_FILES:
        raise _too_many(source)
    if (total := sum(info.file_size for info in members)) > MAX_STUDY_BYTES:
        raise InputError(
            f"{source}: {total:,} bytes unpacked, more than {MAX_STUDY_BYTES:,}; unpack the study "
            "that is meant, and give its folder"
        )


def _unpacked(
    archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], scratch: Path
) -> tuple[list[StudyFile], dict[str, str]]:
    """The DICOM files among the members, and name -> why others of them cannot be read."""
    files: list[StudyFile] = []
    left_out: dict[str, str] = {}
    for number, info in enumerate(members):
        path = scratch / f"{number:06d}.dcm"
        try:
            if _has_dicom(archive, info):
                unpack_member(archive, info, path, MAX_STUDY_FILE_BYTES)
                files.append(StudyFile(path, info.filename))
        except TORN as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk
                raise
            path.unlink(missing_ok=True)
            left_out[info.filename] = f"cannot be unpacked ({reason_of(error)})"
    return files, left_out


def _has_dicom(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    check_member(info, MAX_STUDY_FILE_BYTES)
    with archive.open(info) as file:
        return begins_as_dicom(file.read(PREAMBLE + 4), Path(info.filename).name)


def _too_many(source: Path) -> InputError:
    return InputError(
        f"{source}: more than {MAX_STUDY_FILES:,} DICOM files; give the folder of one study"
    )
