"""Scans that weights were not made for are refused, with a reason."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from pipeline.cases.grid import Grid
from pipeline.cli.main import main
from pipeline.detection.fitness import agreement, check_brain, check_contrast
from pipeline.errors import InputError
from pipeline.files.images.nifti import write_volume
from pipeline.maps.atlas import Atlas, AtlasBuilder

GRID = Grid(64, 3.25, 3.25)


def scan(*, flip: tuple[int, ...] = (), swap: bool = False, scale: float = 1.0) -> Any:
    """An egg that narrows towards the front, with a dark middle: enough of a prepared case."""
    index = np.stack(np.meshgrid(np.arange(44), *[np.arange(64)] * 2, indexing="ij"), -1)
    at = (index - np.array([21.5, 31.5, 31.5])) * 3.25 / scale
    width = 65 - 0.25 * at[..., 1]
    low = at[..., 0] - 0.1 * at[..., 1]
    brain = (low / 60) ** 2 + (at[..., 1] / 85) ** 2 + (at[..., 2] / width) ** 2 < 1
    ventricle = (np.abs(at[..., 2]) < 15) & (np.abs(at[..., 1] - 20) < 25) & (at[..., 0] > 0)
    image = np.where(brain, np.where(ventricle, -0.7, 0.3 + at[..., 0] / 300), -1.0)
    for axis in flip:
        image, brain = np.flip(image, axis), np.flip(brain, axis)
    if swap:
        image, brain = image.swapaxes(1, 2), brain.swapaxes(1, 2)
    return SimpleNamespace(
        case=SimpleNamespace(name="egg"),
        slices=torch.from_numpy(image.copy()).float()[:, None],
        brain=torch.from_numpy(brain.copy())[:, None],
        grid=GRID,
    )


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    builder = AtlasBuilder()
    egg = scan()
    inside = egg.brain[:, 0].numpy()
    builder.add(egg.slices.numpy(), inside, inside)
    return builder.build(sigma_mm=1.0, min_spread=0.08)


def test_a_brain_as_its_header_says_is_taken() -> None:
    check_brain(scan())
    check_brain(scan(flip=(2,)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"flip": (1,)}, "back to front"),
        ({"flip": (0,)}, "upside down"),
        ({"flip": (0, 1)}, "back to front"),
        ({"swap": True}, "wider than long"),
        ({"scale": 0.4}, "mL"),
    ],
)
def test_another_brain_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        check_brain(scan(**change))
    assert "case egg" in str(error.value)


@pytest.mark.parametrize("kept", [slice(0, 22), slice(22, 44), slice(17, 27)])
def test_halves_and_slabs_are_refused_alike(kept: slice) -> None:
    part = scan()
    outside = np.ones(44, bool)
    outside[kept] = False
    part.brain[outside] = False
    with pytest.raises(InputError, match="only a part of the brain is there"):
        check_brain(part)


def test_a_brain_without_its_lowest_slices_is_taken() -> None:
    part = scan()
    part.brain[:12] = False
    check_brain(part)


def test_agreement_is_a_correlation_that_tells_up_from_down(atlas: Atlas) -> None:
    assert agreement(scan(), atlas) > 0.95
    assert agreement(scan(flip=(0,)), atlas) < 0.5
    inverted = scan()
    inverted.slices = -inverted.slices
    assert agreement(inverted, atlas) < -0.9


def test_contrast_and_modality_must_fit(atlas: Atlas) -> None:
    other = scan()
    other.slices = torch.where(other.slices > 0, -0.5, 0.5)
    check_contrast(scan(), "t1", atlas)
    check_contrast(other, "flair", atlas)
    with pytest.raises(InputError, match="does not look like T1w"):
        check_contrast(other, "t1", atlas)
    with pytest.raises(InputError, match="given as flair, but it looks like T1w"):
        check_contrast(scan(), "flair", atlas)


@pytest.mark.slow
def test_detect_needs_no_model_and_refuses_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--healthy", "0", "--tumour", "1", "--spacing", "2", "--quiet"]
    main(["phantom", str(tmp_path / "p"), "--modality", "flair", "--contrast", "bright", *options])
    (source,) = (tmp_path / "p").glob("tumour/*/*_flair.nii.gz")
    image = nib.load(source)
    data = np.asarray(image.dataobj, dtype=np.float32)
    (tmp_path / "in").mkdir()
    write_volume(tmp_path / "in" / "good_flair.nii.gz", data, image.affine)
    write_volume(tmp_path / "in" / "turned_flair.nii.gz", data[:, ::-1], image.affine)
    write_volume(tmp_path / "in" / "fallen_flair.nii.gz", data[:, :, ::-1], image.affine)
    write_volume(tmp_path / "in" / "empty_flair.nii.gz", np.zeros_like(data), image.affine)
    out = tmp_path / "out"
    assert main(["detect", str(tmp_path / "in"), "-o", str(out), "--quiet"]) == 1
    errors = capsys.readouterr().err
    assert "turned failed: case turned: its brain is broader in front" in errors
    assert "fallen failed: case fallen: its brain is lower in front" in errors
    assert "--any-scan detects all the same" in errors
    assert "empty failed" in errors
    assert {path.parent.name for path in out.glob("*/result.json")} == {"good"}
    mask = np.asarray(nib.load(out / "good" / "mask.nii.gz").dataobj) > 0
    lesion = np.asarray(nib.load(next(source.parent.glob("*_seg.nii.gz"))).dataobj) > 0
    assert 2 * (mask & lesion).sum() / (mask.sum() + lesion.sum()) > 0.3
    forced = ["detect", str(tmp_path / "in" / "turned_flair.nii.gz"), "--any-scan", "--quiet"]
    assert main([*forced, "-o", str(tmp_path / "forced")]) == 0


def test_cases_without_a_common_modality_are_not_guessed_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a_flair", "b_t1"):
        write_volume(tmp_path / f"{name}.nii.gz", np.ones((8, 8, 8), np.float32), np.eye(4))
    assert main(["detect", str(tmp_path), "-o", str(tmp_path / "out"), "--quiet"]) == 2
    assert "no modality in common" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
