"""Every registered layout on a small fake tree, and the rules that all of them share."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipeline.cases.case import Case, Cohort, ImageFile
from pipeline.cases.find import find_cases
from pipeline.cases.labels import LABEL_SCHEMES, label_regions
from pipeline.cases.layouts.read import LAYOUTS
from pipeline.cases.listing import format_cohort, write_datalist
from pipeline.cases.splits import healthy_for_training, split_cases
from pipeline.errors import InputError


def touch(root: Path, *names: str) -> Path:
    """Empty files: finding reads names only."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def nifti(path: Path, values: object = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros((2, 2, 2), np.int16)
    data.flat[: np.size(values)] = values
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path


def dump(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def by_name(cohort: Cohort) -> dict[str, Case]:
    return {case.name: case for case in cohort.cases}


def reasons(cohort: Cohort) -> dict[str, str]:
    return {path.relative_to(cohort.root).as_posix(): why for path, why in cohort.left_out.items()}


def case_of(name: str, subject: str = "", **changes: object) -> Case:
    image = ImageFile(Path(f"/data/{name}_flair.nii.gz"))
    return replace(Case(name, subject or name, {"flair": image}), **changes)


# --- one tree for each layout: (build, names of the cases, subjects, modalities) ------------------


def msd_tree(root: Path) -> Path:
    touch(root, "imagesTr/BRATS_001.nii.gz", "labelsTr/BRATS_001.nii.gz")
    touch(
        root, "imagesTs/BRATS_485.nii.gz", "imagesTr/BRATS_777.nii.gz", "imagesTr/._BRATS_001.nii"
    )
    entry = {"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}
    dump(
        root / "dataset.json",
        {
            "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
            "labels": {"0": "background", "1": "edema", "2": "non-enhancing", "3": "enhancing"},
            "training": [entry],
            "test": ["./imagesTs/BRATS_485.nii.gz"],
        },
    )
    return root


def datalist_tree(root: Path) -> Path:
    touch(root, "a_flair.nii.gz", "a_seg.nii.gz", "deep/b/t2f.nii.gz")
    return dump(
        root / "list.json",
        {
            "training": [{"image": "deep/b/t2f.nii.gz", "healthy": True}],
            "validation": [
                {"image": {"flair": str(root / "a_flair.nii.gz")}, "label": "a_seg.nii.gz"}
            ],
        },
    )


def bids_tree(root: Path) -> Path:
    return touch(
        root,
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_ce-gd_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "derivatives/x/sub-02/anat/sub-02_desc-brain_mask.nii.gz",
    )


def pictures_tree(root: Path) -> Path:
    return touch(root, "yes/Y1.jpg", "yes/masks/Y1.png", "no/1 no.jpeg", "no/N_slice07.png")


def brats_tree(root: Path) -> Path:
    return touch(
        root,
        "HGG/BraTS18_x/BraTS18_x_flair.nii.gz",
        "HGG/BraTS18_x/BraTS18_x_t1ce.nii.gz",
        "HGG/BraTS18_x/BraTS18_x_seg.nii.gz",
        *(f"new/BraTS-GLI-00001-00{v}/BraTS-GLI-00001-00{v}-t2f.nii.gz" for v in (0, 1)),
        "new/BraTS-GLI-00001-000/BraTS-GLI-00001-000-t1c.nii.gz",
        "new/BraTS-GLI-00001-001/BraTS-GLI-00001-001-t1c.nii.gz",
        "new/BraTS-GLI-00001-001/BraTS-GLI-00001-001-seg.nii.gz",
    )


def flat_tree(root: Path) -> Path:
    return touch(root, "A_FLAIR.nii.gz", "A_dseg.nii.gz", "B_flair.nii", "B_seg.nii.gz")


TREES: dict[str, tuple[Callable[[Path], Path], set[str], set[str], set[str]]] = {
    "msd": (
        *(msd_tree, {"BRATS_001", "BRATS_485"}, {"BRATS_001", "BRATS_485"}),
        {"flair", "t1", "t1ce", "t2"},
    ),
    "datalist": (datalist_tree, {"a", "b"}, {"a", "b"}, {"flair"}),
    "bids": (
        *(bids_tree, {"sub-01_ses-1", "sub-01_ses-2", "sub-02"}, {"sub-01", "sub-02"}),
        {"t1", "t1ce"},
    ),
    "pictures": (pictures_tree, {"Y1", "1 no", "N_slice07"}, {"Y1", "1 no", "N"}, {"image"}),
    "brats": (
        *(brats_tree, {"BraTS18_x", "BraTS-GLI-00001-000", "BraTS-GLI-00001-001"}),
        *({"BraTS18_x", "BraTS-GLI-00001"}, {"flair", "t1ce"}),
    ),
    "flat": (flat_tree, {"A", "B"}, {"A", "B"}, {"flair"}),
}


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_every_registered_layout_is_recognised_and_read(layout: str, tmp_path: Path) -> None:
    build, names, subjects, modalities = TREES[layout]
    cohort = find_cases(build(tmp_path / "data"))
    assert cohort.layout == layout
    assert {case.name for case in cohort.cases} == names
    assert set(cohort.subjects) == subjects
    assert {modality for case in cohort.cases for modality in case.images} == modalities


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_every_image_file_is_used_or_left_out_with_a_reason(layout: str, tmp_path: Path) -> None:
    cohort = find_cases(TREES[layout][0](tmp_path / "data"))
    used = {file.path for case in cohort.cases for file in case.files}
    there = {p for p in (tmp_path / "data").rglob("*.*") if p.is_file() and p.suffix != ".json"}
    there = {path for path in there if not path.name.startswith(".")}
    assert used | set(cohort.left_out) == there
    assert not used & set(cohort.left_out)
    assert all(cohort.left_out.values())


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_a_written_datalist_reads_back_as_equal_cases(layout: str, tmp_path: Path) -> None:
    cohort = find_cases(TREES[layout][0](tmp_path / "data"))
    half = len(cohort.cases) // 2
    sections = {"training": cohort.cases[:half], "validation": cohort.cases[half:]}
    for where in (tmp_path / "data" / "all.json", tmp_path / "elsewhere" / "all.json"):
        write_datalist(where, sections)
        assert find_cases(where).cases == cohort.cases
        assert find_cases(where, section="validation").cases == tuple(sections["validation"])
        where.unlink()


# --- BraTS, MSD, BIDS ---------------------------------------------------------------------------


def test_brats_years_tell_the_label_code_and_visits_share_a_subject(tmp_path: Path) -> None:
    cases = by_name(find_cases(brats_tree(tmp_path)))
    assert cases["BraTS18_x"].label_scheme == "brats2018"
    assert cases["BraTS-GLI-00001-001"].label_scheme == "brats2023"
    assert cases["BraTS-GLI-00001-001"].label is not None
    assert {cases[f"BraTS-GLI-00001-00{v}"].subject for v in (0, 1)} == {"BraTS-GLI-00001"}
    assert cases["BraTS18_x"].healthy is False


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


def test_msd_channels_are_named_by_dataset_json(tmp_path: Path) -> None:
    cohort = find_cases(msd_tree(tmp_path), modalities=["t2", "T1Gd"])
    case = by_name(cohort)["BRATS_001"]
    image = tmp_path / "imagesTr/BRATS_001.nii.gz"
    assert dict(case.images) == {"t2": ImageFile(image, 3), "t1ce": ImageFile(image, 2)}
    assert case.label == ImageFile(tmp_path / "labelsTr/BRATS_001.nii.gz")
    assert (case.label_scheme, case.healthy) == ("msd", False)
    assert by_name(cohort)["BRATS_485"].healthy is None
    assert reasons(cohort) == {"imagesTr/BRATS_777.nii.gz": "not named in dataset.json"}


def test_msd_sections_and_its_json_file_itself_work(tmp_path: Path) -> None:
    msd_tree(tmp_path)
    for path in (tmp_path, tmp_path / "dataset.json"):
        (case,) = find_cases(path, section="test").cases
        assert case.name == "BRATS_485"


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        ({"0": "background", "1": "lesion"}, "binary"),
        (None, "msd"),
        ({"0": "", "1": "a", "2": "b"}, "auto"),
        ({"0": "", "1": "necrosis", "2": "edema", "4": "enhancing"}, "brats2018"),
    ],
)
def test_dataset_json_tells_the_label_code(labels: object, scheme: str, tmp_path: Path) -> None:
    path = msd_tree(tmp_path) / "dataset.json"
    dump(path, {**json.loads(path.read_text()), "labels": labels})
    assert {case.label_scheme for case in find_cases(tmp_path).cases} == {scheme}


def test_an_msd_case_without_its_label_file_is_left_out(tmp_path: Path) -> None:
    (msd_tree(tmp_path) / "labelsTr/BRATS_001.nii.gz").unlink()
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["BRATS_485"]
    assert reasons(cohort)["imagesTr/BRATS_001.nii.gz"].startswith("label of the case: no such")


def test_bids_masks_find_their_image_and_only_in_its_own_space(tmp_path: Path) -> None:
    touch(bids_tree(tmp_path), "dataset_description.json")
    deep = "derivatives/y/sub-02/anat/sub-02"
    touch(tmp_path, f"{deep}_label-lesion_mask.nii.gz", f"{deep}_desc-wmh_mask.nii.gz")
    touch(tmp_path, f"{deep}_dseg.nii.gz", f"{deep}_space-MNI152_desc-brain_mask.nii.gz")
    touch(tmp_path, f"{deep}_desc-preproc_T1w.nii.gz", f"{deep}_task-rest_bold.nii.gz")
    touch(tmp_path, "sub-02/anat/sub-02_run-2_T1w.nii.gz", f"{deep}_mask.nii.gz")
    cohort = find_cases(tmp_path)
    case = by_name(cohort)["sub-02"]
    assert case.images["t1"].path.name == "sub-02_T1w.nii.gz"
    assert case.label is not None
    assert case.label.path.name == "sub-02_label-lesion_mask.nii.gz"
    assert case.brain_mask is not None
    assert case.brain_mask.path.name == "sub-02_desc-brain_mask.nii.gz"
    assert case.exclude is not None
    assert case.exclude.path.name == "sub-02_desc-wmh_mask.nii.gz"
    left = {Path(name).name.removeprefix("sub-02"): why for name, why in reasons(cohort).items()}
    assert left["_dseg.nii.gz"].startswith("duplicate brain mask")
    assert left["_space-MNI152_desc-brain_mask.nii.gz"] == "no image beside this brain mask"
    assert "under derivatives/" in left["_desc-preproc_T1w.nii.gz"]
    assert left["_task-rest_bold.nii.gz"].startswith("unknown suffix")
    assert left["_run-2_T1w.nii.gz"] == "duplicate t1: sub-02_T1w.nii.gz is used"
    assert left["_mask.nii.gz"].startswith("a mask of what?")


def test_a_contrast_enhanced_t1_is_t1ce(tmp_path: Path) -> None:
    case = by_name(find_cases(bids_tree(tmp_path)))["sub-01_ses-1"]
    assert case.images["t1ce"].path.name == "sub-01_ses-1_ce-gd_T1w.nii.gz"
    assert case.images["t1"].path.name == "sub-01_ses-1_T1w.nii.gz"


# --- flat folders, single files, pictures -------------------------------------------------------


def test_masks_of_a_flat_folder_get_their_roles(tmp_path: Path) -> None:
    names = (
        "S_FLAIR",
        "S_desc-wmh_mask",
        "S_T1space_dseg",
        "S_lesion",
        "R_T1w",
        "R_T1w_brain_mask",
    )
    cases = by_name(find_cases(touch(tmp_path, *(f"{name}.nii.gz" for name in names))))
    assert cases["S"].exclude == ImageFile(tmp_path / "S_desc-wmh_mask.nii.gz")
    assert cases["S"].brain_mask == ImageFile(tmp_path / "S_T1space_dseg.nii.gz")
    assert cases["S"].label == ImageFile(tmp_path / "S_lesion.nii.gz")
    assert cases["R"].brain_mask == ImageFile(tmp_path / "R_T1w_brain_mask.nii.gz")


def test_a_skull_stripped_image_without_its_original_is_the_image(tmp_path: Path) -> None:
    touch(tmp_path, "x_T1_brain.nii.gz", "y_T1.nii.gz", "y_T1_brain.nii.gz")
    cases = by_name(find_cases(tmp_path))
    assert cases["x"].images["t1"].path.name == "x_T1_brain.nii.gz"
    assert cases["x"].brain_mask is None
    assert cases["y"].images["t1"].path.name == "y_T1.nii.gz"
    assert cases["y"].brain_mask is not None


def test_modality_folders_hold_parts_of_one_case(tmp_path: Path) -> None:
    touch(tmp_path, "IXI-T1/IXI002-Guys-0828-T1.nii.gz", "IXI-T2/IXI002-Guys-0828-T2.nii.gz")
    touch(tmp_path, "labels/IXI002-Guys-0828.nii.gz")
    (case,) = find_cases(tmp_path).cases
    assert (case.name, sorted(case.images)) == ("IXI002-Guys-0828", ["t1", "t2"])
    assert case.label is not None


def test_a_volume_in_a_mask_folder_must_say_what_it_masks(tmp_path: Path) -> None:
    touch(tmp_path, "a_t1.nii.gz", "masks/a.nii.gz", "masks/a_seg.nii.gz")
    cohort = find_cases(tmp_path)
    assert cohort.cases[0].label == ImageFile(tmp_path / "masks/a_seg.nii.gz")
    assert reasons(cohort)["masks/a.nii.gz"].startswith("a mask of what?")


def test_a_single_case_folder_and_bare_file_names_are_named_by_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "P1/flair.nii.gz", "P1/seg.nii.gz", "P2/flair.nii.gz")
    assert [case.name for case in find_cases(tmp_path).cases] == ["P1", "P2"]
    (case,) = find_cases(tmp_path / "P1").cases
    assert (case.name, case.label) == ("P1", ImageFile(tmp_path / "P1/seg.nii.gz"))


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


def test_names_without_modality_are_taken_only_as_the_one_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "one.nii.gz", "two.nii.gz", "two_seg.nii.gz")
    cohort = find_cases(tmp_path, modalities=["FLAIR"])
    assert [(case.name, list(case.images)) for case in cohort.cases] == [
        ("one", ["flair"]),
        ("two", ["flair"]),
    ]
    assert by_name(cohort)["two"].label is not None
    assert "2 images whose name says no modality are taken as flair" in cohort.notes
    for asked in (None, ["flair", "t1"]):
        with pytest.raises(InputError, match=r"no modality in names like one\.nii.*--modality"):
            find_cases(tmp_path, modalities=asked)


def test_pictures_have_masks_by_suffix_or_sibling_folder(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "masks/a.png", "b.jpg", "b_mask.png", "c.png", "c_seg.png")
    cohort = find_cases(tmp_path, modalities=["flair"])
    labels = {case.name: case.label.path for case in cohort.cases if case.label}
    assert labels == {
        "a": tmp_path / "masks/a.png",
        "b": tmp_path / "b_mask.png",
        "c": tmp_path / "c_seg.png",
    }
    assert all(case.label_scheme == "binary" and case.images["flair"] for case in cohort.cases)


def test_kaggle_yes_and_no_folders_say_what_is_healthy(tmp_path: Path) -> None:
    cases = by_name(find_cases(pictures_tree(tmp_path)))
    assert {name: case.healthy for name, case in cases.items()} == {
        "Y1": False,
        "1 no": True,
        "N_slice07": True,
    }
    assert find_cases(tmp_path / "no").cases[0].healthy is True


# --- datalists ----------------------------------------------------------------------------------


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


def test_the_round_trip_keeps_every_field(tmp_path: Path) -> None:
    touch(tmp_path, "in/i.nii.gz", "in/l.nii.gz", "m.nii.gz")
    inside, label = ImageFile(tmp_path / "in/i.nii.gz", 2), ImageFile(tmp_path / "in/l.nii.gz")
    outside = ImageFile(tmp_path / "m.nii.gz")
    cases = [
        Case(f"n{i}", f"s{i % 2}", {"flair": inside, "asl": outside}, *masks, healthy, scheme)
        for i, (healthy, scheme, masks) in enumerate(
            itertools.product(
                (True, False, None), ("auto", "msd"), ((label, outside, inside), (None,) * 3)
            )
        )
    ]
    write_datalist(tmp_path / "in" / "list.json", {"training": cases})
    assert find_cases(tmp_path / "in" / "list.json").cases == tuple(
        sorted(cases, key=lambda c: c.name)
    )
    text = (tmp_path / "in" / "list.json").read_text()
    assert '"path": "i.nii.gz"' in text
    assert str(tmp_path / "m.nii.gz") in text
    with pytest.raises(InputError, match="'n0' occurs twice"):
        write_datalist(tmp_path / "x.json", {"a": cases, "b": cases[:1]})


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
    example = Path(__file__).parents[2] / "data" / "datalist.example.json"
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


def test_an_unknown_section_names_the_ones_there_are(tmp_path: Path) -> None:
    path = datalist_tree(tmp_path)
    with pytest.raises(InputError, match="no section 'tset'; the sections are: training, valid"):
        find_cases(path, section="tset")
    with pytest.raises(InputError, match="only a datalist has sections"):
        find_cases(flat_tree(tmp_path / "flat"), section="training")


# --- what is left out, names, links -------------------------------------------------------------


def test_what_is_left_out_has_its_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a_flair.nii.gz", "a_flair.nii", "a_t2.nii.gz", "a_bias.nii.gz", "b_seg.nii.gz")
    touch(tmp_path, "c_t2.nii.gz", "c_flair.nii.gz", "d.dcm", "e.mgz", "f.img", "f.hdr", "g.nrrd")
    touch(tmp_path, "h.png", "._a_flair.nii.gz", ".cache/i_flair.nii.gz", "notes.txt")
    touch(tmp_path, "c_t1.nii.gz")
    cohort = find_cases(tmp_path, modalities=["flair", "t1"])
    assert [case.name for case in cohort.cases] == ["c"]
    left = reasons(cohort)
    assert left.pop("a_flair.nii.gz") == "duplicate flair: a_flair.nii is used"
    assert left.pop("a_flair.nii") == left.pop("a_t2.nii.gz") == "has flair, t2; t1 is missing"
    assert left.pop("a_bias.nii.gz").startswith("unknown suffix: expected flair")
    assert left.pop("b_seg.nii.gz") == "no image beside this label"
    assert left.pop("c_t2.nii.gz") == "wrong modality: t2 is not asked for"
    assert "dcm2niix" in left.pop("d.dcm")
    assert "mri_convert" in left.pop("e.mgz")
    assert left.pop("f.img") == left.pop("f.hdr")
    assert "NRRD" in left.pop("g.nrrd")
    assert left.pop("h.png").startswith("a picture in a folder of NIfTI")
    assert not left


def test_one_name_in_two_folders_becomes_two_names(tmp_path: Path) -> None:
    touch(tmp_path, "healthy/c1/c1_t1.nii.gz", "tumour/c1/c1_t1.nii.gz", "tumour/c2/c2_t1.nii.gz")
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["c2", "healthy_c1", "tumour_c1"]
    assert "2 cases share a name" in cohort.notes[0]
    touch(tmp_path, "a/b_x_t1.nii", "a_b/x_t1.nii", "b_x_t1.nii", "x_t1.nii")
    with pytest.raises(InputError, match="two cases are named 'a_b_x'"):
        find_cases(tmp_path)


def test_loops_of_links_end_and_dead_links_are_reported(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a_t1.nii.gz")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "sub" / "b_t1.nii.gz").symlink_to(tmp_path / "gone")
    cohort = find_cases(tmp_path)
    assert [case.name for case in cohort.cases] == ["a"]
    assert reasons(cohort) == {"sub/b_t1.nii.gz": "no such file, or a dead link"}


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "real", "a_t1.nii.gz")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "healthy").symlink_to(tmp_path / "real")
    (case,) = find_cases(tmp_path / "data").cases
    assert (case.name, case.healthy) == ("a", True)


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


# --- healthy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "flag", "label", "expected"),
    [
        ("healthy", None, False, True),
        ("study/Controls/site", None, False, True),
        ("tumour", None, False, False),
        ("tumour", True, False, False),
        ("patients/normal", None, False, True),
        ("other", None, False, None),
        ("other", None, True, False),
        ("other", True, True, True),
        ("other", True, False, True),
        ("healthy", False, False, False),
        ("healthy", None, True, True),
    ],
)
def test_who_says_that_a_case_is_healthy(
    folder: str, flag: bool | None, label: bool, expected: bool | None, tmp_path: Path
) -> None:
    touch(tmp_path, f"{folder}/a_t1.nii.gz", *([f"{folder}/a_seg.nii.gz"] if label else []))
    (case,) = find_cases(tmp_path, healthy=flag).cases
    assert case.healthy is expected


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
    with pytest.raises(InputError, match=r"none of 5 cases.*--healthy.*healthy/.*datalist"):
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


# --- label values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "values", "whole", "core", "enhancing"),
    [
        ("brats2018", [0, 1, 2, 4], [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]),
        ("brats2023", [0, 1, 2, 3, 4], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 0]),
        ("msd", [0, 1, 2, 3], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]),
        ("auto", [0, 1, 2, 4], [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]),
        ("auto", [0, 1, 2, 3], [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]),
        ("auto", [0, 1, 3, 4], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]),
        ("auto", [0, 1, 2], [0, 1, 1], None, None),
        ("auto", [0, 255], [0, 1], None, None),
        ("auto", [0, 0], [0, 0], None, None),
        ("binary", [0, 1], [0, 1], None, None),
        ("binary", [0, 255], [0, 1], None, None),
    ],
)
def test_label_values_mean_regions(
    scheme: str, values: list[int], whole: list[int], core: object, enhancing: object
) -> None:
    regions = label_regions(np.array(values, np.int16), scheme, Path("x_seg.nii.gz"))
    expected = {"whole_tumour": whole, "tumour_core": core, "enhancing": enhancing}
    got = {name: mask.astype(int).tolist() for name, mask in regions.items()}
    assert got == {name: mask for name, mask in expected.items() if mask is not None}
    assert all(mask.dtype == bool for mask in regions.values())


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 3, 127, 128, 255], [0, 0, 0, 1, 1]), ([0, 1], [0, 1]), ([0, 0], [0, 0])],
)
@pytest.mark.parametrize("scheme", ["binary", "auto"])
def test_a_picture_mask_is_lesion_above_127(
    values: list[int], expected: list[int], scheme: str
) -> None:
    regions = label_regions(np.array(values), scheme, Path("x_mask.jpg"))
    assert {name: m.astype(int).tolist() for name, m in regions.items()} == {
        "whole_tumour": expected
    }


@pytest.mark.parametrize(
    ("scheme", "values", "source"),
    [
        *(("brats2018", [3], "a.nii"), ("msd", [4], "a.nii"), ("binary", [2], "a.nii")),
        *(("auto", [5], "a.nii"), ("auto", [-1], "a.nii"), ("brats2023", [7, 0], "a.nii")),
        *(("binary", [0, 100], "a.png"), ("nonsense", [1], "a.nii")),
    ],
)
def test_a_value_nobody_knows_is_an_error(scheme: str, values: list[int], source: str) -> None:
    with pytest.raises(InputError, match=f"^{source}: "):
        label_regions(np.array(values), scheme, Path(source))


def test_the_message_names_found_known_and_remedy() -> None:
    with pytest.raises(InputError) as error:
        label_regions(np.array([0, 1, 3]), "brats2018", Path("s.nii"))
    assert "[0, 1, 2, 4]" in str(error.value)
    assert "found [0, 1, 3]" in str(error.value)
    assert "--label-scheme" in str(error.value)


def test_the_given_label_scheme_overrides_names_and_must_exist(tmp_path: Path) -> None:
    brats_tree(tmp_path)
    cohort = find_cases(tmp_path, label_scheme="msd")
    assert {case.label_scheme for case in cohort.cases} == {"msd"}
    with pytest.raises(InputError, match="unknown label scheme 'brats'; the schemes are auto, br"):
        find_cases(tmp_path, label_scheme="brats")


def test_a_written_picture_mask_reads_as_lesion(tmp_path: Path) -> None:
    from pipeline.files.nifti import read_labels

    picture = np.zeros((4, 6), np.uint8)
    picture[1, 2:5] = 255
    for name in ("a.png", "a_mask.png"):
        Image.fromarray(picture).save(tmp_path / name)
    (case,) = find_cases(tmp_path, modalities=["t1"]).cases
    assert case.label is not None
    label = read_labels(case.label.path)
    regions = label_regions(label.data, case.label_scheme, label.path)
    assert regions["whole_tumour"].sum() == 3


def test_every_scheme_nests_its_regions() -> None:
    for scheme in LABEL_SCHEMES.values():
        regions = [set(values) for values in scheme.regions.values()]
        assert all(small <= large for large, small in itertools.pairwise(regions))


# --- splits -------------------------------------------------------------------------------------

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


# --- text, real folders -------------------------------------------------------------------------


def test_the_text_counts_what_is_there_and_groups_what_is_not(tmp_path: Path) -> None:
    flat_tree(tmp_path)
    touch(tmp_path, *(f"d{i}.dcm" for i in range(5)), "B_flair.nii.gz", "A_flair.nii")
    text = format_cohort(find_cases(tmp_path, healthy=True))
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert {"layout flat", "cases 2 of 2 subjects", "healthy 2 yes, 0 no, 0 not said"} <= lines
    assert {"labels 1 (auto 1)", "masks 1 brain, 0 exclude", "flair 2 2 1"} <= lines
    assert "left out: 7 files" in lines
    dicom = "5 DICOM: convert the series with dcm2niix (d0.dcm, d1.dcm, d2.dcm, ...)"
    assert dicom in lines
    assert any(line.startswith("2 duplicate flair (") for line in lines)


@pytest.mark.shared
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
