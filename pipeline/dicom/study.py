"""What a folder or zip holds of studies: its series, those that are used, and a text for people."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.dicom.header import Header, read_header
from pipeline.dicom.modality import AS_SAID
from pipeline.dicom.search import study_files
from pipeline.dicom.series import MIN_SLICES, Series, series_of
from pipeline.errors import InputError, printable
from pipeline.files.limits import MAX_QUOTED
from pipeline.files.texts import count, cut

MAX_LINES = 20
"""Of single files that cannot be read, in a text."""


@dataclass(frozen=True)
class Study:
    """One visit of one patient.

    Attributes:
        uid: StudyInstanceUID.
        series: all, in the order of their numbers; those that are not used say why.
    """

    uid: str
    series: tuple[Series, ...]

    @property
    def case(self) -> str:
        """The name of its case, made of its identity.

        No name or number of a patient is in it, and no two studies have one.
        """
        return f"study-{hashlib.sha256(self.uid.encode()).hexdigest()[:8]}"

    @property
    def used(self) -> dict[str, Series]:
        """Modality to the series that is converted."""
        return {one.modality: one for one in self.series if not one.left_out}


@dataclass(frozen=True)
class Studies:
    """All studies of a path.

    Attributes:
        source: the folder, zip or file, absolute.
        studies: sorted by their identity.
        unreadable: name of a file -> why it cannot be read.
    """

    source: Path
    studies: tuple[Study, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def opened_studies(source: Path, modalities: Sequence[str] | None = None) -> Iterator[Studies]:
    """Read the studies of a path; a zip is unpacked as long as they are open.

    Args:
        source: absolute; a folder, a ``.zip`` or a DICOM file.
        modalities: what is asked for: a series of which nobody knows what it shows is taken for the
            one that is asked for, where it is the only one.

    Raises:
        InputError: the zip is torn or too large, or there are too many files.
    """
    files = study_files(source)
    try:
        headers: list[Header] = []
        unreadable = dict(files.left_out)
        for file in files.files:
            try:
                headers.append(read_header(file))
            except InputError as error:
                unreadable[file.name] = str(error)
        by_study: dict[str, list[Series]] = defaultdict(list)
        for series in series_of(headers):
            by_study[series.study_uid].append(series)
        if unreadable:
            note = f"{count(len(unreadable), 'file')} beside it cannot be read: slices may lack"
            by_study = {uid: [_noted(one, note) for one in all_] for uid, all_ in by_study.items()}
        studies = (Study(uid, _chosen(by_study[uid], modalities)) for uid in sorted(by_study))
        yield Studies(source, tuple(studies), unreadable)
    finally:
        files.close()


def _noted(series: Series, note: str) -> Series:
    return series if series.left_out else replace(series, notes=(*series.notes, note))


# --- which series is used -------------------------------------------------------------------------


def _chosen(series: Sequence[Series], asked: Sequence[str] | None) -> tuple[Series, ...]:
    """The series of a study, of each modality one that is not left out."""
    named = _with_asked(series, asked)
    best: dict[str, Series] = {}
    for one in named:
        if not one.left_out and one.modality:
            best[one.modality] = max(best.get(one.modality, one), one, key=_quality)
    chosen = (_final(one, best.get(one.modality)) for one in named)
    return tuple(_noted_of_strays(one, series) for one in chosen)


def _noted_of_strays(series: Series, others: Sequence[Series]) -> Series:
    """With a note of single slices that say to be of the same series, and do not fit it."""
    uid = series.header.series_uid
    strays = [one for one in others if one.header.series_uid == uid and _is_stray(one)]
    if not strays or not uid:
        return series
    n = sum(len(one.slices) for one in strays)
    return _noted(series, f"{count(n, 'slice')} of the series left out: {strays[0].left_out}")


def _is_stray(series: Series) -> bool:
    return bool(series.left_out) and len(series.slices) < MIN_SLICES


def _with_asked(series: Sequence[Series], asked: Sequence[str] | None) -> list[Series]:
    """What the user says of the only series in doubt."""
    known = [one.modality for one in series if not one.left_out]
    if asked is None or len(asked) != 1 or asked[0] in known or known.count("") != 1:
        return list(series)
    return [one if one.left_out or one.modality else _said_to_be(one, asked[0]) for one in series]


def _said_to_be(series: Series, modality: str) -> Series:
    note = f"taken for {modality}, as said: {series.why_modality}"
    return replace(series, modality=modality, why_modality=AS_SAID, notes=(*series.notes, note))


def _quality(series: Series) -> tuple[bool, float, int, int]:
    """As scanned before reformatted, thin slices before thick ones, many before few."""
    spacing = series.stack.spacing_mm if series.stack else (0.0, 0.0, 0.0)
    return (
        not series.is_derived,
        -max(spacing),
        len(series.slices),
        -(series.header.series_number or 0),
    )


def _final(series: Series, best: Series | None) -> Series:
    if series.left_out:
        return series
    if not series.modality:
        return replace(series, left_out=f"{series.why_modality}: say it with --modality")
    if best is not series and best is not None:
        return replace(
            series, left_out=f"{best.title} is used as {series.modality}: {_why(best, series)}"
        )
    return series


def _why(best: Series, other: Series) -> str:
    if other.is_derived and not best.is_derived:
        return "this one is computed"
    thickness = [max(one.stack.spacing_mm) if one.stack else 0.0 for one in (best, other)]
    if thickness[0] < thickness[1] - 1e-3:
        return "it is finer"
    return "it has more slices" if len(best.slices) > len(other.slices) else "it comes first"


# --- a text for people ----------------------------------------------------------------------------


def format_studies(found: Studies) -> str:
    """A line for each series: what it is, and why it is left out if it is."""
    lines = [f"{printable(str(found.source))}: DICOM, {count(len(found.studies), 'study')}"]
    for study in found.studies:
        lines += ["", f"{study.case}  {len(study.series)} series, {_used(study)}"]
        lines += _format_series(study.series)
    if found.unreadable:
        lines += ["", *_format_unreadable(found.unreadable)]
    return "\n".join(lines)


def _format_series(series: Sequence[Series]) -> list[str]:
    """A line each; alike ones, as the images of a localiser, share one."""
    counts = Counter(map(describe, series))
    return [f"  {line}" + (f" ({n} times)" if n > 1 else "") for line, n in counts.items()]


def describe(series: Series) -> str:
    """One line of a series."""
    header = series.header
    number = "" if header.series_number is None else f"{header.series_number}"
    title = printable(cut(header.description, MAX_QUOTED)) or "(no description)"
    facts = [f"{number:>4} {title}: {_what(series)}"]
    if series.stack is not None:
        columns, rows, step = series.stack.spacing_mm
        facts.append(
            f"{series.stack.plane}, {header.columns} x {header.rows} x {len(series.slices)}, "
            f"{columns:.3g} x {rows:.3g} x {step:.3g} mm"
        )
    else:
        facts.append(count(len(series.slices), "image"))
    if len(series.files) == 1 and len(series.slices) > 1:
        facts.append("multi-frame")
    facts += series.notes
    if series.left_out:
        facts.append(f"left out: {series.left_out}")
    return printable("; ".join(facts))


def _what(series: Series) -> str:
    if not series.modality:
        return series.header.modality or "?"
    return f"{series.modality} ({series.why_modality})"


def _used(study: Study) -> str:
    used = ", ".join(sorted(study.used))
    return f"used: {used}" if used else "none can be used"


def _format_unreadable(unreadable: Mapping[str, str]) -> list[str]:
    lines = [f"not read: {count(len(unreadable), 'file')}"]
    lines += [f"  {name}: {why}" for name, why in list(unreadable.items())[:MAX_LINES]]
    if (n_more := len(unreadable) - MAX_LINES) > 0:
        most = Counter(list(unreadable.values())[MAX_LINES:]).most_common(1)[0][0]
        lines.append(f"  and {n_more} more, most of them: {most}")
    return [printable(line) for line in lines]
