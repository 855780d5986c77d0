"""From a path to a cohort: the rules that all layouts share."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohorts import brats_tree, flat_tree, touch

from pipeline.cases.find import find_cases
from pipeline.errors import InputError


def test_a_single_file_is_one_case(tmp_path: Path) -> None:
    touch(tmp_path, "x_t1.nii.gz", "x_seg.nii.gz", "scan7.nii.gz")
    (case,) = find_cases(tmp_path / "x_t1.nii.gz").cases
    assert (case.name, list(case.images)) == ("x", ["t1"])
    assert case.label is not None  # what lies beside it belongs to it
    assert case.label.path.name == "x_seg.nii.gz"
    (case,) = find_cases(tmp_path / "scan7.nii.gz", modalities=["flair"]).cases
    assert (case.name, list(case.images)) == ("scan7", ["flair"])
    with pytest.raises(InputError, match="has t1; flair is missing"):
        find_cases(tmp_path / "x_t1.nii.gz", modalities=["flair"])


def test_one_name_in_two_folders_becomes_two_names(tmp_path: Path) -> None:
    touch(tmp_path, "healthy/c1/c1_t1.nii.gz", "tumour/c1/c1_t1.nii.gz", "tumour/c2/c2_t1.nii.gz")
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["c2", "healthy_c1", "tumour_c1"]
    assert "2 cases share a name" in cohort.notes[0]
    touch(tmp_path, "a/b_x_t1.nii", "a_b/x_t1.nii", "b_x_t1.nii", "x_t1.nii")
    with pytest.raises(InputError, match="two cases are named 'a_b_x'"):
        find_cases(tmp_path)


@pytest.mark.parametrize("name", ["empty", "gone", "x.dcm", "x.txt"])
def test_a_path_without_images_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "x.dcm", "x.txt")
    with pytest.raises(InputError, match=str(tmp_path / name)):
        find_cases(tmp_path / name)


def test_the_result_does_not_depend_on_how_the_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat_tree(tmp_path / "healthy")
    monkeypatch.chdir(tmp_path / "healthy")
    assert find_cases(".") == find_cases(tmp_path / "healthy") == find_cases(f"{tmp_path}/healthy/")
    assert find_cases(".").cases[0].healthy is True


def test_the_given_label_scheme_overrides_names_and_must_exist(tmp_path: Path) -> None:
    brats_tree(tmp_path)
    cohort = find_cases(tmp_path, label_scheme="msd")
    assert {case.label_scheme for case in cohort.cases} == {"msd"}
    with pytest.raises(InputError, match="unknown label scheme 'brats'; the schemes are auto, br"):
        find_cases(tmp_path, label_scheme="brats")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "n", "modality", "roles"),
    [
        ("brats_flair", 13, "flair", {"label"}),
        ("nichart_flair", 23, "flair", {"brain_mask", "exclude"}),
        ("ixi_t1", 124, "t1", {"brain_mask"}),
        ("brats_multimodal", 12, "t1ce", {"label"}),
    ],
)
def test_the_development_data_is_found(
    folder: str, n: int, modality: str, roles: set[str], shared_data: Path
) -> None:
    cohort = find_cases(shared_data / folder, modalities=[modality])
    assert len(cohort.cases) == len(cohort.subjects) == n
    for case in cohort.cases:
        assert list(case.images) == [modality]
        assert {r for r in ("label", "brain_mask", "exclude") if getattr(case, r)} == roles
