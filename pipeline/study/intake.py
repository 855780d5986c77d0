"""Paths as a hospital hands them over to paths that every command reads: DICOM becomes NIfTI."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from pipeline.cases.layouts.search import image_files
from pipeline.cases.listing import format_cohort
from pipeline.cases.loop import Execution, each_case, say_notes
from pipeline.cases.several import Paths, Selection, as_paths, find_all
from pipeline.dicom.convert import convert_series, require
from pipeline.dicom.search import holds_dicom, study_files
from pipeline.dicom.series import Series
from pipeline.dicom.study import Studies, Study, format_studies, opened_studies
from pipeline.errors import FullDiskError, InputError, TooManyFailuresError
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import claim
from pipeline.files.images.formats import is_picture
from pipeline.files.paths import located
from pipeline.files.record.series import SeriesRecord, notes_of_series
from pipeline.files.texts import count
from pipeline.files.writing import remove
from pipeline.stages import stage

logger = logging.getLogger(__name__)


BESIDE_OTHERS = (
    "DICOM beside images of other formats is not read: give its folder alone, or anomap convert"
)


@dataclass(frozen=True)
class Intake:
    """Paths without DICOM.

    Attributes:
        paths: those given that hold other images, and the folders of converted cases.
        failed: case, or path -> why nothing of it was converted.
        converted: names of the cases that were converted, now or before.
    """

    paths: tuple[Path, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    converted: tuple[str, ...] = ()


def take_in(
    data: Paths,
    folder: Path,
    *,
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> Intake:
    """Convert the studies among some paths into ``folder/<case>/<case>_<modality>.nii.gz``.

    A folder that holds images of other formats too is left as it is, with a note: most often they
    were converted from the DICOM files beside them.

    Args:
        data: anything that a command takes, and folders, zips and files of DICOM.
        folder: made where there is something to convert.
        selection: its modalities are those that a study must have; with one alone, a series in
            doubt is taken for it.
        execution: progress, and how many studies may fail.

    Raises:
        InputError: there is nothing but studies of which none can be used.
    """
    paths: list[Path] = []
    studies: list[Path] = []
    for path in as_paths(data):
        root = located(path)
        is_study = holds_dicom(root)
        if is_study and _holds_others(root):
            logger.warning("note: %s: %s", path.name, BESIDE_OTHERS)
            is_study = False
        (studies if is_study else paths).append(path)
    with stage("convert") if studies else nullcontext():
        taken = _convert_all(studies, folder, selection, execution)
    if not paths and not taken.converted:
        raise InputError(_all_failed(taken.failed))
    return replace(taken, paths=(*paths, *taken.paths))


def convert(
    data: Paths,
    out: Path | str,
    *,
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> Intake:
    """As `take_in`, of DICOM alone, also where images of other formats lie beside it.

    Raises:
        InputError: a path holds no DICOM, or nothing of it can be used.
    """
    for path in as_paths(data):
        if not holds_dicom(located(path)):
            raise InputError(f"{path}: no DICOM files there; other images need no conversion")
    taken = _convert_all(as_paths(data), Path(out), selection, execution)
    if not taken.converted:
        raise InputError(_all_failed(taken.failed))
    say_notes({case: _notes_in(Path(out) / case) for case in taken.converted})
    return taken


def _notes_in(case_dir: Path) -> list[str]:
    """What is to be known of the images of a case; a detection says it of those that it uses."""
    images = sorted(case_dir.glob("*.nii.gz"))
    return [f"{image.name}: {note}" for image in images for note in notes_of_series(image)]


def describe(path: Path, selection: Selection) -> str:
    """What a path holds, for people: the series of DICOM studies, and the cases of other images."""
    root = located(path)
    is_study = holds_dicom(root)
    if is_study and not _holds_others(root):
        return _described(root, selection)
    cases = format_cohort(find_all([path], selection))
    return f"{cases}\n\n{BESIDE_OTHERS}\n{_described(root, selection)}" if is_study else cases


def _described(root: Path, selection: Selection) -> str:
    require("pydicom")
    with opened_studies(root, selection.modalities) as found:
        return format_studies(found)


def _holds_others(root: Path) -> bool:
    """Whether images of other formats lie there to be read; not the icons of a viewer on a CD."""
    if not root.is_dir():
        return False
    images, _ = image_files(root, recursive=True)
    pictures = [path for path in images if is_picture(path)]
    is_of_pictures = bool(pictures) and len(pictures) > len(study_files(root).files)
    return len(images) > len(pictures) or is_of_pictures


# --- studies -------------------------------------------------------------------------------------


class _Target(NamedTuple):
    """Where to, and all paths that the command was given."""

    folder: Path
    given: tuple[Path, ...]


def _convert_all(
    studies: Sequence[Path], folder: Path, selection: Selection, execution: Execution
) -> Intake:
    """The studies of some paths; one that fails does not stop the others."""
    target = _Target(folder, tuple(map(located, studies)))
    cases: list[str] = []
    failed: dict[str, str] = {}
    for path in studies:
        try:
            taken = _take_study(located(path), target, selection, execution)
        except (FullDiskError, TooManyFailuresError):
            raise
        except InputError as error:
            failed[str(path)] = str(error)
        else:
            failed |= taken.failed
            cases += [case for case in taken.converted if case not in cases]
    return Intake(tuple(folder / case for case in cases), failed, tuple(cases))


def _take_study(root: Path, target: _Target, selection: Selection, execution: Execution) -> Intake:
    require("pydicom")
    claim(target.folder)
    with opened_studies(root, selection.modalities) as found:
        _check_readable(found)
        case_dirs = [target.folder / study.case for study in found.studies]
        with locked(target.folder, within=[path for path in case_dirs if path.is_dir()]):
            outcomes = each_case(
                {study.case: study for study in found.studies},
                lambda study: _convert_study(study, root, target, selection.modalities),
                description="convert",
                execution=execution,
                unit="study",
            )
    say_notes({case: notes for case, notes in outcomes.done.items() if notes})
    if found.unreadable:
        name, why = next(iter(found.unreadable.items()))
        logger.warning(
            "note: %s: %s not read, the first: %s: %s",
            *(root.name, count(len(found.unreadable), "file"), name, why),
        )
    return Intake((), outcomes.failed, tuple(outcomes.done))


def _check_readable(found: Studies) -> None:
    if not found.studies:
        name, why = next(iter(found.unreadable.items()), ("", "no DICOM object is there"))
        raise InputError(f"{found.source}: no DICOM file can be read; {name}: {why}")


def _convert_study(
    study: Study, source: Path, target: _Target, asked: Sequence[str] | None
) -> list[str]:
    """What is left out of a study that might have been used.

    Raises:
        InputError: nothing of it can be used, or what is asked for is not there.
    """
    _check_there(study, source, asked)
    case_dir = target.folder / study.case
    _remove_renamed(study, case_dir)
    for modality, series in study.used.items():
        path = case_dir / f"{study.case}_{modality}.nii.gz"
        _check_free(path, series, source, target.given)
        convert_series(series, source, path)
    faulty = [one for one in study.series if one.left_out and one.stack is not None]
    return [f"{one.title} is left out: {one.left_out}" for one in faulty if one.modality]


def _check_free(path: Path, series: Series, source: Path, given: Sequence[Path]) -> None:
    """See that no other path of this command has another series of this modality and study."""
    try:
        record = SeriesRecord.beside(path)
    except InputError:  # torn: it is written anew
        return
    others = {str(one) for one in given if one != source}
    if record and record.source in others and record.series_uid != series.header.series_uid:
        raise InputError(
            f"{source}: {record.source} holds another {series.modality} of the same study; give "
            "the folder of both, or each in a command with a folder of its own"
        )


def _check_there(study: Study, source: Path, asked: Sequence[str] | None) -> None:
    missing = [name for name in asked or () if name not in study.used]
    if missing or not study.used:
        what = f"no {missing[0]}" if missing else "no series that can be used"
        raise InputError(f"{source}: {what} in the study; {_why_missing(study, missing)}")


def _why_missing(study: Study, missing: Sequence[str]) -> str:
    """Why series are left out that may be what is missing; else what there is."""
    near = [one for one in study.series if one.left_out and _may_be(one, missing)]
    if near:
        return "; ".join(f"{one.title}: {one.left_out}" for one in near[:3])
    there = ", ".join(sorted(study.used))
    return f"it holds {there}" if there else f"{len(study.series)} series are left out"


def _may_be(series: Series, missing: Sequence[str]) -> bool:
    return series.modality in ("", *missing) if missing else series.stack is not None


def _remove_renamed(study: Study, case_dir: Path) -> None:
    """Remove what was converted of the same series under another modality."""
    used = {series.header.series_uid: name for name, series in study.used.items()}
    for path in case_dir.glob("*.series.json"):
        try:
            record = SeriesRecord.read(path)
        except InputError:
            continue
        if used.get(record.series_uid, record.modality) != record.modality:
            remove(path)
            remove(path.with_name(path.name.replace(".series.json", ".nii.gz")))


def _all_failed(failed: Mapping[str, str]) -> str:
    place, reason = next(iter(failed.items()), ("", "no path is given"))
    return reason if place in reason else f"{place}: {reason}"
