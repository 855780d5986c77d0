"""Who is learnt from, and splits by subject."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from cohorts import case_of, nifti, touch

from pipeline.cases.case import Case, Cohort, ImageFile
from pipeline.cases.find import find_cases
from pipeline.cases.splits import healthy_for_training, split_cases
from pipeline.errors import InputError

# --- healthy --------------------------------------------------------------------------------------


def test_a_lesion_never_enters_the_training_silently(tmp_path: Path) -> None:
    for name in "abcd":
        touch(tmp_path, f"{name}_t1.nii.gz")
    nifti(tmp_path / "b_seg.nii.gz", [0, 1])
    nifti(tmp_path / "c_seg.nii.gz")
    touch(tmp_path, "d_desc-wmh_mask.nii.gz", "e_t1.nii.gz", "e_seg.nii.gz")
    taken, refused = healthy_for_training(find_cases(tmp_path, healthy=True))
    assert [case.name for case in taken] == ["a", "c", "d"]
    assert refused["b"] == "said to be healthy, but its lesion label is not empty"
    assert refused["e"].startswith("its lesion label cannot be checked")
    with pytest.raises(InputError, match=r"of 5 cases none .*--healthy.*healthy/.*datalist"):
        healthy_for_training(find_cases(tmp_path))


def test_refused_cases_keep_their_reason() -> None:
    label = ImageFile(Path("/data/l.nii.gz"))
    cases = (
        case_of("a", healthy=True),
        case_of("b"),
        case_of("c", healthy=False),
        case_of("d", healthy=False, label=label),
    )
    _, refused = healthy_for_training(Cohort(Path("/data"), cases))
    assert refused == {
        "b": "nothing says that it is healthy",
        "c": "folder, datalist or flag: not healthy",
        "d": "it has a lesion label",
    }


# --- splits ---------------------------------------------------------------------------------------


VISITS = [case_of(f"c{i}", f"s{i // 2}") for i in range(40)]


def subjects_of(part: list[Case]) -> set[str]:
    return {case.subject for case in part}


def test_a_split_keeps_the_visits_of_a_subject_together_and_counts_exactly() -> None:
    parts = split_cases(VISITS, {"test": 5, "validation": 3, "training": 12}, seed=1)
    assert {name: len(subjects_of(part)) for name, part in parts.items()} == {
        "test": 5,
        "validation": 3,
        "training": 12,
    }
    assert sorted(c.name for p in parts.values() for c in p) == sorted(c.name for c in VISITS)
    for one, other in itertools.combinations(parts.values(), 2):
        assert not subjects_of(one) & subjects_of(other)


@pytest.mark.parametrize(
    ("n", "fractions", "counts"),
    [
        (20, {"a": 0.7, "b": 0.2, "c": 0.1}, [14, 4, 2]),
        (7, {"a": 0.5, "b": 0.5}, [4, 3]),
        (10, {"a": 0.25, "b": 0.75}, [3, 7]),
        (3, {"a": 1.0}, [3]),
        (10, {"a": 0.3, "b": 0.0}, [3, 0]),
    ],
)
def test_fractions_become_whole_subjects(
    n: int, fractions: dict[str, float], counts: list[int]
) -> None:
    parts = split_cases([case_of(f"s{i}") for i in range(n)], fractions, seed=0)
    got = [len(part) for part in parts.values()]
    assert got == counts


def test_a_split_depends_on_the_seed_but_not_on_the_order() -> None:
    shares = {"test": 6, "training": 14}
    first = split_cases(VISITS, shares, seed=3)
    assert split_cases(VISITS[::-1], shares, seed=3) == first
    assert split_cases(VISITS, shares, seed=4) != first


def test_a_new_subject_moves_at_most_one_other_over_a_cut() -> None:
    shares = {"test": 6}
    before = subjects_of(split_cases(VISITS, shares, seed=3)["test"])
    for i in range(30):
        after = subjects_of(split_cases([*VISITS, case_of(f"new{i}")], shares, seed=3)["test"])
        assert after == before or (len(before - after) == 1 and after - before == {f"new{i}"})


def test_each_subject_is_drawn_about_equally_often() -> None:
    drawn = [subjects_of(split_cases(VISITS, {"a": 5}, seed=s)["a"]) for s in range(400)]
    shares = [sum(f"s{i}" in part for part in drawn) / 400 for i in range(20)]
    assert max(abs(share - 0.25) for share in shares) < 0.1  # 4.6 standard errors


@pytest.mark.parametrize(
    "shares",
    [
        *({}, {"a": 21}, {"a": 15, "b": 6}, {"a": 0.6, "b": 0.5}, {"a": -1}, {"a": 0.5, "b": 3}),
        *({"a": 0.01, "b": 0.9}, {"a": float("nan")}, {"a": True}),
    ],
)
def test_an_impossible_split_is_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"^split "):
        split_cases(VISITS, shares, seed=0)


def test_who_gave_the_flag_is_not_told_to_give_it(tmp_path: Path) -> None:
    """Said to be healthy, and with a lesion label that is not empty."""
    touch(tmp_path, "a_t1.nii.gz", "b_t1.nii.gz")
    for name in ("a", "b"):
        nifti(tmp_path / f"{name}_seg.nii.gz", [0, 1])
    with pytest.raises(InputError, match="people without a lesion") as refused:
        healthy_for_training(find_cases(tmp_path, healthy=True))
    assert "--healthy" not in str(refused.value)
