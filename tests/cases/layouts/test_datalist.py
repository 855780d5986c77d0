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
        ({"training": [{"image": "a.nii", "name": "../a"}]}, "has a separator of folders"),
        ({"training": [{"image": 3}]}, "expected a path"),
        ({"training": [{"image": ["a.nii", "b.nii"]}]}, "give each its own"),
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


GOOD = {"image": "a_t1.nii"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image": "a_t1.nii", "name": "\ud800"}, "is not UTF-8"),
        ({"image": "a_t1.nii", "name": "x" * 201}, "201 bytes"),
        ({"image": "a_t1.nii", "name": "a\nb"}, "cannot be seen"),
        ({"image": "a_t1.nii", "name": 7}, "name cannot be"),
        ({"image": "a_t1.nii", "subject": "\udcfc"}, "the subject"),
        ({"image": "a_t1.nii", "label_scheme": ["x"]}, "label_scheme cannot be"),
        ({"image": "M\udcfc/a_t1.nii"}, "is not UTF-8"),
        ({"image": "a\0_t1.nii"}, "zero byte"),
        ({"image": ["a_t1.nii", 5]}, "expected a path"),
        ({"image": {"T1w": "a_t1.nii", "t1": "b.nii"}}, "'T1w' and 't1' are one modality"),
        ({"image": "a_t1.nii", "modality": ["t2w", "T2", "pd"]}, "are one modality"),
        ({"image": {"path": "a_t1.nii", "channel": 1}, "modality": ["t1", "t2"]}, "1 images"),
        ({"label": "a.nii"}, "expected"),
        (GOOD, "is there already, in training"),
        (None, "expected"),
        (5, "expected"),
    ],
)
def test_one_bad_entry_does_not_end_the_others(entry: object, message: str, tmp_path: Path) -> None:
    touch(tmp_path, "a_t1.nii")
    cohort = find_cases(dump(tmp_path / "d.json", {"training": [GOOD, entry]}))
    assert [case.name for case in cohort.cases] == ["a"]
    assert list(cohort.incomplete) == ["training[1]"]
    reason = cohort.incomplete["training[1]"]
    assert "d.json: training[1]: " in reason
    assert message in reason
    reason.encode()


def test_an_image_that_is_not_there_ends_its_own_case_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a_t1.nii")
    entries = [GOOD, {"image": "gone_t1.nii"}, {"image": f"{'x' * 300}_t1.nii", "name": "long"}]
    cohort = find_cases(dump(tmp_path / "d.json", {"training": entries}))
    assert [case.name for case in cohort.cases] == ["a"]
    assert cohort.incomplete == dict.fromkeys(("gone", "long"), "no such file, or a dead link")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_datalist_is_read_in_every_encoding_of_json(encoding: str, tmp_path: Path) -> None:
    touch(tmp_path, "Müller_t1.nii")
    text = json.dumps({"training": [{"image": "Müller_t1.nii"}]}, ensure_ascii=False)
    (tmp_path / "d.json").write_bytes(text.encode(encoding))
    assert [case.name for case in find_cases(tmp_path / "d.json").cases] == ["Müller"]


def test_paths_are_read_as_people_write_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "P1/flair.nii.gz", "sub/P2_flair.nii.gz", "P3_flair.nii.gz")
    written = ["../P1/flair.nii.gz", "..\\sub\\P2_flair.nii.gz", "~/P3_flair.nii.gz"]
    (tmp_path / "lists").mkdir()
    path = dump(tmp_path / "lists/d.json", {"test": [{"image": image} for image in written]})
    cases = by_name(find_cases(path))
    assert list(cases) == ["P1", "P2", "P3"]
    assert cases["P2"].images["flair"].path == tmp_path / "sub/P2_flair.nii.gz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"training": [{"image": "a", "image": "b"}]}', "'image' stands twice"),
        ('{"training": ' + "[" * 100_000 + "]" * 100_000 + "}", "deep"),
        ('{"training": [', "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_no_json_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        find_cases(tmp_path / "d.json")
    assert len(str(error.value)) < 300
