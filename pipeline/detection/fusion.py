"""Late fusion: several results of the same cases, of several modalities or weights, to one.

The maps are merged as rarities among healthy voxels; see `pipeline.maps.rarity`.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import __version__
from pipeline.cases.loop import Apart, Execution, each_case
from pipeline.cases.several import as_paths
from pipeline.detection.detect import DetectedCases, begin_anew, is_done
from pipeline.detection.methods.table import OURS
from pipeline.detection.source_maps import FUSED, SourceMaps, claim_result, write_result
from pipeline.errors import InputError, printable
from pipeline.files.case_name import case_folder
from pipeline.files.folder.lock import locked
from pipeline.files.images.reading import read_mask, read_volume_or_zeros
from pipeline.files.images.volume import Volume, grid_difference, voxel_volume_ml
from pipeline.files.names import ANOMALY_MAP, BRAIN_MASK, MAPS, RESULT, pseudo_healthy
from pipeline.files.provenance import command_line, software
from pipeline.files.record.result import CaseResult, InputFile, Provenance, Threshold
from pipeline.files.writing import make_folder
from pipeline.maps.rarity import RULES, surprise
from pipeline.maps.scoring import half_height, threshold_map
from pipeline.run.words import FALSE_POSITIVE_RATES
from pipeline.scores.case_metrics import top_mean


@dataclass(frozen=True)
class FusionOptions:
    """How results are merged and cut.

    Attributes:
        rule: a name in `RULES`.
        false_positive_rate: the share of healthy voxels that is called at most.
    """

    rule: str = "any"
    false_positive_rate: float = 0.01

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InputError(f"there is no rule {self.rule!r}; choose from {', '.join(RULES)}")
        low, high = min(FALSE_POSITIVE_RATES), max(FALSE_POSITIVE_RATES)
        if not low <= self.false_positive_rate <= high:
            raise InputError(
                f"a false-positive rate between {low:g} and {high:g} is calibrated; got "
                f"{self.false_positive_rate:g}"
            )

    def as_dict(self) -> dict[str, str | float]:
        """For provenance."""
        return {"rule": self.rule, "false_positive_rate": self.false_positive_rate}

    def decades(self, n_runs: int) -> float:
        """Merged surprise of so many runs above which a voxel is called."""
        return -math.log10(self.false_positive_rate) + RULES[self.rule].price(n_runs)

    def threshold(self, n_runs: int) -> Threshold:
        """The same for the record of a case."""
        rule = (
            f"at most {100 * self.false_positive_rate:.3g} % of healthy brain voxels exceed it, by "
            f"the rule {self.rule!r} for {n_runs} runs, if each run's own thresholds hold"
        )
        return Threshold(value=self.decades(n_runs), rule=rule)


@dataclass(frozen=True)
class _Part:
    """One run's result of a case, read from its folder; the surprise is 0 outside its brain."""

    folder: Path
    result: CaseResult
    provenance: Provenance
    anomaly: Volume
    brain: np.ndarray
    surprise: np.ndarray


def fuse(
    results: Sequence[Path | str],
    out: Path | str,
    *,
    options: FusionOptions = FusionOptions(),
    execution: Execution = Execution(),
) -> DetectedCases:
    """Fuse what `anomap detect` (or benchmark) left in several folders, case by case.

    A case of the same name must lie in all folders, its maps on one grid. Leaves
    ``out/<case>/`` with the files of `source_maps.write_result`: the map is
    the merged surprise in decades; the mask is cut where the rule's guarantee gives the rate, and
    at half height and without small parts as the inputs were. A case that is done is skipped; one
    that fails does not stop the others.

    Raises:
        InputError: fewer than two folders, the same one twice, one without results, no case that
            all folders have.
        TooManyFailuresError: more cases failed than are allowed.
    """
    folders, out_dir = as_paths(results), Path(out)
    found = [_results_of(folder) for folder in folders]
    _check_folders(folders, out_dir)
    common, incomplete = _in_all(folders, found)
    make_folder(out_dir)

    def fuse_one(name: str) -> None:
        inputs = [cases[name] for cases in found]
        folder = case_folder(out_dir, inputs[0].name)
        with locked(folder):
            _fuse_case(inputs, folder, options, overwrite=execution.overwrite)

    todo = {name: name for name in common}
    outcomes = each_case(todo, Apart(fuse_one), description="fusing", execution=execution)
    return DetectedCases(out_dir, tuple(outcomes.done), incomplete | outcomes.failed)


def _results_of(folder: Path) -> dict[str, Path]:
    """Case name -> folder; of a benchmark, those of `OURS`."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that `anomap detect` left")
    inner = folder / MAPS / OURS
    root = inner if inner.is_dir() else folder
    there = [path.parent for path in sorted(root.glob(f"[!.]*/{RESULT}"))]
    cases = {printable(path.name): path for path in there}
    if not cases:
        raise InputError(f"{folder}: no results in it; expected <case>/{RESULT}, as detect leaves")
    return cases


def _check_folders(folders: Sequence[Path], out_dir: Path) -> None:
    places = [folder.resolve() for folder in folders]
    if len(places) < 2:
        raise InputError("one folder of results: fusion takes two or more")
    if len(set(places)) < len(places):
        raise InputError("the same folder of results twice: it would count twice")
    if out_dir.resolve() in places:
        raise InputError(f"{out_dir}: is one of the results; give another folder with -o")


def _in_all(
    folders: Sequence[Path], found: Sequence[Mapping[str, Path]]
) -> tuple[list[str], dict[str, str]]:
    """Names of the cases that all folders have, and name -> which folders lack it, of the others.

    Raises:
        InputError: there is no case that all have.
    """
    common = sorted(set.intersection(*(set(cases) for cases in found)))
    if not common:
        raise InputError(
            f"no case is in all of {', '.join(map(str, folders))}; in the first: "
            f"{', '.join(list(found[0])[:3])}; in the second: {', '.join(list(found[1])[:3])}"
        )
    incomplete: dict[str, str] = {}
    for name in sorted(set().union(*found) - set(common)):
        lacking = [str(f) for f, cases in zip(folders, found, strict=True) if name not in cases]
        incomplete[name] = f"no result in {', '.join(lacking)}"
    return common, incomplete


def _fuse_case(
    folders: Sequence[Path], out: Path, settings: FusionOptions, *, overwrite: bool
) -> None:
    start = time.monotonic()
    results = [_result_of(folder) for folder in folders]
    _check_differ(folders, [made for _, made in results])
    provenance = _provenance(results, settings)
    if not overwrite and is_done(out, provenance):
        return
    claim_result(out, provenance.modalities)
    parts = [_read(folder, *result) for folder, result in zip(folders, results, strict=True)]
    _check_grids(parts)
    first = parts[0].anomaly
    begin_anew(out)
    brain = np.any([part.brain for part in parts], axis=0)
    maps = _merged(parts, brain, settings, provenance)
    result = _fused_result(out.name, parts, maps, brain, settings.rule)
    seconds = sum(part.result.seconds or 0.0 for part in parts) + time.monotonic() - start
    described = {
        "threshold": settings.threshold(len(parts)),
        "seconds": round(seconds, 3),
        "provenance": provenance,
    }
    write_result(out, first.affine, brain, maps, result.model_copy(update=described))


def _check_grids(parts: Sequence[_Part]) -> None:
    first = parts[0].anomaly
    for part in parts[1:]:
        if grid_difference(part.anomaly, first):
            raise InputError(
                f"{part.anomaly.path} and {first.path} lie on different grids: bring the scans of "
                "a case to one grid (co-register them), and detect again"
            )


def _merged(
    parts: Sequence[_Part], brain: np.ndarray, settings: FusionOptions, provenance: Provenance
) -> SourceMaps:
    """The merged surprise in decades, ``(X, Y, Z)``, and its mask."""
    merged = RULES[settings.rule].merge(np.stack([part.surprise for part in parts]))
    cut = half_height(merged[brain], settings.decades(len(parts)), provenance.half_height)
    voxel_ml = voxel_volume_ml(parts[0].anomaly.affine)
    mask = threshold_map(merged, cut, voxel_ml, provenance.min_component_ml)
    restored = _pseudo_healthy(parts, provenance.modalities)
    return SourceMaps(merged, mask, cut, restored, parts[0].anomaly.forms)


def _fused_result(
    name: str, parts: Sequence[_Part], maps: SourceMaps, brain: np.ndarray, rule: str
) -> CaseResult:
    """All of the record that does not depend on how long it took."""
    voxel_ml = voxel_volume_ml(parts[0].anomaly.affine)
    results = [part.result for part in parts]
    mask = np.zeros_like(brain) if maps.mask is None else maps.mask
    return CaseResult(
        case=name,
        method=FUSED,
        score=float(top_mean(maps.anomaly_map[brain])),
        p_value=_p_value([result.p_value for result in results], rule),
        healthy_cases=min(result.healthy_cases for result in results),
        brain_ml=round(float(brain.sum() * voxel_ml), 3),
        anomalous_ml=round(float(mask.sum() * voxel_ml), 3),
        cut=maps.cut,
        evaluations_per_slice=sum(result.evaluations_per_slice or 0 for result in results),
        slices=max(result.slices for result in results),
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
        inputs=_inputs(parts),
        software=software(),
        command=command_line(),
    )


def _result_of(folder: Path) -> tuple[CaseResult, Provenance]:
    """A result that can be fused, and what it depends on.

    Raises:
        InputError: it does not say how it was made, is fused already, or not calibrated.
    """
    path = folder / RESULT
    result = CaseResult.read(path)
    if result.provenance is None:
        raise InputError(f"{path}: says nothing of how it was made; detect again")
    if result.method == FUSED:
        raise InputError(f"{path}: fused already; give all the results that it was made of")
    if not result.healthy_thresholds:
        raise InputError(
            f"{path}: no healthy thresholds, so its map cannot be compared with another; it is not "
            "calibrated, or older: detect again with --overwrite"
        )
    return result, result.provenance


def _check_differ(folders: Sequence[Path], made: Sequence[Provenance]) -> None:
    """See that no result is a copy of another.

    Raises:
        InputError: one is, and would count twice.
    """
    known = [i for i, one in enumerate(made) if one.inputs and all(f.sha256 for f in one.inputs)]
    for i, j in itertools.combinations(known, 2):
        if not made[i].changes(made[j]):
            raise InputError(
                f"{folders[i]} and {folders[j]}: one result twice, of the same scan, weights, "
                "settings and seed; it would count twice"
            )


def _provenance(
    results: Sequence[tuple[CaseResult, Provenance]], settings: FusionOptions
) -> Provenance:
    """All that a fused result depends on; `pipeline.detection.detect.is_done` compares it."""
    before = tuple(provenance for _, provenance in results)
    # The same content once, whatever its name; a file of a former version is known by its name.
    inputs: dict[object, InputFile] = {}
    for file in (file for one in before for file in one.inputs):
        inputs.setdefault(file.identity if file.sha256 else (file.path, file.channel), file)
    modalities = dict.fromkeys(modality for one in before for modality in one.modalities)
    return Provenance(
        anomap=__version__,
        method=FUSED,
        settings=settings.as_dict(),
        inputs=tuple(inputs.values()),
        modalities=tuple(modalities),
        half_height=min(one.half_height for one in before),
        min_component_ml=max(one.min_component_ml for one in before),
        fused=before,
    )


def _inputs(parts: Sequence[_Part]) -> dict[str, str]:
    """Modality -> image of all of them.

    Raises:
        InputError: two of them used images of one modality that differ in content.
    """
    first: dict[str, tuple[str, str | None]] = {}
    for part in parts:
        hashes = {file.role: file.sha256 for file in part.provenance.inputs}
        for modality, path in part.result.inputs.items():
            image = (path, hashes.get(modality))
            if not _same_image(first.setdefault(modality, image), image):
                raise InputError(
                    f"{part.folder.name}: the {modality} image is {first[modality][0]} for one run "
                    f"and {path} for another, and they differ; fuse results of the same scans"
                )
    return {modality: path for modality, (path, _) in first.items()}


def _same_image(one: tuple[str, str | None], other: tuple[str, str | None]) -> bool:
    """Whether path and hash are of one image: by the hashes, or without them by the paths."""
    (path, content), (other_path, other_content) = one, other
    if content and other_content:
        return content == other_content
    return Path(path).resolve() == Path(other_path).resolve()


def _read(folder: Path, result: CaseResult, provenance: Provenance) -> _Part:
    result.check_files(folder, (ANOMALY_MAP, BRAIN_MASK))
    anomaly = read_volume_or_zeros(folder / ANOMALY_MAP)
    mask = read_mask(folder / BRAIN_MASK)
    if grid_difference(mask, anomaly):
        raise InputError(f"{mask.path}: not on the grid of {anomaly.path}; detect again")
    brain = mask.data
    if not brain.any():
        raise InputError(f"{mask.path}: empty")
    try:
        rare = surprise(anomaly.data, result.healthy_thresholds or {})
    except InputError as error:
        raise InputError(f"{folder / RESULT}: {error}") from error
    return _Part(folder, result, provenance, anomaly, brain, rare * brain)


def _pseudo_healthy(parts: Sequence[_Part], modalities: Sequence[str]) -> np.ndarray | None:
    """``(C, X, Y, Z)``, of each modality what the first run with it restored; None if one lacks."""
    found: dict[str, np.ndarray] = {}
    for part in parts:
        names = part.provenance.modalities
        for name in names:
            path = part.folder / pseudo_healthy(name, len(names))
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
    return min(1.0, float(10.0 ** -float(merged)))
