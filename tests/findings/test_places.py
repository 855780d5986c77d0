"""The atlas that comes with anomap, and where parts of a mask lie in it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from pipeline.cli.main import main
from pipeline.files.images.nifti import write_volume
from pipeline.files.record.result import CaseResult
from pipeline.findings.describe import UNPLACED, Called, describe
from pipeline.findings.places import PLACE_NAMES, load_places, whereabouts
from pipeline.findings.placing import place_in_mni


@pytest.mark.parametrize(
    ("point_mm", "place"),
    [
        ((-35.0, 45.0, 15.0), "left frontal lobe"),
        ((35.0, 45.0, 15.0), "right frontal lobe"),
        ((-55.0, -10.0, -20.0), "left temporal lobe"),
        ((12.0, -85.0, 5.0), "right occipital lobe"),
        ((-30.0, -60.0, -40.0), "left cerebellum"),
        ((10.0, -18.0, 8.0), "right thalamus"),
        ((0.0, -28.0, -35.0), "brainstem"),
    ],
)
def test_well_known_points_lie_where_textbooks_have_them(
    point_mm: tuple[float, float, float], place: str
) -> None:
    ball = np.array(list(np.ndindex(5, 5, 5))) - 2.0 + point_mm
    assert whereabouts(ball, load_places()).place == place


def test_what_lies_away_from_the_brain_has_no_place() -> None:
    far = np.full((4, 3), 300.0)
    assert whereabouts(far, load_places()).place is None


def test_the_atlas_holds_every_structure() -> None:
    found = set(np.unique(load_places().values)) - {0}
    assert found == set(range(1, len(PLACE_NAMES) + 1))


def moved_brain() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean brain of the atlas, turned and shifted, 3 mm; and the way there in the world."""
    t1 = load_places().t1
    angle = np.radians(10)
    way = np.eye(4)
    way[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    way[:3, 3] = [6.0, -9.0, 12.0]
    return t1.image, way @ t1.affine, way


def test_a_brain_that_was_moved_is_placed_where_it_was() -> None:
    image, affine, way = moved_brain()
    placed = place_in_mni(image, image > 0, affine, load_places())
    assert placed is not None
    points = np.array([[30.0, 20, 10, 1], [-40, -30, 20, 1], [0, 50, -10, 1]])
    back = points @ (np.array(placed.affine) @ way).T
    assert np.linalg.norm(back[:, :3] - points[:, :3], axis=1).max() < 2.0
    assert placed.overlap > 0.9


def test_a_slab_is_placed_nowhere() -> None:
    image, affine, _ = moved_brain()
    slab = np.zeros_like(image)
    middle = image.shape[2] // 2
    slab[:, :, middle - 3 : middle + 3] = image[:, :, middle - 3 : middle + 3]
    assert place_in_mni(slab, slab > 0, affine, load_places()) is None


def test_the_command_leaves_numbers_and_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, affine, way = moved_brain()
    case = tmp_path / "out" / "case"
    case.mkdir(parents=True)
    index = np.linalg.solve(affine, way @ [-35.0, 40.0, 15.0, 1])[:3]
    grid = np.stack(np.indices(image.shape), -1)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    mask = (((grid - index) * edges) ** 2).sum(-1) < 12.0**2
    anomaly = np.where(image > 0, 0.5, 0).astype(np.float32) + 2 * mask * (image > 0)
    write_volume(case / "mask.nii.gz", mask & (image > 0), affine)
    write_volume(case / "anomaly.nii.gz", anomaly.astype(np.float32), affine)
    write_volume(case / "brain_mask.nii.gz", image > 0, affine)
    write_volume(case / "pseudo_healthy.nii.gz", image.astype(np.float32), affine)
    assert main(["findings", str(tmp_path / "out")]) == 0
    assert "left frontal lobe" in capsys.readouterr().out
    record = json.loads((case / "findings.json").read_text())
    (finding,) = record["findings"]
    volume_ml = float((mask & (image > 0)).sum() * np.prod(edges) / 1000)
    assert finding["volume_ml"] == pytest.approx(volume_ml, rel=1e-3)
    assert finding["hemisphere"] == "left"
    assert finding["peak"] == pytest.approx(2.5)
    assert 20 < finding["diameter_mm"] < 32
    assert "left frontal lobe" in (case / "findings.csv").read_text()
    parts, n_parts = ndimage.label(np.asarray(nib.load(case / "mask.nii.gz").dataobj))
    assert n_parts == 1
    assert parts.any()


def test_an_empty_mask_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, affine, _ = moved_brain()
    case = tmp_path / "out" / "case"
    case.mkdir(parents=True)
    write_volume(case / "mask.nii.gz", np.zeros(image.shape, bool), affine)
    write_volume(case / "anomaly.nii.gz", image.astype(np.float32), affine)
    assert main(["findings", str(tmp_path / "out")]) == 0
    assert "nothing above the threshold" in capsys.readouterr().out
    assert json.loads((case / "findings.json").read_text())["findings"] == []


def test_a_folder_without_masks_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    assert main(["findings", str(tmp_path / "out")]) == 2
    assert "no mask in it" in capsys.readouterr().err


def test_a_picture_has_no_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = tmp_path / "out/p1"
    case.mkdir(parents=True)
    for name in ("anomaly.nii.gz", "mask.nii.gz"):
        write_volume(case / name, np.ones((8, 8, 1), np.float32), np.eye(4))
    CaseResult(case="p1", brain_pixels=64, anomalous_pixels=64).write(case / "result.json")
    assert main(["findings", str(tmp_path / "out")]) == 1
    assert "of a picture, which has no millilitres" in capsys.readouterr().err
    assert not (case / "findings.json").exists()


def test_a_brain_that_cannot_be_placed_keeps_its_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no registration today")

    monkeypatch.setattr("pipeline.findings.describe.place_in_mni", fail)
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[5:10, 5:10, 5:10] = True
    called = Called(mask, mask * 2.0, np.ones_like(mask), np.diag([2.0, 2.0, 2.0, 1.0]))
    found = describe(called)
    assert found.total_ml == 1.0
    assert found.findings[0].place is None
    assert found.notes == (UNPLACED,)
