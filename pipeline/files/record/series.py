"""``*.series.json``: which DICOM files a NIfTI was converted from, slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pipeline.errors import InputError
from pipeline.files.names import SERIES, series_record
from pipeline.files.record.base import FileRecord, Record


class SliceSource(Record):
    """Where one slice comes from."""

    path: str
    """The DICOM file, relative to ``source``, with forward slashes."""
    sop_instance_uid: str
    """Of the file."""
    frame: int | None = None
    """Number of the frame in a multi-frame object, from 1 as DICOM counts; null in a file of one
    slice."""


class SeriesRecord(FileRecord):
    """What a NIfTI was converted from; lies beside it, and holds nothing else of the headers."""

    FILE: ClassVar[str] = SERIES
    WHAT: ClassVar[str] = "the record of a converted DICOM series"

    schema_version: int = 1
    """Of the layout of the file."""
    study_uid: str
    """StudyInstanceUID."""
    series_uid: str
    """SeriesInstanceUID."""
    frame_of_reference_uid: str = ""
    """FrameOfReferenceUID; "" where the files have none."""
    modality: str
    """What the image shows, as anomap calls it: flair, t1, t1ce, t2, ..."""
    series_description: str = ""
    """SeriesDescription, or ProtocolName; "" where the files have neither."""
    source: str
    """The folder or zip that was given, absolute; of a file that was given, its folder."""
    files: tuple[SliceSource, ...]
    """One a slice, in the order of the third axis of the NIfTI; the names of files are as they were
    given, so a folder that is called by a person stands here too."""
    fingerprint: str = ""
    """SHA-256 over the identities and sizes of the files: as long as it is the same, nothing is
    converted again."""
    sha256: str = ""
    """Of the NIfTI as it was written."""
    notes: tuple[str, ...] = ()
    """What was guessed, corrected or left out."""

    @classmethod
    def beside(cls, image_path: Path) -> SeriesRecord | None:
        """That of a NIfTI; None where it was not converted from DICOM.

        Raises:
            InputError: there is one that cannot be read.
        """
        path = series_record(image_path)
        return cls.read(path) if path.is_file() else None


def notes_of_series(image_path: Path) -> tuple[str, ...]:
    """What is to be known of the DICOM series that an image was converted from, if it was."""
    try:
        record = SeriesRecord.beside(image_path)
    except InputError:  # it says nothing of the image itself
        return ()
    return record.notes if record is not None else ()
