"""From a path to a cohort: the rules that all layouts share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohorts import brats_tree, flat_tree, touch

from pipeline.cases.find import _short_name, find_cases
from pipeline.cases.layouts.part import Part
from pipeline.cases.listing import format_cohort
from pipeline.errors import InputError
from pipeline.files.images.nifti import write_volume


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
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["b_x", "c2", "healthy_c1", "tumour_c1", "x"]
    assert set(cohort.incomplete) == {"a/b_x", "a_b/x"}
    assert all("two cases are named 'a_b_x'" in why for why in cohort.incomplete.values())


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


def test_a_bare_name_is_called_by_its_folder_however_the_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "P7/flair.nii.gz", "P7/results/x.txt")
    (tmp_path / "flair.nii.gz").symlink_to(tmp_path / "P7/flair.nii.gz")
    monkeypatch.chdir(tmp_path / "P7/results")
    for path in ("../flair.nii.gz", "..", "../", "../../P7/results/../flair.nii.gz"):
        (case,) = find_cases(path).cases
        assert (case.name, case.images["flair"].path) == ("P7", tmp_path / "P7/flair.nii.gz")
    (case,) = find_cases("../../flair.nii.gz").cases
    assert case.name == tmp_path.name


def test_a_scan_in_the_root_of_the_file_system_is_called_by_its_file() -> None:
    key = (Path("/"), "")
    assert _short_name(key, [Part(Path("/flair.nii.gz"), "image", *key)]) == "flair"


def test_one_name_that_is_not_utf8_does_not_end_the_others(tmp_path: Path) -> None:
    touch(tmp_path, "Meier_flair.nii.gz", "M\udcfcller_flair.nii.gz", "a\nb_flair.nii.gz")
    touch(tmp_path, f"{'x' * 220}_flair.nii.gz", "J\udcfc/c_flair.nii.gz", ".h_flair.nii.gz")
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["Meier"]
    assert cohort.incomplete["M\\udcfcller"] == r"the name 'M\udcfcller' is not UTF-8; rename it"
    assert "cannot be seen" in cohort.incomplete["a\\nb"]
    assert "not UTF-8; rename it" in cohort.incomplete["c"]
    assert "220 bytes" in cohort.incomplete["x" * 220]
    assert len(cohort.left_out) == 4
    format_cohort(cohort).encode()
    with pytest.raises(InputError, match=r"M\\udcfcller.*not UTF-8"):
        find_cases(tmp_path / "M\udcfcller_flair.nii.gz")


def test_a_folder_above_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "J\udcfc/a_flair.nii.gz")
    with pytest.raises(InputError, match=r"J\\udcfc: .*not UTF-8; rename it"):
        find_cases(tmp_path / "J\udcfc")
    (tmp_path / "link").symlink_to(tmp_path / "J\udcfc")
    with pytest.raises(InputError, match="not UTF-8; rename it"):  # records hold the target
        find_cases(tmp_path / "link")


def test_what_lacks_under_one_name_is_never_lost(tmp_path: Path) -> None:
    touch(tmp_path, "a/c_t1.nii.gz", "b/c_t1.nii.gz", "d/c_flair.nii.gz", "e_t1.nii.gz")
    cohort = find_cases(tmp_path, modalities=["flair"])
    assert [case.name for case in cohort.cases] == ["c"]
    assert set(cohort.incomplete) == {"a/c", "b/c", "e"}


def test_names_that_differ_by_capitals_are_noted_or_get_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, "Case1_t1.nii.gz", "case1_t1.nii.gz")
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["Case1", "case1"]
    assert any(note.startswith("the names Case1 and case1 are one") for note in cohort.notes)
    touch(tmp_path, "x/P1_t1.nii.gz", "y/p1_t1.nii.gz")
    assert {"x_P1", "y_p1"} < {case.name for case in find_cases(tmp_path).cases}


def test_a_single_file_is_of_the_modality_that_is_asked_for(tmp_path: Path) -> None:
    """Its name may say another; of a folder names count."""
    for name in ("p1_t2", "p2_flair"):
        write_volume(tmp_path / f"{name}.nii.gz", np.ones((4, 4, 4), np.float32), np.eye(4))
    found = find_cases(tmp_path / "p1_t2.nii.gz", modalities=["flair"], overrule=True)
    assert [(case.name, list(case.images)) for case in found.cases] == [("p1", ["flair"])]
    assert "p1_t2.nii.gz: its name says t2; taken as flair, as asked" in found.notes
    assert [
        case.name for case in find_cases(tmp_path, modalities=["flair"], overrule=True).cases
    ] == ["p2"]
    assert find_cases(tmp_path / "p1_t2.nii.gz", modalities=["t2"], overrule=True).notes == ()
    with pytest.raises(InputError, match="has t2; flair is missing"):
        find_cases(tmp_path / "p1_t2.nii.gz", modalities=["flair"])
