"""Late fusion: several results of the same cases, of several modalities or weights, to one.

The maps of two runs have no common unit, and no healthy person need have been seen by both. So each
value is first expressed by how rare it is among the healthy voxels that calibrated its run, in
decades (`surprise`), and the rarities are merged by a rule that holds however the runs depend on
each other (`RULES`): a healthy voxel is called no more often than stated.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline import __version__
from pipeline.cases.loading import same_grid
from pipeline.detection.detect import RESULT, SourceMaps, Threshold, is_done, write_result
from pipeline.detection.methods import OURS
from pipeline.errors import InputError
from pipeline.files.nifti import (
    Volume,
    make_folder,
    read_labels,
    read_volume_or_zeros,
    voxel_volume_ml,
)
from pipeline.files.provenance import command_line, software
from pipeline.maps.scoring import half_height, threshold_map
from pipeline.run.config import FALSE_POSITIVE_RATES
from pipeline.scores.evaluation import read_result
from pipeline.scores.metrics import top_mean

FUSED = "fused"
"""The method that a fused result names."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """How the rarities of several runs become one.

    Attributes:
        merge: surprises ``(K, ...)`` to ``(...)``.
        price: by how many decades the merged surprise of K runs overstates the rarity, at most.
        summary: for people.
    """

    merge: Callable[[np.ndarray], np.ndarray]
    price: Callable[[int], float]
    summary: str


RULES: dict[str, Rule] = {
    "any": Rule(
        lambda s: s.max(0), math.log10, "the highest surprise: one scan that shows it is enough"
    ),
    "mean": Rule(
        lambda s: s.mean(0),
        lambda n: math.log10(math.e),
        "the mean surprise: what all of them show",
    ),
}
"""Both hold under any dependence, since K times the least of K p-values (Bonferroni) and e times
their geometric mean (Vovk and Wang, "Combining p-values via averaging", Biometrika 2020) are
p-values."""


def surprise(values: np.ndarray, thresholds: Mapping[str, float]) -> np.ndarray:
    """How rare map values are among healthy voxels: -log10 of the share that exceeds them.

    Linear between the tabulated rates and from 0 at a value of 0; beyond the rarest rate it goes on
    with the mean slope of the last decade (an exponential tail), so that the order stays.

    Args:
        values: any shape, >= 0.
        thresholds: rate (as text) to the value that this share of healthy voxels exceeds.

    Returns:
        float32 of the same shape, >= 0; 2 is a value that 1 % of the healthy voxels exceed.

    Raises:
        InputError: no table of thresholds that rise as the rates fall.
    """
    points = sorted((-math.log10(float(rate)), float(value)) for rate, value in thresholds.items())
    if len(points) < 2:
        raise InputError(f"{len(points)} healthy thresholds; at least two are needed")
    decades = np.array([0.0, *(decade for decade, _ in points)])
    at = np.array([0.0, *(value for _, value in points)])
    if not np.isfinite(at).all() or (np.diff(at) < 0).any() or at[-1] <= at[1]:
        raise InputError(
            f"healthy thresholds do not rise from 0 as the rates fall: {dict(thresholds)}"
        )
    last = np.searchsorted(decades, decades[-1] - 1 - 1e-6)
    slope = (decades[-1] - decades[last]) / max(at[-1] - at[last], 1e-9)
    beyond = decades[-1] + slope * np.maximum(values - at[-1], 0)
    return np.where(values > at[-1], beyond, np.interp(values, at, decades)).astype(np.float32)


@dataclass(frozen=True)
class _Part:
    """One run's result of a case, read from its folder; the surprise is 0 outside its brain."""

    folder: Path
    record: Mapping[str, Any]
    anomaly: Volume
    brain: np.ndarray
    surprise: np.ndarray


def fuse_folders(
    folders: Sequence[Path],
    out_dir: Path,
    *,
    rule: str = "any",
    false_positive_rate: float = 0.01,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[list[str], dict[str, str]]:
    """Fuse what `anomap detect` (or benchmark) left in several folders, case by case.

    A case of the same name must lie in all folders, its maps on one grid. Leaves
    ``out_dir/<case>/`` with the files of `detection.write_result`: the map is the merged surprise
    in decades; the mask is cut where the rule's guarantee gives the rate, and at half height and
    without small parts as the inputs were. A case that is done is skipped; one that fails does not
    stop the others.

    Returns:
        Names of the fused cases, and case name -> reason for those that failed.

    Raises:
        InputError: fewer than two folders, the same one twice, one without results, an unknown
            rule, a rate outside the calibrated ones, no case that all folders have.
    """
    found = [_results_of(folder) for folder in folders]
    _check(folders, found, out_dir, rule, false_positive_rate)
    names = sorted({name for cases in found for name in cases})
    common = [name for name in names if all(name in cases for cases in found)]
    if not common:
        raise InputError(
            f"no case is in all of {', '.join(map(str, folders))}; in the first: "
            f"{', '.join(list(found[0])[:3])}; in the second: {', '.join(list(found[1])[:3])}"
        )
    make_folder(out_dir)
    failed = {
        name: "no result in "
        + ", ".join(str(f) for f, cases in zip(folders, found, strict=True) if name not in cases)
        for name in names
        if name not in common
    }
    for name in tqdm(common, desc="fusing", unit="case", disable=None if progress else True):
        try:
            _fuse_case(
                [cases[name] for cases in found],
                out_dir / name,
                rule=rule,
                rate=false_positive_rate,
                overwrite=overwrite,
            )
        except Exception as error:  # whatever it is, it does not stop the other cases
            logger.debug("case %s", name, exc_info=True)
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            failed[name] = f"{kind}{error}"
    return [name for name in common if name not in failed], failed


def _results_of(folder: Path) -> dict[str, Path]:
    """Case name -> folder; of a benchmark, those of `OURS`."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that `anomap detect` left")
    inner = folder / "maps" / OURS
    root = inner if inner.is_dir() else folder
    cases = {path.parent.name: path.parent for path in sorted(root.glob(f"*/{RESULT}"))}
    if not cases:
        raise InputError(f"{folder}: no results in it; expected <case>/{RESULT}, as detect leaves")
    return cases


def _check(
    folders: Sequence[Path],
    found: Sequence[Mapping[str, Path]],
    out_dir: Path,
    rule: str,
    rate: float,
) -> None:
    places = [folder.resolve() for folder in folders]
    if len(places) < 2:
        raise InputError("one folder of results: fusion takes two or more")
    if len(set(places)) < len(places):
        raise InputError("the same folder of results twice: it would count twice")
    if out_dir.resolve() in places:
        raise InputError(f"{out_dir}: is one of the results; give another folder with -o")
    if rule not in RULES:
        raise InputError(f"there is no rule {rule!r}; choose from {', '.join(RULES)}")
    low, high = min(FALSE_POSITIVE_RATES), max(FALSE_POSITIVE_RATES)
    if not low <= rate <= high:
        raise InputError(
            f"a false-positive rate between {low:g} and {high:g} is calibrated; got {rate:g}"
        )


def _fuse_case(
    folders: Sequence[Path], out: Path, *, rule: str, rate: float, overwrite: bool
) -> None:
    start = time.monotonic()
    records = [read_result(folder) for folder in folders]
    provenance = _provenance(records, folders, rule, rate)
    if not overwrite and is_done(out, provenance):
        return
    parts = [_read(f, record) for f, record in zip(folders, records, strict=True)]
    first = parts[0].anomaly
    for part in parts[1:]:
        if not same_grid(part.anomaly, first):
            raise InputError(
                f"{part.anomaly.path} and {first.path} lie on different grids: bring the scans of "
                "a case to one grid (co-register them), and detect again"
            )
    (out / RESULT).unlink(missing_ok=True)
    n = len(parts)
    brain = np.any([part.brain for part in parts], axis=0)
    merged = RULES[rule].merge(np.stack([part.surprise for part in parts]))
    threshold = Threshold(
        -math.log10(rate) + RULES[rule].price(n),
        f"at most {100 * rate:.3g} % of healthy brain voxels exceed it, by the rule {rule!r} for "
        f"{n} runs, if each run's own thresholds hold",
    )
    assert threshold.value is not None
    cut = half_height(merged[brain], threshold.value, provenance["half_height"])
    voxel_ml = voxel_volume_ml(first.affine)
    mask = threshold_map(merged, cut, voxel_ml, provenance["min_component_ml"])
    restored = _pseudo_healthy(parts, provenance["modalities"])
    score = float(top_mean(merged[brain]))
    write_result(
        out,
        first.affine,
        brain,
        SourceMaps(merged, mask, cut, restored),
        {
            "case": out.name,
            "method": FUSED,
            "score": score,
            "p_value": _p_value([record.get("p_value") for record in records], rule),
            "healthy_cases": min(int(record.get("healthy_cases", 0)) for record in records),
            "brain_ml": round(float(brain.sum() * voxel_ml), 3),
            "anomalous_ml": round(float(mask.sum() * voxel_ml), 3),
            "threshold": asdict(threshold),
            "cut": cut,
            "evaluations_per_slice": sum(r.get("evaluations_per_slice", 0) for r in records),
            "seconds": round(
                sum(r.get("seconds", 0.0) for r in records) + time.monotonic() - start, 3
            ),
            "slices": max(int(record.get("slices", 0)) for record in records),
            "notes": [note for record in records for note in record.get("notes", [])],
            "healthy_thresholds": None,
            "inputs": _inputs(records, folders),
            "provenance": provenance,
            "software": software(),
            "command": command_line(),
        },
    )


def _provenance(
    records: Sequence[Mapping[str, Any]], folders: Sequence[Path], rule: str, rate: float
) -> dict[str, Any]:
    """All that a fused result depends on; `detection.is_done` compares it."""
    before = []
    for record, folder in zip(records, folders, strict=True):
        if not isinstance(record.get("provenance"), dict):
            raise InputError(f"{folder / RESULT}: says nothing of how it was made; detect again")
        if record.get("method") == FUSED:
            raise InputError(
                f"{folder / RESULT}: fused already; give all the results that it was made of"
            )
        if not record.get("healthy_thresholds"):
            raise InputError(
                f"{folder / RESULT}: no healthy thresholds, so its map cannot be compared with "
                "another; it is not calibrated, or older: detect again with --overwrite"
            )
        before.append(record["provenance"])
    inputs = {json.dumps(file, sort_keys=True): file for one in before for file in one["inputs"]}
    modalities = dict.fromkeys(modality for one in before for modality in one["modalities"])
    record = {
        "anomap": __version__,
        "method": FUSED,
        "settings": {"rule": rule, "false_positive_rate": rate},
        "inputs": list(inputs.values()),
        "modalities": list(modalities),
        "half_height": min(one.get("half_height", 0.0) for one in before),
        "min_component_ml": max(one.get("min_component_ml", 0.0) for one in before),
        "fused": before,
    }
    return dict(json.loads(json.dumps(record)))


def _inputs(records: Sequence[Mapping[str, Any]], folders: Sequence[Path]) -> dict[str, str]:
    """Modality -> image of all of them.

    Raises:
        InputError: two of them used another image of one modality.
    """
    inputs: dict[str, str] = {}
    for record in records:
        for modality, path in record.get("inputs", {}).items():
            if Path(inputs.setdefault(modality, path)).resolve() != Path(path).resolve():
                raise InputError(
                    f"{folders[0].name}: the {modality} image is {inputs[modality]} for one run "
                    f"and {path} for another; fuse results of the same scans"
                )
    return inputs


def _read(folder: Path, record: Mapping[str, Any]) -> _Part:
    anomaly = read_volume_or_zeros(folder / "anomaly.nii.gz")
    mask = read_labels(folder / "brain_mask.nii.gz")
    if not same_grid(mask, anomaly):
        raise InputError(f"{mask.path}: not on the grid of {anomaly.path}; detect again")
    brain = mask.data > 0
    if not brain.any():
        raise InputError(f"{mask.path}: empty")
    try:
        rare = surprise(anomaly.data, record["healthy_thresholds"])
    except InputError as error:
        raise InputError(f"{folder / RESULT}: {error}") from error
    return _Part(folder, record, anomaly, brain, rare * brain)


def _pseudo_healthy(parts: Sequence[_Part], modalities: Sequence[str]) -> np.ndarray | None:
    """``(C, X, Y, Z)``, of each modality what the first run with it restored; None if one lacks."""
    found: dict[str, np.ndarray] = {}
    for part in parts:
        names = part.record["provenance"]["modalities"]
        for name in names:
            suffix = "" if len(names) == 1 else f"_{name}"
            path = part.folder / f"pseudo_healthy{suffix}.nii.gz"
            if name not in found and path.is_file():
                found[name] = read_volume_or_zeros(path).data
    if any(name not in found for name in modalities):
        return None
    return np.stack([found[name] for name in modalities])


def _p_value(values: Sequence[float | None], rule: str) -> float | None:
    """The case-level p-values by the same rule; None if a run has none."""
    known = [value for value in values if value]
    if len(known) < len(values):
        return None
    merged = RULES[rule].merge(-np.log10(np.array(known))) - RULES[rule].price(len(known))
    return min(1.0, 10.0 ** -float(merged))
