"""A case's files on one grid, its brain mask, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prepared import MakeBrain, case_of, prepare, write

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loading import check_same_grid, read_label
from pipeline.errors import InputError
from pipeline.files.images.volume import Volume

# --- refusals -------------------------------------------------------------------------------------


def refusal(case: Case, modalities: tuple[str, ...] = ("t1",)) -> str:
    with pytest.raises(InputError) as caught:
        prepare(case, modalities=modalities)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_modality_is_named(make_brain: MakeBrain) -> None:
    message = refusal(case_of(make_brain()), ("t1", "flair"))
    assert "case: has t1; flair is missing" in message


@pytest.mark.parametrize("change", ["shape", "affine"])
def test_modalities_on_different_grids_are_refused(change: str, make_brain: MakeBrain) -> None:
    a = make_brain(name="a_t1.nii.gz")
    data, affine = a.data, a.affine.copy()
    if change == "shape":
        data = data[:, :, :-1]
    else:
        affine[0, 3] += 1.0
    t2 = write(a.path.with_name("a_t2.nii.gz"), data, affine)
    case = Case("a", "a", {"t1": ImageFile(a.path), "t2": t2})
    message = refusal(case, ("t1", "t2"))
    assert str(a.path) in message
    assert str(t2.path) in message


def test_a_mask_elsewhere_in_the_world_is_refused(make_brain: MakeBrain, tmp_path: Path) -> None:
    brain = make_brain()
    affine = brain.affine.copy()
    affine[:3, 3] += 500
    mask = write(tmp_path / "mask.nii.gz", brain.inside.astype(np.uint8), affine)
    message = refusal(case_of(brain, brain_mask=mask))
    assert "does not overlap" in message
    assert str(mask.path) in message
    assert str(brain.path) in message


def test_labels_must_exist_and_share_the_image_s_grid(
    make_brain: MakeBrain, tmp_path: Path
) -> None:
    brain = make_brain()
    like = Volume(brain.data, brain.affine, brain.path)
    with pytest.raises(InputError, match="no lesion label"):
        read_label(case_of(brain))
    label = write(tmp_path / "seg.nii.gz", np.ones((4, 4, 4), np.uint8), brain.affine)
    assert read_label(case_of(brain, label=label)).data.sum() == 64
    with pytest.raises(InputError, match=r"seg\.nii\.gz.*differs"):
        read_label(case_of(brain, label=label), like)


@pytest.mark.parametrize("change", ["none", "shape", "affine", "unreadable"])
def test_headers_alone_tell_whether_a_label_lies_on_its_image(change: str, tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    image = write(tmp_path / "t1.nii.gz", np.zeros((4, 5, 6), np.float32), affine)
    affine[0, 3] += change == "affine"
    shape = (4, 5, 6 + (change == "shape"))
    label = write(tmp_path / "seg.nii.gz", np.zeros(shape, np.uint8), affine)
    if change == "unreadable":
        label.path.write_text("no image")
    if change in ("none", "unreadable"):  # reading says what is wrong with it
        check_same_grid(label, image)
        return
    with pytest.raises(InputError, match=r"seg\.nii\.gz: the label's grid \(4, 5, \d\) differs"):
        check_same_grid(label, image)


def test_a_flat_label_lies_on_an_image_of_one_slice(tmp_path: Path) -> None:
    image = write(tmp_path / "t1.nii.gz", np.zeros((4, 5, 1), np.float32), np.eye(4))
    check_same_grid(write(tmp_path / "seg.nii.gz", np.zeros((4, 5), np.uint8), np.eye(4)), image)
