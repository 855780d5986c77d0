"""Findings beside the result that they are of: written with it, and made again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.files.case_name import case_folder
from pipeline.files.identity import content_hash
from pipeline.files.images.reading import read_mask, read_volume_or_zeros
from pipeline.files.images.volume import Volume, grid_difference
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BRAIN_MASK,
    FINDINGS,
    FINDINGS_TABLE,
    RESULT,
    pseudo_healthy_modality,
)
from pipeline.files.record.findings import Findings
from pipeline.files.record.result import CaseResult
from pipeline.files.writing import write_text
from pipeline.findings.describe import Called, describe, sentence, table

CHANGED = (
    "the mask was changed since its findings were made: `anomap findings` on the folder makes them "
    "anew"
)


def write_findings(folder: Path, called: Called, result: CaseResult) -> Findings:
    """Write ``findings.json`` and ``findings.csv`` into the folder of a case.

    Args:
        folder: holds the mask already.
        called: what it is of.
        result: of the case.
    """
    found = describe(
        called,
        case=result.case or folder.name,
        cut=result.mask_cut,
        healthy_thresholds=result.healthy_thresholds,
    )
    made = found.model_copy(update={"mask_sha256": content_hash(folder / ANOMALY_MASK)})
    made.write(folder / FINDINGS)
    write_text(folder / FINDINGS_TABLE, table([made]))
    return made


def find_again(folder: Path) -> Findings:
    """Make the findings of a case anew from the files of its result, a corrected mask among them.

    Raises:
        InputError: there is no mask or map that can be read, or they lie on several grids.
    """
    mask_path = folder / ANOMALY_MASK
    if not mask_path.is_file():
        raise InputError(f"{mask_path}: no such file; without a threshold there is no mask")
    result = CaseResult.of(folder) or CaseResult(case=folder.name)
    if result.brain_pixels is not None:
        raise InputError(
            f"{folder}: of a picture, which has no millilitres; expected the result of a volume"
        )
    return write_findings(folder, read_called(folder), result)


def with_masks(folder: Path) -> list[Path]:
    """The folders of cases below a folder that hold a mask."""
    return sorted(path.parent for path in folder.glob(f"[!.]*/{ANOMALY_MASK}"))


def read_called(folder: Path) -> Called:
    """Mask, map, brain and pseudo-healthy image of a case.

    Raises:
        InputError: see `find_again`.
    """
    anomaly = read_volume_or_zeros(folder / ANOMALY_MAP)
    mask = _on_grid(read_mask(folder / ANOMALY_MASK), anomaly).data
    brain = anomaly.data > 0
    if (folder / BRAIN_MASK).is_file():
        brain = _on_grid(read_mask(folder / BRAIN_MASK), anomaly).data
    return Called(mask, anomaly.data, brain, anomaly.affine, _pseudo_healthy(folder, anomaly))


def _pseudo_healthy(folder: Path, anomaly: Volume) -> np.ndarray | None:
    """That of the first modality, as detection takes it; None where there is none."""
    restored = CaseResult.of(folder)
    names = (
        () if restored is None or restored.provenance is None else restored.provenance.modalities
    )
    there = {
        modality: path
        for path in sorted(folder.iterdir())
        if (modality := pseudo_healthy_modality(path.name)) is not None
    }
    for modality in (*names, *there):
        if modality in there:
            return _on_grid(read_volume_or_zeros(there[modality]), anomaly).data
    return None


def _on_grid(volume: Volume, anomaly: Volume) -> Volume:
    if difference := grid_difference(volume, anomaly):
        raise InputError(
            f"{volume.path}: not on the grid of {anomaly.path.name} beside it ({difference}); "
            f"bring it there, or detect again ({RESULT} says how it was made)"
        )
    return volume


def findings_in(folder: Path) -> Findings | None:
    """The findings of a case, None where there are none; a note tells where the mask is another.

    Raises:
        InputError: there are some that cannot be read.
    """
    found = Findings.of(folder)
    if found is None or found.mask_sha256 is None:
        return found
    path = folder / ANOMALY_MASK
    if path.is_file() and content_hash(path) == found.mask_sha256:
        return found
    return found.model_copy(update={"notes": (*found.notes, CHANGED)})


def sentences(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Case to its findings in a line, of the cases below a folder that have a record of them."""
    said = {}
    for name in names:
        with contextlib.suppress(InputError):
            if (found := Findings.of(case_folder(folder, name))) is not None:
                said[name] = sentence(found)
    return said
