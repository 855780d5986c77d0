"""What was found in a case, on the grid of its scan and on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from folders import names_in

from pipeline.cases.transforms import Prepared
from pipeline.detection.detector import Detector, make_detector
from pipeline.detection.recipe import MapResult
from pipeline.detection.source_maps import (
    SourceMaps,
    Spent,
    case_result,
    to_source,
    write_result,
)
from pipeline.errors import InputError
from pipeline.files.images.volume import Forms
from pipeline.files.names import ANOMALY_MASK, RESULT
from pipeline.files.record.calibration import Calibration, MethodCalibration
from pipeline.files.record.result import CaseResult, Provenance
from pipeline.scores.case_metrics import top_mean

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def detector(threshold: float | None = 0.5) -> Detector:
    methods = {}
    if threshold is not None:
        thresholds = {"0.1": threshold / 2, "0.01": threshold}
        scores = (*[0.1] * 18, 9.0)
        table = MethodCalibration(thresholds=thresholds, left_out_rates={}, scores=scores)
        methods["intensity"] = table
    return make_detector("intensity", {}, Calibration(methods=methods, cases=("a", "b", "c")))


def some_map(prepared: Prepared) -> MapResult:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(prepared.brain.shape, generator=generator) * prepared.brain
    return MapResult(values)


def test_a_mask_holds_what_lies_above_the_threshold(prepared: Prepared) -> None:
    maps = to_source(prepared, detector(0.5), some_map(prepared))
    assert maps.anomaly_map.shape == prepared.source_brain.shape
    assert maps.cut == 0.5
    assert maps.mask is not None
    np.testing.assert_array_equal(maps.mask, maps.anomaly_map > 0.5)
    assert 0 < maps.mask.sum() < prepared.source_brain.sum()
    assert maps.pseudo_healthy is None


@pytest.mark.parametrize(("value", "reason"), [(0.0, "0 all over"), (float("nan"), "no")])
def test_a_map_of_nothing_is_no_result(prepared: Prepared, value: float, reason: str) -> None:
    empty = MapResult(torch.full(prepared.brain.shape, value))
    with pytest.raises(InputError, match=f"case a: its map is {reason}"):
        to_source(prepared, detector(), empty)


def test_a_mask_of_much_of_the_brain_is_said(prepared: Prepared) -> None:
    def notes(threshold: float) -> tuple[str, ...]:
        maps = to_source(prepared, detector(threshold), some_map(prepared))
        spent = Spent(1, 0.0)
        return case_result(prepared, detector(threshold), maps, spent, Provenance()).notes

    assert notes(0.95) == ()
    (note,) = notes(0.5)
    assert "% of the brain are in the mask" in note
    assert "10 % of healthy cases score as high" in note


def test_without_a_threshold_there_is_no_mask(prepared: Prepared) -> None:
    maps = to_source(prepared, detector(None), some_map(prepared))
    assert maps.mask is None
    assert maps.cut is None


def test_the_record_of_a_case_counts_what_is_in_its_maps(prepared: Prepared) -> None:
    found = detector()
    maps = to_source(prepared, found, some_map(prepared))
    result = case_result(prepared, found, maps, Spent(9, 1.23456), Provenance())
    assert maps.mask is not None
    assert result.score == pytest.approx(top_mean(maps.anomaly_map[prepared.source_brain]))
    assert result.anomalous_ml == pytest.approx(maps.mask.sum() * 0.125, abs=1e-3)
    assert result.brain_ml == pytest.approx(prepared.source_brain.sum() * 0.125, abs=1e-3)
    assert result.p_value == pytest.approx(2 / 20)
    assert result.healthy_cases == 19
    assert (result.evaluations_per_slice, result.seconds) == (9, 1.235)
    assert result.slices == len(prepared.slices)


def test_a_method_that_is_not_calibrated_says_nothing_of_healthy_cases(prepared: Prepared) -> None:
    found = detector(None)
    maps = to_source(prepared, found, some_map(prepared))
    result = case_result(prepared, found, maps, Spent(0, 0.0), Provenance())
    assert result.p_value is None
    assert result.healthy_cases == 0
    assert result.healthy_thresholds is None
    assert result.anomalous_ml is None


def found_maps(*, mask: bool, n_modalities: int = 0) -> SourceMaps:
    restored = np.arange(1.0, n_modalities + 1)[:, None, None, None] * np.ones((1, 4, 5, 6))
    return SourceMaps(
        anomaly_map=np.ones((4, 5, 6), np.float32),
        mask=np.ones((4, 5, 6), bool) if mask else None,
        cut=0.5 if mask else None,
        pseudo_healthy=restored.astype(np.float32) if n_modalities else None,
    )


@pytest.mark.parametrize(
    ("modalities", "names"),
    [
        (("flair",), ["pseudo_healthy.nii.gz"]),
        (("t1", "flair"), ["pseudo_healthy_t1.nii.gz", "pseudo_healthy_flair.nii.gz"]),
    ],
)
def test_each_modality_has_a_pseudo_healthy_image(
    tmp_path: Path, modalities: tuple[str, ...], names: list[str]
) -> None:
    record = CaseResult(case="a", provenance=Provenance(modalities=modalities))
    brain = np.ones((4, 5, 6), bool)
    maps = found_maps(mask=True, n_modalities=len(modalities))
    result = write_result(tmp_path, AFFINE, brain, maps, record)
    assert result.file_names == ("anomaly.nii.gz", "brain_mask.nii.gz", "mask.nii.gz", *names)
    assert names_in(tmp_path) == {*result.file_names, RESULT}
    for i, name in enumerate(names, start=1):
        stored = nib.load(tmp_path / name)
        assert (np.asarray(stored.dataobj) == i).all()
        np.testing.assert_allclose(stored.affine, AFFINE)
    assert json.loads((tmp_path / RESULT).read_text())["files"] == [
        file.to_json() for file in result.files
    ]


def test_files_carry_the_forms_of_the_scan(prepared: Prepared, tmp_path: Path) -> None:
    with_forms = replace(prepared, source_forms=Forms(0, 1))
    maps = to_source(with_forms, detector(0.5), some_map(prepared))
    affine, brain = prepared.source_affine, prepared.source_brain
    result = write_result(tmp_path, affine, brain, maps, CaseResult(case="a"))
    for name in result.file_names:
        stored = nib.load(tmp_path / name)
        assert (int(stored.header["sform_code"]), int(stored.header["qform_code"])) == (0, 1)
        np.testing.assert_allclose(stored.affine, affine, atol=1e-4)


def test_the_mask_of_a_former_result_does_not_stay_without_a_threshold(tmp_path: Path) -> None:
    brain = np.ones((4, 5, 6), bool)
    write_result(tmp_path, AFFINE, brain, found_maps(mask=True), CaseResult(case="a"))
    assert (tmp_path / ANOMALY_MASK).is_file()
    result = write_result(tmp_path, AFFINE, brain, found_maps(mask=False), CaseResult(case="a"))
    assert not (tmp_path / ANOMALY_MASK).exists()
    assert ANOMALY_MASK not in result.file_names


def test_pseudo_healthy_images_of_a_former_result_do_not_stay(tmp_path: Path) -> None:
    brain = np.ones((4, 5, 6), bool)
    two = CaseResult(case="a", provenance=Provenance(modalities=("t1", "flair")))
    former = write_result(tmp_path, AFFINE, brain, found_maps(mask=True, n_modalities=2), two)
    assert "pseudo_healthy_t1.nii.gz" in former.file_names
    one = CaseResult(case="a", provenance=Provenance(modalities=("t1",)))
    result = write_result(tmp_path, AFFINE, brain, found_maps(mask=True, n_modalities=1), one)
    assert names_in(tmp_path) == {*result.file_names, RESULT}
