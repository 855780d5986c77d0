"""Headers to series: what each shows, and why it is left out if it is."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipeline.dicom.geometry import (
    MAX_TILT_DEGREES,
    Stack,
    is_orthonormal,
    stack_of,
)
from pipeline.dicom.header import Frame, Header
from pipeline.dicom.modality import NO_CONTRAST, modality_of
from pipeline.files.limits import MAX_VOXELS
from pipeline.files.texts import count

MIN_SLICES = 8
"""A brain has more, in any plane and at any spacing that is used."""
_MR = {
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "enhanced MR, converted",
}
_NO_SCAN = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66": "raw data, or an object that is no image",
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map",
    "1.2.840.10008.5.1.4.1.1.7": "a secondary capture (screenshot)",
    "1.2.840.10008.5.1.4.1.1.88": "a structured report",
    "1.2.840.10008.5.1.4.1.1.104": "an encapsulated document",
    "1.2.840.10008.5.1.4.1.1.11": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.481": "a radiotherapy object",
    "1.2.840.10008.5.1.4.1.1.4.2": "spectroscopy",
    "1.2.840.10008.5.1.4.1.1.2": "CT, not MR",
    "1.2.840.10008.5.1.4.1.1.128": "PET, not MR",
    "1.2.840.10008.1.3.10": "an index of files",
}
"""SOP class, or the beginning of several, to what they are."""
_LOCALISER = ("localizer", "localiser", "scout", "survey", "smartbrain", "aahead", "3-plane", "loc")
_DERIVED = {
    *("PROJECTION IMAGE", "MIP", "MINIP", "MPR", "REFORMATTED", "SUBTRACT", "SUB", "ADC", "FA"),
    *("TRACEW", "CSA MPR", "CSAPARALLEL", "COMPOSED", "RESAMPLED"),
}
_NEVER = {"PROJECTION IMAGE", "MIP", "MINIP", "SUBTRACT", "SUB", "ADC", "FA", "TRACEW"}
"""Values of ImageType of images that were computed; some of them show no tissue as scanned."""
_BODY_OF_HEADS = ("HEAD", "BRAIN", "SKULL", "NEURO", "KOPF", "CRANE", "ORBIT", "FACE", "NECK")


class Slice(NamedTuple):
    """A slice: the header of its file, and which of its frames."""

    header: Header
    frame: Frame


@dataclass(frozen=True)
class Series:
    """Slices that make one volume, or would.

    Attributes:
        study_uid: of the study.
        slices: by position, ascending along their normal; as they came where that is unknown.
        modality: ours; "" where it is in doubt.
        why_modality: what tells it, or the doubt.
        stack: None where the slices have no place in space.
        left_out: why it is not converted; "" where it can be.
        notes: what was assumed of it.
        is_derived: computed from another series, such as a reformatted one.
    """

    study_uid: str
    slices: tuple[Slice, ...]
    modality: str = ""
    why_modality: str = ""
    stack: Stack | None = None
    left_out: str = ""
    notes: tuple[str, ...] = ()
    is_derived: bool = False

    @property
    def header(self) -> Header:
        """Of its first file."""
        return self.slices[0].header

    @property
    def files(self) -> tuple[Header, ...]:
        """The headers of its files, each once, in the order of its slices."""
        return tuple({one.header.file.name: one.header for one in self.slices}.values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 over identities and sizes of the files: the same of the same series anywhere."""
        lines = sorted(f"{one.sop_instance_uid} {one.bytes}" for one in self.files)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def title(self) -> str:
        """How people know it: number and description."""
        number = "" if self.header.series_number is None else f" {self.header.series_number}"
        return f"series{number} {self.header.description!r}"


def series_of(headers: Sequence[Header]) -> list[Series]:
    """Every series of some headers, by study, number and description; none is dropped."""
    groups: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for header in headers:
        for frame in header.frames:
            groups[_key(header, frame)].append(Slice(header, frame))
    found = [_described(slices) for slices in groups.values()]
    split = Counter(id(slices.header) for slices in found if slices.header.frames[0].number)
    found = [
        _left(one, f"one object of {split[id(one.header)]} images; export them one by one")
        if split[id(one.header)] > 1 and not one.left_out
        else one
        for one in found
    ]
    return sorted(
        found,
        key=lambda one: (
            one.study_uid,
            one.header.series_number if one.header.series_number is not None else 1 << 40,
            one.header.description,
            one.header.series_uid,
            one.header.file.name,
        ),
    )


def _key(header: Header, frame: Frame) -> tuple[object, ...]:
    """What the slices of one volume share."""
    return (
        *(header.study_uid, header.series_uid, header.sop_class, header.rows, header.columns),
        *(tuple(np.round(frame.orientation, 3)), tuple(np.round(frame.spacing, 3))),
        *(frame.echo_ms, frame.kind, _component(header.image_type)),
        # Enhanced objects hold a volume each.
        header.sop_instance_uid if frame.number is not None else "",
    )


def _component(image_type: Sequence[str]) -> tuple[str, ...]:
    """Magnitude, phase, real or imaginary, localiser, derived: what differs within a series."""
    told = {"M", "P", "R", "I", "PHASE", "MAGNITUDE", "REAL", "IMAGINARY", "LOCALIZER", *_DERIVED}
    return tuple(sorted(told.intersection(image_type)))


# --- one series -----------------------------------------------------------------------------------


def _described(slices: list[Slice]) -> Series:
    header = slices[0].header
    kept = _by_number(slices)
    # Without a study, each series is one: two studies without must not be taken for one.
    series = Series(header.study_uid or header.series_uid or header.file.name, kept)
    if (why := _why_no_mr_image(header)) or (why := _why_not_of_a_head(header)):
        return _left(series, why)
    shown = modality_of(header)
    derived = _DERIVED.intersection(header.image_type[2:]) or (
        {"a derived image"} if _is_reformatted(header) else set()
    )
    series = replace(
        series,
        modality=shown.modality,
        why_modality=shown.why,
        is_derived=bool(derived),
        notes=_notes(header, derived, len(slices) - len(kept)),
    )
    if computed := _NEVER.intersection(header.image_type):
        return _left(series, f"computed from others ({', '.join(sorted(computed)).lower()})")
    if shown.modality in NO_CONTRAST:
        return _left(series, f"{shown.modality}: no image of the tissue")
    if "MOSAIC" in header.image_type:
        return _left(series, "a mosaic: a time series or diffusion")
    return _with_stack(series)


def _with_stack(series: Series) -> Series:
    """In order along the normal, with what is wrong in space."""
    faults = Counter(one.header.fault for one in series.slices if one.header.fault)
    if faults:
        fault, n = faults.most_common(1)[0]
        return _left(series, f"{n} of {len(series.slices)} slices cannot be used: {fault}")
    if any(_is_nowhere(one.frame) for one in series.slices):
        return _left(
            series, "its slices do not say where they lie (position, orientation, spacing)"
        )
    stack = stack_of([one.frame for one in series.slices])
    repeated = [series.slices[i] for i in stack.repeated]
    n_places = len(stack.order)
    placed = replace(
        series,
        slices=tuple(series.slices[i] for i in stack.order),
        stack=stack,
        notes=(*series.notes, *_notes_of_stack(stack)),
    )
    if why := _why_no_stack(placed, stack, n_places, len(repeated)):
        return _left(placed, why)
    return placed


def _why_no_stack(series: Series, stack: Stack, n_places: int, n_repeated: int) -> str:
    header = series.header
    if n_places < MIN_SLICES:
        return f"{count(n_places, 'slice')}: too few for a brain"
    if n_repeated >= n_places:
        n_times = 1 + n_repeated // n_places
        return (
            f"{n_times} images at each of {n_places} places: a time series, diffusion, or the same "
            "series several times"
        )
    if header.rows * header.columns * n_places > MAX_VOXELS:
        return f"{header.rows} x {header.columns} x {n_places} voxels, more than {MAX_VOXELS:,}"
    # dcm2niix corrects a tilt that the header tells as well, of one sign to the wrong place.
    if stack.tilt_degrees > MAX_TILT_DEGREES:
        return (
            f"its slices are shifted against each other by {stack.tilt_degrees:.1f} degrees "
            "(gantry tilt): no straight volume; export it reformatted"
        )
    low, high = stack.steps_mm
    if stack.is_uneven:
        return f"the distance of its slices varies from {low:.2f} to {high:.2f} mm; export it again"
    if stack.missing:
        n_all = n_places + stack.missing
        return f"{stack.missing} of {n_all} slices are missing; export it again"
    return ""


def _by_number(slices: list[Slice]) -> tuple[Slice, ...]:
    """By number, the same instance once."""
    ordered = sorted(
        slices,
        key=lambda one: (
            one.frame.number or 0,
            one.header.instance_number or 0,
            one.header.file.name,
        ),
    )
    unique = {(one.header.sop_instance_uid, one.frame.number): one for one in reversed(ordered)}
    if "" in {uid for uid, _ in unique}:
        return tuple(ordered)
    return tuple(reversed(unique.values()))


def _is_nowhere(frame: Frame) -> bool:
    known = frame.position and frame.orientation and frame.spacing
    return not known or min(frame.spacing) <= 0 or not is_orthonormal(frame.orientation)


def _left(series: Series, why: str) -> Series:
    return replace(series, left_out=why)


# --- what a header says of a series ---------------------------------------------------------------


def _why_no_mr_image(header: Header) -> str:
    """Nothing for an MR image in shades of grey that is no localiser."""
    if why := _why_no_mr(header):
        return why
    if header.samples > 1:
        return "a coloured picture"
    if not header.rows or not header.columns:
        return "no image in it"
    return "a localiser" if _is_localiser(header) else ""


def _why_no_mr(header: Header) -> str:
    for uid, what in _NO_SCAN.items():
        if header.sop_class == uid or header.sop_class.startswith(f"{uid}."):
            return what
    is_mr = header.sop_class in _MR or header.modality == "MR"
    return "" if is_mr else f"{header.modality or 'of unknown kind'}, not MR"


def _is_localiser(header: Header) -> bool:
    """By its kind, or a word of its description; long ones may stand in another."""
    text = header.description.lower()
    words = text.replace("_", " ").split()
    said = (word in words or (len(word) > 4 and word in text) for word in _LOCALISER)
    return "LOCALIZER" in header.image_type or any(said)


def _why_not_of_a_head(header: Header) -> str:
    part = header.body_part
    is_head = not part or any(word in part for word in _BODY_OF_HEADS)
    return "" if is_head and "SPINE" not in part else f"of the {part.lower()}, not of a head"


def _is_reformatted(header: Header) -> bool:
    return header.image_type[:2] == ("DERIVED", "SECONDARY")


def _notes(header: Header, derived: set[str], n_twice: int) -> tuple[str, ...]:
    notes = []
    if n_twice:
        notes.append(f"{count(n_twice, 'file')} there twice, one of each is used")
    if derived:
        what = ", ".join(sorted(derived)).lower()
        notes.append(f"computed from another series ({what})")
    if header.is_lossy:
        notes.append("compressed with loss")
    if not header.has_preamble:
        notes.append("its files lack the preamble of DICOM")
    return tuple(notes)


def _notes_of_stack(stack: Stack) -> tuple[str, ...]:
    if 0 < len(stack.repeated) < len(stack.order):
        return (f"{count(len(stack.repeated), 'slice')} twice at one place, the first is used",)
    return ()
