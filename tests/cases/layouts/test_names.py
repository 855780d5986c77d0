"""What suffixes and folders say."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohorts import touch

from pipeline.cases.find import find_cases


@pytest.mark.parametrize(
    ("suffix", "modality"),
    [
        *(
            ("_flair", "flair"),
            ("-t2f", "flair"),
            ("_t1ce", "t1ce"),
            ("-t1c", "t1ce"),
            ("-t1n", "t1"),
        ),
        *(("-t2w", "t2"), ("_T1w", "t1"), ("-PD", "pd"), ("_dwi", "dwi"), ("_t2_flair", "flair")),
    ],
)
def test_a_suffix_names_its_modality(suffix: str, modality: str, tmp_path: Path) -> None:
    (case,) = find_cases(touch(tmp_path, f"IXI-7_x{suffix}.nii.gz")).cases
    assert (case.name, list(case.images)) == ("IXI-7_x", [modality])


@pytest.mark.parametrize(
    ("folder", "healthy"),
    [
        *(("glioma_tumor", False), ("meningioma_tumor", False), ("brain_glioma", False)),
        *(("Glioma", False), ("tumor_aug", False), ("unhealthy", False), ("non-healthy", False)),
        *(("no_tumor", True), ("notumor", True), ("No Tumour", True), ("NoTumor", True)),
        *(("healthy_controls", True), ("HealthyControls", True), ("tumor-free", True)),
        *(("healthy_vs_glioma", None), ("patients_and_controls", None), ("normal_dose", None)),
        *(("normalised", None), ("controller", None), ("nodule", None)),
    ],
)
def test_folders_say_who_is_healthy_in_whole_words(
    folder: str, healthy: bool | None, tmp_path: Path
) -> None:
    touch(tmp_path, f"data/{folder}/a_t1.nii.gz")
    cohort = find_cases(tmp_path / "data")
    assert cohort.cases[0].healthy is healthy
    is_unclear = folder in ("healthy_vs_glioma", "patients_and_controls", "normal_dose")
    assert any(repr(folder) in note for note in cohort.notes) is is_unclear
    said = find_cases(tmp_path / "data", healthy=True).cases[0].healthy
    assert said is (healthy is not False)


def test_the_name_of_a_project_says_nothing_of_its_people(tmp_path: Path) -> None:
    for name, healthy in {"tumor_detection_project": None, "glioma": False}.items():
        touch(tmp_path, f"{name}/a_t1.nii.gz")
        assert find_cases(tmp_path / name).cases[0].healthy is healthy
