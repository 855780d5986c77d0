"""Results back to where the scan came from: DICOM objects of each case, and archives (PACS)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image, ImageDraw, ImageFont

from pipeline.cases.case import Case
from pipeline.cases.loop import Execution, each_case
from pipeline.cases.several import Selection
from pipeline.detection.detect import DetectedCases
from pipeline.dicom.convert import require
from pipeline.dicom.network import Peer, pull_study, push_objects
from pipeline.dicom.results.objects import WARNING, parametric_map, segmentation, summary
from pipeline.dicom.results.source import Source, on_slices, opened_source
from pipeline.errors import InputError
from pipeline.figures.cases import case_page, load_slice
from pipeline.files.case_name import case_folder
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import claim
from pipeline.files.identity import content_hash
from pipeline.files.images.reading import read_volume_or_zeros
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    DICOM_RESULTS,
    MAP_OBJECT,
    PULLED,
    RESULT,
    SEG_OBJECT,
    SUMMARY_OBJECT,
)
from pipeline.files.record.result import CaseResult
from pipeline.files.record.series import SeriesRecord
from pipeline.files.writing import make_folder, write_atomically
from pipeline.report.viewer import images_of
from pipeline.stages import stage
from pipeline.study.detect import DetectOptions, detect

logger = logging.getLogger(__name__)

OBJECTS = (SEG_OBJECT, MAP_OBJECT, SUMMARY_OBJECT)
VIEW = "The patient's right is on the left of each picture."
MARGIN, LINE = 24, 34
"""Pixels of a summary page."""


# Results as DICOM ---------------------------------------------------------------------------------


def write_dicom(
    out: Path | str, cases: Sequence[str] | None = None, *, execution: Execution = Execution()
) -> dict[str, str]:
    """Write mask, map and summary of finished cases as DICOM objects.

    Leaves ``<case>/dicom/seg.dcm``, ``map.dcm`` and ``summary.dcm``; what is there already, of the
    same result, is written again with the same identities.

    Args:
        out: holds ``<case>/`` of a detection of DICOM studies.
        cases: their names; None takes all that have a result.
        execution: progress, and how many may fail.

    Returns:
        Case -> reason of those that failed: a case that was not converted from DICOM is one.

    Raises:
        InputError: the extra ``dicom`` is missing.
    """
    folder = Path(out)
    with stage("DICOM objects"):
        require("highdicom")
        names = _finished(folder) if cases is None else cases
        return each_case(
            {name: name for name in names},
            lambda name: _write_case(case_folder(folder, name)),
            description="dicom",
            execution=execution,
        ).failed


def _write_case(folder: Path) -> None:
    result = CaseResult.of(folder)
    if result is None:
        raise InputError(f"{folder}: no finished result; detect the case first")
    record = _record_of(result)
    target = folder / DICOM_RESULTS
    claim(target, OBJECTS)
    with locked(folder), opened_source(record) as source:
        made = {
            SEG_OBJECT: _segmentation(folder, source),
            MAP_OBJECT: _map(folder, result, source),
            SUMMARY_OBJECT: _summary(folder, result, source),
        }
        make_folder(target)
        for name, dataset in made.items():
            write_atomically(target / name, functools.partial(_save, dataset))


def _save(dataset: Any, path: Path) -> None:
    dataset.save_as(path, enforce_file_format=True)


def _record_of(result: CaseResult) -> SeriesRecord:
    """The series of the first image of a result.

    Raises:
        InputError: it was no DICOM.
    """
    for path in map(Path, result.inputs.values()):
        if (record := SeriesRecord.beside(path)) is not None:
            return record
    raise InputError(
        "not converted from DICOM, so there is no series that a DICOM object could refer to; "
        "detect the folder or zip of the study itself"
    )


def _segmentation(folder: Path, source: Source) -> Any:
    path = folder / ANOMALY_MASK
    if not path.is_file():
        raise InputError(f"{folder}: there is no mask: its method has no threshold")
    volume = read_volume_or_zeros(path)
    mask, resampled = on_slices(volume.data > 0.5, volume.affine, source, order=0)
    _note_resampled(folder, resampled=resampled)
    return segmentation(mask, source, content_hash(path))


def _map(folder: Path, result: CaseResult, source: Source) -> Any:
    path = folder / ANOMALY_MAP
    volume = read_volume_or_zeros(path)
    on_source, _ = on_slices(volume.data, volume.affine, source, order=1)
    # The window depends on the threshold, so the identity does too.
    return parametric_map(on_source, result.cut, source, f"{content_hash(path)} {result.cut}")


def _note_resampled(folder: Path, *, resampled: bool) -> None:
    if resampled:
        logger.warning(
            "note: %s: the scan does not lie on the slices of its series (a tilted gantry, say); "
            "mask and map are resampled onto them",
            folder.name,
        )


def _summary(folder: Path, result: CaseResult, source: Source) -> Any:
    page = summary_page(folder, result)
    content = "".join(file.sha256 or "" for file in result.files)
    return summary(page, source, content)


def summary_page(folder: Path, result: CaseResult) -> np.ndarray:
    """One page of a result: its slices with map and mask, and what is to be known of it.

    Returns:
        ``(rows, columns, 3)`` uint8.
    """
    case = Case(result.case, result.case, images_of(result))
    figure = case_page([load_slice(folder, case)])
    figure.set_dpi(110)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    lines = _lines(result)
    page = Image.new(
        "RGB",
        (picture.width + 2 * MARGIN, picture.height + 2 * MARGIN + LINE * len(lines)),
        "white",
    )
    page.paste(picture, (MARGIN, MARGIN))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=20)
    for letter, x in (("R", 4), ("L", page.width - MARGIN + 4)):
        draw.text((x, picture.height // 2), letter, "black", font)
    for number, line in enumerate(lines):
        draw.text((MARGIN, picture.height + MARGIN + LINE * number), line, "black", font)
    return np.asarray(page)


def _lines(result: CaseResult) -> list[str]:
    threshold = "" if result.threshold is None else str(result.threshold.rule)
    volume = "no mask" if result.anomalous_ml is None else f"{result.anomalous_ml:.1f} mL marked"
    version = "" if result.software is None else f" {result.software.anomap}"
    lines = [f"anomap{version}: {volume} of {result.brain_ml or 0:.0f} mL brain", threshold]
    return [*[line[:110] for line in lines if line], VIEW, WARNING]


# Archives -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PacsOptions:
    """What is done with an archive.

    Attributes:
        pull: StudyInstanceUIDs to fetch and to detect in; none takes the finished results.
        push: whether results go back.
        detect: with what is detected.
    """

    pull: tuple[str, ...] = ()
    push: bool = False
    detect: DetectOptions = DetectOptions()


@dataclass(frozen=True)
class Exchanged:
    """What became of an exchange with an archive.

    Attributes:
        done: cases with results.
        stored: number of objects that the archive took.
        failed: case or study -> reason.
    """

    done: tuple[str, ...]
    stored: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)


def exchange(
    peer: Peer,
    out: Path | str,
    *,
    options: PacsOptions = PacsOptions(),
    selection: Selection = Selection(),
    execution: Execution = Execution(),
) -> Exchanged:
    """Fetch studies from an archive, detect in them, and store the results back.

    A study is in ``out/pulled/<study>/`` once all of it arrived. Every object of every case is made
    before the first is sent, and has the same identity each time: what was broken off is completed
    by repeating the command, without doubles.

    Args:
        peer: the archive.
        out: as of `detect`.
        options: which studies, and whether results go back.
        selection: which images.
        execution: progress, device, allowed failures.

    Raises:
        InputError: the archive cannot be reached or refuses, or there is nothing to do.
    """
    folder = Path(out)
    if not (options.pull or options.push):
        raise InputError("say what to do: --pull STUDY_UID, --push, or both")
    claim(folder)
    failed: dict[str, str] = {}
    names: Sequence[str] = _finished(folder)
    if options.pull:
        found = _detect_pulled(peer, folder, options, selection, execution)
        failed, names = dict(found.failed), found.done
    if not options.push:
        return Exchanged(tuple(names), 0, failed)
    failed |= write_dicom(folder, names, execution=execution)
    ready = [name for name in names if name not in failed]
    paths = [case_folder(folder, name) / DICOM_RESULTS / file for name in ready for file in OBJECTS]
    with stage("push"):
        return Exchanged(tuple(ready), push_objects(peer, paths) if paths else 0, failed)


def _finished(folder: Path) -> list[str]:
    """Names of the cases that have a result."""
    return sorted(path.parent.name for path in folder.glob(f"*/{RESULT}"))


def _detect_pulled(
    peer: Peer,
    folder: Path,
    options: PacsOptions,
    selection: Selection,
    execution: Execution,
) -> DetectedCases:
    """Fetch studies, and detect in those that came.

    Raises:
        InputError: none did.
    """
    with stage("pull"):
        pulled = each_case(
            {uid: uid for uid in options.pull},
            lambda uid: pull_study(peer, uid, folder / PULLED),
            description="pull",
            execution=execution,
            unit="study",
        )
    if not pulled.done:
        raise InputError(next(iter(pulled.failed.values())))
    found = detect(
        list(pulled.done.values()),
        folder,
        options=options.detect,
        selection=selection,
        execution=execution,
    )
    return replace(found, failed={**pulled.failed, **found.failed})
