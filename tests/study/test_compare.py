"""``anomap compare``: results of two dates of one person."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pipeline.cli.main import main
from pipeline.errors import InputError
from pipeline.files.images.nifti import write_volume
from pipeline.files.names import ANOMALY_MAP, ANOMALY_MASK, BRAIN_MASK, PSEUDO_HEALTHY
from pipeline.findings.places import load_places
from pipeline.study.follow.compare import compare


def turned(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    way = np.eye(4)
    way[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    way[:3, 3] = [4.0, -6.0, 3.0]
    return way


def result(folder: Path, radii_mm: dict[float, float], *, person: int, way: np.ndarray) -> Path:
    """Balls at heights (mm above the middle) in the left half of one person's brain."""
    t1 = load_places().t1
    brain = t1.brain
    rng = np.random.default_rng(person)
    gyri = ndimage.gaussian_filter(rng.normal(size=brain.shape), 1.0)
    image = np.where(brain, t1.image + 0.8 * gyri / gyri.std() * 0.15 + 0.5, 0).astype(np.float32)
    index = np.argwhere(np.ones(brain.shape, dtype=bool)).reshape(*brain.shape, 3)
    at_mm = index @ t1.affine[:3, :3].T + t1.affine[:3, 3]
    mask = np.zeros(brain.shape, dtype=bool)
    for height, radius in radii_mm.items():
        mask |= np.linalg.norm(at_mm - [-30, -10, height], axis=-1) <= radius
    folder.mkdir(parents=True)
    files = {ANOMALY_MAP: brain * (1.0 + 4 * mask), ANOMALY_MASK: mask & brain}
    files |= {BRAIN_MASK: brain, PSEUDO_HEALTHY: image}
    for name, volume in files.items():
        write_volume(folder / name, volume.astype(np.float32), way @ t1.affine)
    return folder


@pytest.fixture(scope="module")
def january(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dates") / "january"
    return result(folder, {25.0: 10.0, -15.0: 7.0}, person=1, way=turned(4))


def test_growth_is_measured_in_a_head_that_was_turned(january: Path, tmp_path: Path) -> None:
    june = result(tmp_path / "june", {25.0: 14.0, 55.0: 6.0}, person=1, way=turned(13))
    done = compare(january, june, tmp_path / "out").comparison
    assert {change.kind for change in done.changes} == {"grown", "gone", "new"}
    grown = next(change for change in done.changes if change.kind == "grown")
    assert grown.change_share == pytest.approx((14 / 10) ** 3 - 1, rel=0.15)
    assert grown.place is not None
    assert grown.place.startswith("left")
    assert done.registration.rotation_deg == pytest.approx(9, abs=0.5)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "comparison.json",
        "comparison.csv",
        "comparison.png",
    }


def test_another_person_is_refused(january: Path, tmp_path: Path) -> None:
    other = result(tmp_path / "other", {25.0: 10.0}, person=2, way=np.eye(4))
    with pytest.raises(InputError, match="do not look like one brain"):
        compare(january, other, tmp_path / "out")
    assert compare(january, other, tmp_path / "out", any_scans=True).comparison.changes


def test_what_cannot_be_compared_is_said_before(january: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the same result twice"):
        compare(january, january, tmp_path / "out")
    with pytest.raises(InputError, match="no result with a mask"):
        compare(january, tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match=r"a file; give the folder of a result"):
        compare(january, january / ANOMALY_MASK, tmp_path / "out")


def test_the_command_says_it_in_a_line(
    january: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    june = result(tmp_path / "june", {25.0: 12.0, -15.0: 7.0}, person=1, way=turned(4))
    out = tmp_path / "out"
    assert main(["compare", str(january), str(june), "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "1 grown, 1 unchanged" in said
    record = json.loads((out / "comparison.json").read_text())
    assert [change["kind"] for change in record["changes"]] == ["grown", "unchanged"]
