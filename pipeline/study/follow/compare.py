"""``anomap compare``: two dates of one person, and what became of the findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.figures.comparison import draw_comparison
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import claim
from pipeline.files.images.reading import read_volume_or_zeros
from pipeline.files.images.volume import OnGrid, Volume, grid_difference
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    COMPARISON,
    COMPARISON_PICTURE,
    COMPARISON_TABLE,
)
from pipeline.files.provenance import command_line, software
from pipeline.files.record.comparison import ComparedResult, Comparison, RigidRegistration
from pipeline.files.record.result import CaseResult
from pipeline.files.writing import make_folder, write_text
from pipeline.findings.changes import (
    DatedScan,
    change_table,
    changes_of,
    looks_like_one_brain,
    on_first,
    register,
    sentence_of,
)
from pipeline.findings.describe import describe
from pipeline.findings.folder import read_called, with_masks
from pipeline.findings.matching import TOLERANCE

SCAN, RESTORED = "scan", "pseudo-healthy"
LITTLE_SEEN = 0.5
"""Of a finding that is new or gone in the other brain, below which it is a note."""


@dataclass(frozen=True)
class Compared:
    """A comparison that was written.

    Attributes:
        comparison: the record.
        sentence: for people.
    """

    comparison: Comparison
    sentence: str


def compare(
    before: Path | str, after: Path | str, out: Path | str, *, any_scans: bool = False
) -> Compared:
    """Compare two results of one person, the second scan registered rigidly to the first.

    Leaves ``comparison.json``, ``comparison.csv`` and ``comparison.png`` in ``out``.

    Args:
        before: the folder of a case that `detect` left, or one with a single case.
        after: likewise, of the later date.
        out: gets the files.
        any_scans: compare scans too that do not look like one brain in one contrast.

    Raises:
        InputError: no result, results that cannot be compared, or a folder that cannot be written
            to.
    """
    folders = [_case_folder(Path(before)), _case_folder(Path(after))]
    if folders[0].resolve() == folders[1].resolve():
        raise InputError(f"{folders[0]}: the same result twice; give those of two dates")
    out = Path(out)
    claim(out, (COMPARISON, COMPARISON_TABLE, COMPARISON_PICTURE))
    results = [CaseResult.of(folder) or CaseResult(case=folder.name) for folder in folders]
    if not any_scans:
        _check_contrast(folders, results)
    scans = [_dated(folder, result) for folder, result in zip(folders, results, strict=True)]
    found = register(*scans)
    if found is None:
        raise InputError(
            f"{folders[1]}: its brain cannot be registered to that of {folders[0]}: whole brains, "
            "with a mask of each, are expected"
        )
    if not any_scans and not looks_like_one_brain(found):
        raise InputError(
            f"{folders[0]} and {folders[1]}: do not look like one brain (agreement "
            f"{found.agreement:.2f}, expected {found.least:g} or more; overlap "
            f"{found.overlap:.2f}): are they of one person? --any-scans compares all the same"
        )
    comparison = _comparison(folders, scans, found)
    make_folder(out)
    with locked(out):
        write_text(out / COMPARISON_TABLE, change_table(comparison.changes))
        draw_comparison(out / COMPARISON_PICTURE, _on_one_grid(scans, found), comparison)
        comparison.write(out / COMPARISON)
    return Compared(comparison, sentence_of(comparison))


def _case_folder(path: Path) -> Path:
    """The folder of a case, or of the only one below it."""
    if (path / ANOMALY_MASK).is_file():
        return path
    if path.is_file():
        raise InputError(
            f"{path}: a file; give the folder of a result, as `anomap detect {path.name} -o OUT` "
            "makes it"
        )
    below = with_masks(path)
    if len(below) == 1:
        return below[0]
    if not below:
        raise InputError(f"{path}: no result with a mask in it; expected {ANOMALY_MASK}")
    names = ", ".join(one.name for one in below[:3])
    raise InputError(f"{path}: {len(below)} cases ({names} ...); give the folder of one of them")


def _check_contrast(folders: Sequence[Path], results: Sequence[CaseResult]) -> None:
    """See that both maps were made of one contrast, as far as the records say it."""
    kinds = [
        () if result.provenance is None else result.provenance.modalities for result in results
    ]
    if all(kinds) and set(kinds[0]) != set(kinds[1]):
        first, second = (", ".join(kind) for kind in kinds)
        raise InputError(
            f"{folders[0]} and {folders[1]}: results of {first} and of {second}, whose volumes say "
            "nothing of each other; detect in one contrast, or give --any-scans"
        )


def _dated(folder: Path, result: CaseResult) -> DatedScan:
    called = read_called(folder)
    findings = describe(called, case=result.case or folder.name)
    scan = _scan(result, Volume(called.mask, called.affine, folder / ANOMALY_MAP))
    if scan is None:
        return DatedScan(called, findings, RESTORED)
    return DatedScan(replace(called, image=scan), findings, SCAN)


def _scan(result: CaseResult, grid: OnGrid) -> np.ndarray | None:
    """The image that a result was made of, where it still lies there."""
    files = () if result.provenance is None else result.provenance.inputs
    roles = () if result.provenance is None else result.provenance.modalities
    for file in (file for role in roles for file in files if file.role == role):
        try:
            volume = read_volume_or_zeros(Path(file.path), file.channel)
        except InputError:
            continue
        if grid_difference(volume, grid) is None and volume.data.any():
            return volume.data
    return None


def _comparison(
    folders: Sequence[Path], scans: Sequence[DatedScan], registration: RigidRegistration
) -> Comparison:
    changes = changes_of(scans[0], scans[1], registration)
    sides = [
        ComparedResult(
            path=str(folder.resolve()),
            case=scan.findings.case,
            total_ml=scan.findings.total_ml,
            findings=scan.findings.count,
        )
        for folder, scan in zip(folders, scans, strict=True)
    ]
    hidden = [str(one.number) for one in changes if one.seen < LITTLE_SEEN]
    notes = (
        f"{', '.join(hidden)}: lies outside the brain of the other scan, which says nothing of it",
    )
    return Comparison(
        before=sides[0],
        after=sides[1],
        registration=registration,
        changes=changes,
        tolerance=TOLERANCE,
        notes=notes if hidden else (),
        software=software(),
        command=command_line(),
    )


def _on_one_grid(
    scans: Sequence[DatedScan], registration: RigidRegistration
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, mask and affine of both scans on the grid of the first."""
    first, second = (scan.called for scan in scans)
    affine = np.array(registration.affine)
    shown = []
    for called in (first, second):
        image = called.brain if called.image is None else called.image * called.brain
        volumes = [np.asarray(image, np.float32), called.mask.astype(np.float32)]
        if called is second:
            volumes = [on_first(volume, second, first, affine) for volume in volumes]
        shown.append((volumes[0], volumes[1] > 0.5, first.affine))
    return shown
