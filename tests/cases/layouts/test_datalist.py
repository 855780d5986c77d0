"""MONAI datalists: entries of every shape, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cohorts import by_name, dump, touch

from pipeline.cases.case import ImageFile
from pipeline.cases.find import find_cases
from pipeline.errors import InputError


def test_datalist_entries_of_every_shape(tmp_path: Path) -> None:
    touch(tmp_path, "four.nii.gz", "x.nii.gz", "y.nii.gz", "p_t1.nii.gz", "p_t2.nii.gz", "m.nii.gz")
    entries = [
        {"image": "four.nii.gz", "modality": ["flair", "t1"], "subject": "S", "name": "v1"},
        {"image": ["x.nii.gz", "y.nii.gz"], "modality": ["T1w", "FLAIR"], "brain_mask": "m.nii.gz"},
        {"image": ["p_t1.nii.gz", "p_t2.nii.gz"], "exclude": "m.nii.gz", "healthy": False},
        {"image": {"pd": {"path": "four.nii.gz", "channel": 3}}},
    ]
    cohort = find_cases(dump(tmp_path / "d.json", {"training": entries, "test": []}))
    cases = by_name(cohort)
    four = tmp_path / "four.nii.gz"
    assert dict(cases["v1"].images) == {"flair": ImageFile(four, 0), "t1": ImageFile(four, 1)}
    assert (cases["v1"].subject, cases["x"].subject) == ("S", "x")
    assert cases["x"].images["flair"] == ImageFile(tmp_path / "y.nii.gz")
    assert cases["x"].brain_mask == ImageFile(tmp_path / "m.nii.gz")
    assert (sorted(cases["p"].images), cases["p"].healthy) == (["t1", "t2"], False)
    assert cases["four"].images["pd"] == ImageFile(four, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "expected an object"),
        ({"name": "x"}, "expected lists of entries"),
        ({"training": [{"label": "a.nii"}]}, r"training\[0\]: expected"),
        ({"training": [{"image": "a.nii", "healthy": "yes"}]}, "healthy cannot be 'yes'"),
        ({"training": [{"image": "a.nii", "name": "../a"}]}, "cannot be a folder's"),
        ({"training": [{"image": 3}]}, "expected a path"),
        ({"training": [{"image": ["a.nii", "b.nii"]}]}, "give each its own"),
        ({"training": [{"image": "a_t1.nii"}], "test": [{"image": "a_t1.nii"}]}, "there already"),
        ({"training": [{"image": "a_t1.nii", "label_scheme": "x"}]}, "unknown label scheme 'x'"),
        ({"training": [{"image": "gone_t1.nii"}]}, "no such file"),
    ],
)
def test_a_wrong_datalist_is_refused_with_its_place(
    data: object, message: str, tmp_path: Path
) -> None:
    touch(tmp_path, "a.nii", "a_t1.nii")
    with pytest.raises(InputError, match=message) as error:
        find_cases(dump(tmp_path / "d.json", data))
    assert "d.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_shipped_example_is_a_datalist(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "data" / "datalist.example.json"
    data = json.loads(example.read_text())
    for entries in data.values():
        for entry in entries:
            images = entry["image"]
            listed = list(images.values()) if isinstance(images, dict) else [images]
            listed += [entry[key] for key in ("label", "brain_mask", "exclude") if key in entry]
            touch(tmp_path, *(f if isinstance(f, str) else f["path"] for f in listed))
    cohort = find_cases(dump(tmp_path / "d.json", data), modalities=["flair"])
    assert len(cohort.cases) == sum(map(len, data.values()))
    assert {case.healthy for case in cohort.cases} == {True, False}
