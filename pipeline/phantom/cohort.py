"""Synthetic cohorts on real anatomy: phantoms, and tumours in real healthy brains."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from pipeline.cases.case import Case
from pipeline.errors import InputError
from pipeline.files.nifti import write_text, write_volume
from pipeline.phantom.anatomy import MODALITIES, Anatomy, acquire, draw_anatomy, synthesise
from pipeline.phantom.tissue import Tissue
from pipeline.phantom.tumour import CONTRASTS, insert_tumour

__all__ = [
    "MODALITIES",
    "Phantom",
    "insert_tumour",
    "make_phantom",
    "write_cohort",
    "write_inserted_cohort",
]

GRID_MM = (240, 240, 155)
"""Extent of the BraTS grid."""


@dataclass(frozen=True)
class Phantom:
    """A synthetic case.

    Attributes:
        images: modality to float32 ``(X, Y, Z)``, arbitrary units, > 0 in the brain, 0 outside.
        label: uint8, BraTS values (1 necrosis, 2 oedema, 4 enhancing), zeros when healthy.
        brain_mask: bool.
        affine: voxel index to world (RAS, mm), LPS voxel order as BraTS has it.
        facts: what was drawn (age, spacing, and of a tumour its volumes, contrast and place).
    """

    images: dict[str, np.ndarray]
    label: np.ndarray
    brain_mask: np.ndarray
    affine: np.ndarray
    facts: dict[str, Any]


def make_phantom(
    rng: np.random.Generator,
    modalities: Sequence[str],
    *,
    tumour: bool,
    spacing_mm: float = 1.0,
    contrast: str = "mixed",
) -> Phantom:
    """Draw one brain and image it in several modalities.

    Anatomy, contrast, acquisition and tumour have a random stream each: the same generator state
    gives the same brain with and without a tumour, and the same image of a modality whatever else
    is asked for.

    Args:
        rng: drawn from.
        modalities: some of ``t1``, ``t2``, ``flair``.
        tumour: whether to insert one.
        spacing_mm: voxel size; 1 gives 240 x 240 x 155 voxels as in BraTS.
        contrast: of the tumour, see `insert_tumour`.

    Raises:
        InputError: an unknown modality or contrast, or a spacing outside 0.8-6 mm.
    """
    _check_arguments(modalities, spacing_mm, contrast)
    anatomy_rng, contrast_rng, scanner_rng, tumour_rng = rng.spawn(4)
    shape = tuple(int(np.ceil(n / spacing_mm)) for n in GRID_MM)
    anatomy, facts = draw_anatomy(anatomy_rng, shape, spacing_mm)
    paints = dict(zip(MODALITIES, contrast_rng.spawn(len(MODALITIES)), strict=True))
    scanners = dict(zip(MODALITIES, scanner_rng.spawn(len(MODALITIES)), strict=True))
    clean = {m: synthesise(paints[m], m, anatomy, spacing_mm) for m in modalities}
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    affine[1, 3] = GRID_MM[1] - 1
    label = np.zeros(shape, np.uint8)
    mask = np.zeros(shape, bool)
    mask[anatomy.box] = anatomy.brain_mask
    if tumour:
        inside = _insert_clean(clean, anatomy, affine, tumour_rng, contrast)
        clean, label[anatomy.box], facts["tumour"] = inside
    images = {}
    for modality, image in clean.items():
        images[modality] = np.zeros(shape, np.float32)
        images[modality][anatomy.box] = acquire(
            scanners[modality], image, anatomy.brain_mask, spacing_mm
        )
    return Phantom(images, label, mask, affine, {"spacing_mm": spacing_mm, **facts})


def _insert_clean(
    clean: Mapping[str, np.ndarray],
    anatomy: Anatomy,
    affine: np.ndarray,
    rng: np.random.Generator,
    contrast: str,
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, Any]]:
    """Insert before the scanner blurs and adds noise; the fluid around the brain stays."""
    start = np.array([cut.start for cut in anatomy.box])
    local = affine.copy()
    local[:3, 3] += affine[:3, :3] @ start
    mask = anatomy.brain_mask
    # Blurred: thin blades of white matter inside gyri carry less oedema than the deep mass.
    white = ndimage.gaussian_filter(anatomy.white, 1.0 / np.abs(np.diag(affine)[:3]))
    tissue = Tissue(white * mask, anatomy.csf * mask)
    images, label, facts = insert_tumour(clean, mask, local, rng, contrast=contrast, tissue=tissue)
    return {m: np.where(mask, images[m], clean[m]) for m in clean}, label, facts


def _check_arguments(modalities: Sequence[str], spacing_mm: float, contrast: str) -> None:
    unknown = [m for m in modalities if m not in MODALITIES]
    if unknown or not modalities:
        raise InputError(
            f"modality {', '.join(unknown) or '(none)'}: phantoms come in {', '.join(MODALITIES)}"
        )
    if not 0.8 <= spacing_mm <= 6:
        raise InputError(f"spacing_mm {spacing_mm:g}: expected 0.8 to 6 mm")
    if contrast not in CONTRASTS:
        raise InputError(f"contrast {contrast!r}: expected one of {', '.join(CONTRASTS)}")


# Cohorts on disk ----------------------------------------------------------------------------------


class _Record:
    """``cohort.json``: what the folder holds, brought up to date after each case."""

    def __init__(self, out_dir: Path, arguments: dict[str, Any]) -> None:
        self.path = out_dir / "cohort.json"
        self.arguments = arguments
        self.cases: dict[str, Any] = {}
        self.failed: dict[str, str] = {}
        if self.path.is_file():
            self._resume()

    def _resume(self) -> None:
        try:
            held = json.loads(self.path.read_text(encoding="utf-8"))
            arguments, self.cases = held["arguments"], held["cases"]
        except (json.JSONDecodeError, KeyError, OSError) as error:
            raise InputError(
                f"{self.path}: not a readable cohort ({error}); choose another folder or delete it"
            ) from error
        wanted = json.loads(json.dumps(self.arguments))
        different = [k for k in wanted | arguments if wanted.get(k) != arguments.get(k)]
        if different:
            told = ", ".join(
                f"{k} {arguments.get(k)} there, {wanted.get(k)} here" for k in different
            )
            raise InputError(
                f"{self.path.parent} holds another cohort ({told}); "
                "choose another folder, or delete it"
            )

    def is_done(self, name: str, paths: Sequence[Path]) -> bool:
        return name in self.cases and all(path.is_file() for path in paths)

    def add(self, name: str, facts: Mapping[str, Any]) -> None:
        self.cases[name] = dict(facts)
        self.write()

    def write(self) -> None:
        content = {"arguments": self.arguments, "cases": self.cases, "failed": self.failed}
        write_text(self.path, json.dumps(content, indent=1) + "\n")


def _paths(folder: Path, name: str, modalities: Sequence[str], tumour: bool) -> list[Path]:
    kinds = [*modalities, *(["seg"] if tumour else [])]
    return [
        folder / ("tumour" if tumour else "healthy") / name / f"{name}_{k}.nii.gz" for k in kinds
    ]


def _write_case(
    paths: Sequence[Path],
    images: Sequence[np.ndarray],
    label: np.ndarray | None,
    affine: np.ndarray,
) -> None:
    arrays = [*images, *([] if label is None else [label])]
    for path, array in zip(paths, arrays, strict=True):
        write_volume(path, array, affine)


def write_cohort(
    out_dir: Path,
    modalities: Sequence[str],
    *,
    n_healthy: int,
    n_tumour: int,
    seed: int = 0,
    spacing_mm: float = 1.0,
    contrast: str = "mixed",
    progress: bool = True,
) -> Path:
    """Write a phantom cohort in BraTS layout; a second call makes only what is missing.

    ``out_dir/{healthy,tumour}/phantom_{h,t}000/phantom_h000_<modality>.nii.gz`` (int16), ``_seg``
    (uint8; 1 necrosis, 2 oedema, 4 enhancing) for tumours, and ``cohort.json``. A case depends on
    seed, kind and index alone, so a cohort may be made larger later.

    Returns:
        ``out_dir``.

    Raises:
        InputError: bad arguments, or a folder that holds a different (or a larger) cohort.
    """
    _check_arguments(modalities, spacing_mm, contrast)
    arguments = {
        "source": "phantom",
        "modalities": list(modalities),
        "seed": seed,
        "spacing_mm": spacing_mm,
        "contrast": contrast,
    }
    record = _Record(out_dir, arguments)
    plan = [(f"phantom_h{i:03d}", False, i) for i in range(n_healthy)]
    plan += [(f"phantom_t{i:03d}", True, i) for i in range(n_tumour)]
    _refuse_others(record, [name for name, _, _ in plan])
    for name, tumour, index in tqdm(plan, desc="phantoms", unit="case", disable=not progress):
        paths = _paths(out_dir, name, modalities, tumour)
        if record.is_done(name, paths):
            continue
        rng = np.random.default_rng([seed, int(tumour), index])
        phantom = make_phantom(
            rng, modalities, tumour=tumour, spacing_mm=spacing_mm, contrast=contrast
        )
        images = [np.rint(phantom.images[m]).astype(np.int16) for m in modalities]
        _write_case(paths, images, phantom.label if tumour else None, phantom.affine)
        record.add(name, phantom.facts)
    record.write()
    return out_dir


def _refuse_others(record: _Record, names: Sequence[str]) -> None:
    extra = sorted(set(record.cases) - set(names))
    if extra:
        raise InputError(
            f"{record.path.parent} holds {len(extra)} more cases than asked for ({extra[0]}, ...); "
            "ask for as many, choose another folder, or delete it"
        )


def write_inserted_cohort(
    out_dir: Path,
    cases: Sequence[Case],
    modalities: Sequence[str],
    *,
    n_healthy: int | None,
    n_tumour: int | None,
    load_brain: Callable[[Case], tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]],
    seed: int = 0,
    contrast: str = "mixed",
    progress: bool = True,
) -> Path:
    """Put tumours into real healthy brains, and keep skull-stripped healthy copies beside them.

    Healthy copies are taken from the front of ``cases`` and tumours from the back, so the two
    sets share subjects only where they must. Grids and affines stay the source's; float32.

    Args:
        out_dir: laid out as `write_cohort` does, case names ``<case>_healthy`` / ``<case>_tumour``.
        cases: healthy ones.
        modalities: which images to write.
        n_healthy: how many healthy copies; None for all.
        n_tumour: how many with a tumour; None for all.
        load_brain: case to (images by modality, brain mask, affine).
        seed: with the case's name, decides its tumour.
        contrast: see `insert_tumour`.
        progress: show a bar.

    Returns:
        ``out_dir``. Cases that failed are listed with their reason in ``cohort.json``.

    Raises:
        InputError: bad arguments, another cohort in the folder, or not one case that works.
    """
    arguments = {
        "source": "inserted",
        "on": sorted(case.name for case in cases),
        "modalities": list(modalities),
        "seed": seed,
        "contrast": contrast,
    }
    if contrast not in CONTRASTS:
        raise InputError(f"contrast {contrast!r}: expected one of {', '.join(CONTRASTS)}")
    record = _Record(out_dir, arguments)
    n_healthy = len(cases) if n_healthy is None else n_healthy
    n_tumour = len(cases) if n_tumour is None else n_tumour
    plan = [(case, False) for case in cases[:n_healthy]]
    plan += [(case, True) for case in cases[max(len(cases) - n_tumour, 0) :]]
    _refuse_others(record, [_inserted_name(case, tumour) for case, tumour in plan])
    for case, tumour in tqdm(plan, desc="tumours", unit="case", disable=not progress):
        name = _inserted_name(case, tumour)
        paths = _paths(out_dir, name, modalities, tumour)
        if record.is_done(name, paths):
            continue
        try:
            facts = _write_inserted(case, tumour, paths, modalities, load_brain, seed, contrast)
        except (ValueError, OSError, RuntimeError) as error:
            record.failed[name] = str(error) or type(error).__name__
            tqdm.write(f"{name}: {record.failed[name]}", file=sys.stderr)
            continue
        record.add(name, facts)
    record.write()
    if plan and not record.cases:
        raise InputError(
            f"no case could be used; the first said: {next(iter(record.failed.values()))}"
        )
    return out_dir


def _inserted_name(case: Case, tumour: bool) -> str:
    return f"{case.name}_{'tumour' if tumour else 'healthy'}"


def _write_inserted(
    case: Case,
    tumour: bool,
    paths: Sequence[Path],
    modalities: Sequence[str],
    load_brain: Callable[[Case], tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]],
    seed: int,
    contrast: str,
) -> dict[str, Any]:
    images, brain_mask, affine = load_brain(case)
    missing = [m for m in modalities if m not in images]
    if missing:
        raise InputError(f"{case.name}: has no {', '.join(missing)}")
    brain_mask = brain_mask > 0
    images = {m: np.where(brain_mask, images[m], 0).astype(np.float32) for m in modalities}
    facts: dict[str, Any] = {"subject": case.subject}
    label = None
    if tumour:
        rng = np.random.default_rng([seed, zlib.crc32(case.name.encode())])
        images, label, facts["tumour"] = insert_tumour(
            images, brain_mask, affine, rng, contrast=contrast
        )
    _write_case(paths, [images[m] for m in modalities], label, affine)
    return facts
