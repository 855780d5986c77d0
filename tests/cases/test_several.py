"""Several paths as one cohort: names, what is unusable, what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohorts import datalist_tree, flat_tree, touch

from pipeline.cases.case import Cohort
from pipeline.cases.find import find_cases
from pipeline.cases.several import Selection, find_all
from pipeline.errors import InputError


def names(cohort: Cohort) -> list[str]:
    return [case.name for case in cohort.cases]


def test_one_path_is_what_the_finder_finds(tmp_path: Path) -> None:
    touch(flat_tree(tmp_path), "c_t1.nii.gz", "x.dcm")
    for modalities in (None, ("flair",)):
        found = find_all([tmp_path], Selection(modalities))
        assert found == find_cases(tmp_path, modalities=modalities)


def test_several_paths_are_one_cohort_with_the_root_of_the_first(tmp_path: Path) -> None:
    touch(tmp_path / "b", "b1_t1.nii.gz", "b1_bias.nii.gz", "b2_flair.nii.gz")
    touch(tmp_path / "a", "a1_t1.png", "scan.dcm")
    touch(tmp_path / "c", "c1_t1.nii.gz")
    cohort = find_all([tmp_path / name for name in "bac"], Selection(("t1",)))
    assert cohort.root == tmp_path / "b"
    assert names(cohort) == ["b1", "a1", "c1"]
    assert cohort.layout == "flat, pictures"
    assert cohort.incomplete == {"b2": "has flair; t1 is missing"}
    assert {path.name for path in cohort.left_out} == {
        *("b1_bias.nii.gz", "b2_flair.nii.gz", "scan.dcm")
    }
    assert len(cohort.notes) == 1


def test_a_note_of_two_paths_is_said_once(tmp_path: Path) -> None:
    for name in "ab":
        touch(tmp_path / name, f"{name}.nii.gz")
    (note,) = find_all([tmp_path / "a", tmp_path / "b"], Selection(("t1",))).notes
    assert note == "taken as t1: 1 image whose name says no modality"


def test_one_name_in_two_paths_is_an_error(tmp_path: Path) -> None:
    for name in "ab":
        touch(tmp_path / name, "same_t1.nii.gz")
    with pytest.raises(
        InputError, match="a case named 'same' was already found elsewhere"
    ) as error:
        find_all([tmp_path / "a", tmp_path / "b"])
    assert str(error.value).startswith(f"{tmp_path / 'b' / 'same_t1.nii.gz'}: ")


# --- paths that hold nothing --------------------------------------------------------------------


def test_one_bad_path_of_two_is_incomplete_under_its_own_name(tmp_path: Path) -> None:
    touch(tmp_path / "good", "a_t1.nii.gz")
    bad = str(tmp_path / "gone")
    for paths in ([bad, tmp_path / "good"], [tmp_path / "good", bad]):
        cohort = find_all(paths)
        assert cohort.root == tmp_path / "good"
        assert names(cohort) == ["a"]
        assert cohort.incomplete == {bad: f"{bad}: no such file or folder"}


def test_a_bad_path_alone_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: no such file or folder$"):
        find_all([tmp_path / "gone"])


def test_bad_paths_only_raise_what_the_first_lacks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: no such file or folder$"):
        find_all([tmp_path / "gone", tmp_path / "away"])


def test_no_path_is_an_error() -> None:
    with pytest.raises(InputError, match="no path is given"):
        find_all([])


# --- what is said about the cases ---------------------------------------------------------------


def test_cases_are_left_out_by_name(tmp_path: Path) -> None:
    for name in "ab":
        touch(tmp_path / name, f"{name}1_t1.nii.gz", f"{name}2_t1.nii.gz")
    paths = [tmp_path / "a", tmp_path / "b"]
    assert names(find_all(paths, Selection(leave_out=("b1", "a2")))) == ["a1", "b2"]


def test_a_case_to_leave_out_must_be_there(tmp_path: Path) -> None:
    touch(tmp_path, "a_t1.nii.gz")
    with pytest.raises(InputError, match="--leave-out b: no case of that name in ") as error:
        find_all([tmp_path], Selection(leave_out=("c", "b")))
    assert str(tmp_path) in str(error.value)


def test_section_and_label_scheme_reach_the_finder(tmp_path: Path) -> None:
    path = datalist_tree(tmp_path)
    (case,) = find_all([path], Selection(section="validation", label_scheme="msd")).cases
    assert (case.name, case.label_scheme) == ("a", "msd")
    with pytest.raises(InputError, match="unknown label scheme 'brats'"):
        find_all([path], Selection(label_scheme="brats"))
    with pytest.raises(InputError, match="no section 'tset'"):
        find_all([path], Selection(section="tset"))


@pytest.mark.parametrize("healthy", [True, False, None])
def test_what_is_said_of_health_reaches_the_finder(healthy: bool | None, tmp_path: Path) -> None:
    touch(tmp_path, "a_t1.nii.gz")
    (case,) = find_all([tmp_path], Selection(healthy=healthy)).cases
    assert case.healthy is healthy


def test_a_path_alone_may_be_a_text(tmp_path: Path) -> None:
    touch(tmp_path, "a_t1.nii.gz")
    assert names(find_all(str(tmp_path))) == names(find_all([tmp_path]))


def test_a_selection_takes_any_spelling_and_a_name_alone() -> None:
    assert Selection(modalities="T2F") == Selection(modalities=("flair",))
    assert Selection(modalities=["FLAIR", "T1w"]).modalities == ("flair", "t1")
    assert Selection(leave_out="p1").leave_out == ("p1",)


def test_leaving_out_every_case_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a_t1.nii.gz", "b_t1.nii.gz")
    everything = tuple(names(find_all(tmp_path)))
    with pytest.raises(InputError, match="every case is left out"):
        find_all(tmp_path, Selection(leave_out=everything))


def test_a_clash_is_the_same_in_any_order(tmp_path: Path) -> None:
    for name in "ab":
        touch(tmp_path, f"{name}/same_t1.nii.gz")
    said = set()
    for order in ("ab", "ba"):
        with pytest.raises(InputError) as error:
            find_all([tmp_path / name for name in order])
        said.add(str(error.value))
    assert len(said) == 1


def test_a_case_to_which_two_paths_lead_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "d/P1/flair.nii.gz", "d/P2/flair.nii.gz")
    paths = [tmp_path / "d", tmp_path / "d/P1", tmp_path / "d/P2/flair.nii.gz"]
    assert names(find_all(paths)) == ["P1", "P2"]


def test_what_lacks_in_two_paths_under_one_name_is_kept_twice(tmp_path: Path) -> None:
    for name in "ab":
        touch(tmp_path, f"{name}/{name}_t1.nii.gz", f"{name}/x_flair.nii.gz")
    cohort = find_all([tmp_path / "a", tmp_path / "b"], Selection(("t1",)))
    assert set(cohort.incomplete) == {f"{tmp_path / name}: x" for name in "ab"}
