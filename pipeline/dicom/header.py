"""What the header of a DICOM file says, as plain values; pixels are not read.

Nothing here trusts a header: values of the wrong kind are as if they were not there, and what makes
a file unfit stands in ``fault``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from pipeline.dicom.search import PREAMBLE, StudyFile
from pipeline.errors import InputError
from pipeline.files.limits import MAX_FRAMES, MAX_STUDY_FILE_BYTES, MAX_VOXELS
from pipeline.files.texts import brief

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_NATIVE = (_IMPLICIT, "1.2.840.10008.1.2.1", _BIG_ENDIAN)
_UNDEFINED = 0xFFFFFFFF
_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("FrameOfReferenceUID", "Modality", "SeriesDescription", "ProtocolName"),
    *("SeriesNumber", "InstanceNumber"),
    *("ImageType", "BodyPartExamined", "RepetitionTime", "EchoTime", "InversionTime"),
    *("ScanningSequence", "AcquisitionContrast"),
    *("ContrastBolusAgent", "ContrastBolusAgentSequence", "LossyImageCompression"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "PixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_TEXTS = {
    **{"sop_class": "SOPClassUID", "sop_instance_uid": "SOPInstanceUID"},
    **{"study_uid": "StudyInstanceUID", "series_uid": "SeriesInstanceUID"},
    **{"frame_of_reference_uid": "FrameOfReferenceUID", "modality": "Modality"},
    **{"description": "SeriesDescription", "protocol": "ProtocolName"},
    **{"body_part": "BodyPartExamined", "acquisition_contrast": "AcquisitionContrast"},
}
_COUNTS = {"rows": "Rows", "columns": "Columns", "samples": "SamplesPerPixel"}
"""Fields to elements."""
_NO_AGENT = ("", "no", "none", "n", "0", "null", "no contrast")
Floats = tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """One slice.

    Attributes:
        number: in a multi-frame object, from 1; None in a file of one slice.
        position: of the centre of the first voxel, mm, LPS; () where the file does not say it.
        orientation: direction of a row and of a column, 6 numbers; likewise.
        spacing: mm between rows and between columns; likewise.
        echo_ms: None where it is not said.
        kind: what tells its image from others of one object (magnitude, phase ...).
    """

    number: int | None
    position: Floats
    orientation: Floats
    spacing: Floats
    echo_ms: float | None = None
    kind: str = ""


@dataclass(frozen=True)
class Header:
    """Of a file; texts are "" and numbers None where it does not say them.

    Attributes:
        is_plain: its pixels are not compressed.
    """

    file: StudyFile
    bytes: int
    sop_class: str = ""
    sop_instance_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    frame_of_reference_uid: str = ""
    modality: str = ""
    description: str = ""
    protocol: str = ""
    series_number: int | None = None
    instance_number: int | None = None
    image_type: tuple[str, ...] = ()
    body_part: str = ""
    repetition_ms: float | None = None
    inversion_ms: float | None = None
    scanning_sequence: tuple[str, ...] = ()
    acquisition_contrast: str = ""
    agent: str = ""
    rows: int = 0
    columns: int = 0
    samples: int = 0
    is_lossy: bool = False
    has_preamble: bool = True
    is_plain: bool = False
    frames: tuple[Frame, ...] = ()
    fault: str = ""


def read_header(file: StudyFile) -> Header:
    """The header of a file.

    Raises:
        InputError: it cannot be read as DICOM; the reason alone, without the name of the file.
    """
    try:
        size = file.path.stat().st_size
        if size == 0:
            raise InputError("an empty file")
        with file.path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(file, stream, size)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or brief(error)})") from error
    except Exception as error:  # whatever the bytes made of a library
        raise InputError(f"not DICOM that can be read ({brief(_said(error))})") from error


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _read(file: StudyFile, stream: BinaryIO, size: int) -> Header:
    import pydicom

    if size > MAX_STUDY_FILE_BYTES:
        raise InputError(f"{size:,} bytes, more than {MAX_STUDY_FILE_BYTES:,}")
    head = stream.read(1024)
    if _DEFLATED in head:
        raise InputError("deflated, which is not read: unpack it (dcmconv of dcmtk)")
    stream.seek(0)
    has_preamble = head[PREAMBLE : PREAMBLE + 4] == b"DICM"
    dataset = pydicom.dcmread(
        stream, stop_before_pixels=True, force=not has_preamble, specific_tags=list(_TAGS)
    )
    get = _getter(dataset)
    if not get("SOPClassUID", _text) and not get("SeriesInstanceUID", _text):
        raise InputError("no DICOM object: it names no SOP class and no series")
    syntax = str(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", ""))
    frames, n_frames = _frames(dataset, get)
    header = _plain(file, size, get)
    is_plain = has_preamble and syntax in _NATIVE
    header.update(frames=frames, has_preamble=has_preamble, is_plain=is_plain)
    header["fault"] = _fault_of_counts(header, n_frames, size) or (
        _fault_of_pixels(header, _pixel_bytes(stream, syntax), n_frames, get("BitsAllocated", int))
        if syntax in _NATIVE
        else ""
    )
    return Header(**header)


def _plain(file: StudyFile, size: int, get: _Get) -> dict[str, Any]:
    """The fields that one element each says."""
    texts = {name: get(keyword, _text) or "" for name, keyword in _TEXTS.items()}
    counts = {name: get(keyword, int) or 0 for name, keyword in _COUNTS.items()}
    return {
        **{"file": file, "bytes": size, **texts, **counts, **_timing(get)},
        "description": texts["description"] or texts["protocol"],
        "series_number": get("SeriesNumber", int),
        "instance_number": get("InstanceNumber", int),
        "image_type": tuple(part.upper() for part in get("ImageType", _texts) or ()),
        "scanning_sequence": get("ScanningSequence", _texts) or (),
        "agent": _agent(get),
        "is_lossy": get("LossyImageCompression", _text) == "01",
    }


def _timing(get: _Get) -> dict[str, float | None]:
    """Of the sequence, in a classic or an enhanced object."""
    shared = _group(get("SharedFunctionalGroupsSequence", _first))
    timing = _getter(shared("MRTimingAndRelatedParametersSequence"))
    inversion = _getter(shared("MRModifierSequence"))("InversionTimes", _floats)
    return {
        "repetition_ms": get("RepetitionTime", _float) or timing("RepetitionTime", _float),
        "inversion_ms": get("InversionTime", _float) or (inversion[0] if inversion else None),
    }


def _agent(get: _Get) -> str:
    """Of the contrast; "" where there is none, or it is said that there is none."""
    item = _getter(get("ContrastBolusAgentSequence", _first))
    agent = get("ContrastBolusAgent", _text) or item("CodeMeaning", _text) or ""
    return "" if agent.strip().lower() in _NO_AGENT else str(agent)


# --- frames ---------------------------------------------------------------------------------------


def _frames(dataset: Any, get: _Get) -> tuple[tuple[Frame, ...], int]:
    """The slices of a file, and how many it announces."""
    n_frames = get("NumberOfFrames", int) or 1
    per_frame = get("PerFrameFunctionalGroupsSequence", list)
    if not per_frame:
        return (_classic_frame(get, None),), n_frames
    if n_frames > MAX_FRAMES or len(per_frame) > MAX_FRAMES:
        raise InputError(f"{n_frames:,} frames, more than {MAX_FRAMES:,}")
    if len(per_frame) != n_frames:
        raise InputError(f"announces {n_frames} frames and describes {len(per_frame)}")
    shared = get("SharedFunctionalGroupsSequence", _first)
    made = (_enhanced_frame(shared, one, i) for i, one in enumerate(per_frame, start=1))
    return tuple(made), n_frames


def _classic_frame(get: _Get, number: int | None) -> Frame:
    return Frame(
        number,
        _of_length(get("ImagePositionPatient", _floats), 3),
        _of_length(get("ImageOrientationPatient", _floats), 6),
        _of_length(get("PixelSpacing", _floats), 2),
        get("EchoTime", _float),
    )


def _enhanced_frame(shared: Any, own: Any, number: int) -> Frame:
    def find(sequence: str) -> _Get:
        return _getter(_group(own)(sequence) or _group(shared)(sequence))

    kind = find("MRImageFrameTypeSequence")
    b_value = find("MRDiffusionSequence")("DiffusionBValue", _float)
    time = find("FrameContentSequence")("TemporalPositionIndex", int)
    return Frame(
        number,
        _of_length(find("PlanePositionSequence")("ImagePositionPatient", _floats), 3),
        _of_length(find("PlaneOrientationSequence")("ImageOrientationPatient", _floats), 6),
        _of_length(find("PixelMeasuresSequence")("PixelSpacing", _floats), 2),
        find("MREchoSequence")("EffectiveEchoTime", _float),
        " ".join(
            str(part)
            for part in (kind("ComplexImageComponent", _text), b_value, time)
            if part is not None
        ),
    )


# --- what a file announces and what it holds ------------------------------------------------------


def _fault_of_counts(header: dict[str, Any], n_frames: int, size: int) -> str:
    n_pixels = header["rows"] * header["columns"] * n_frames
    if header["rows"] < 0 or header["columns"] < 0 or n_pixels < 0:
        return "announces a negative number of pixels"
    if n_pixels > MAX_VOXELS:
        return (
            f"announces {header['rows']} x {header['columns']} x {n_frames} pixels in "
            f"{size:,} bytes, more than {MAX_VOXELS:,}"
        )
    return ""


def _fault_of_pixels(
    header: dict[str, Any], held: int | None, n_frames: int, bits: int | None
) -> str:
    """Of files that are not compressed: as many bytes as rows and columns announce."""
    n_pixels = header["rows"] * header["columns"] * max(header["samples"], 1) * n_frames
    announced = math.ceil(n_pixels * (bits or 0) / 8)
    if held is None or held in (announced, announced + 1):
        return ""
    return f"announces {announced:,} bytes of pixels and holds {held:,}: damaged"


def _pixel_bytes(stream: BinaryIO, syntax: str) -> int | None:
    """Bytes of the pixels in the file, of a stream that stands before them; None where unknown."""
    start = stream.tell()
    order = "big" if syntax == _BIG_ENDIAN else "little"
    head = stream.read(8 if syntax == _IMPLICIT else 12)
    at_pixels = head[:4] in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
    if not at_pixels:
        return 0 if not head else None
    said = int.from_bytes(head[-4:], order)  # type: ignore[arg-type]
    if said == _UNDEFINED:
        return None
    stream.seek(0, 2)
    return min(said, stream.tell() - start - len(head))


# --- values that may be of any kind ---------------------------------------------------------------

_Get = Callable[[str, Callable[[Any], Any]], Any]


def _getter(dataset: Any) -> _Get:
    """Reads elements by keyword: None where one is missing, empty or of another kind."""

    def get(keyword: str, kind: Callable[[Any], Any]) -> Any:
        try:
            value = None if dataset is None else dataset.get(keyword)
            return None if value is None or value == "" else kind(value)
        except Exception:  # pydicom parses an element when it is asked for
            return None

    return get


def _group(dataset: Any) -> Callable[[str], Any]:
    """Reads functional groups: the item of a sequence, or None."""
    get = _getter(dataset)
    return lambda sequence: get(sequence, _first)


def _first(sequence: Sequence[Any]) -> Any:
    return sequence[0]


def _text(value: Any) -> str:
    return brief(str(value)).strip()


def _texts(value: Any) -> tuple[str, ...]:
    return (_text(value),) if isinstance(value, str) else tuple(map(_text, value))


def _float(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _floats(value: Any) -> Floats:
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    return tuple(float(one) for one in values)


def _of_length(values: Floats | None, length: int) -> Floats:
    """The numbers where there are so many finite ones; none otherwise."""
    is_fit = values is not None and len(values) == length and bool(np.isfinite(values).all())
    return values if is_fit and values is not None else ()
