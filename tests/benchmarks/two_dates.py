"""How well two dates of one person are registered, and other people told apart.

    python tests/benchmarks/two_dates.py SCAN ...

Each skull-stripped scan is turned by up to 12 degrees and shifted by up to 12 mm (seed 0), put on
another grid, its brightness bent and noise added; it must come back to itself, and no scan may be
taken for the next one. Prints errors in millimetres, seconds, and agreement with self and others.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[2]))
from pipeline.cases.brain.find import foreground
from pipeline.files.images.reading import read_volume
from pipeline.files.record.findings import Findings
from pipeline.findings.changes import DatedScan, looks_like_one_brain, register
from pipeline.findings.describe import Called

TURN_DEG, SHIFT_MM, SPACING_MM = 12.0, 12.0, 1.3


def dated(image: np.ndarray, brain: np.ndarray, affine: np.ndarray) -> DatedScan:
    called = Called(np.zeros_like(brain), np.zeros(brain.shape, np.float32), brain, affine, image)
    return DatedScan(called, Findings(case="x"), "scan")


def moved(scan: DatedScan, rng: np.random.Generator) -> tuple[DatedScan, np.ndarray]:
    """The scan of another date, and the way that brings it back, ``(4, 4)``."""
    called = scan.called
    middle = called.affine[:3, :3] @ (np.argwhere(called.brain).mean(0)) + called.affine[:3, 3]
    way = np.eye(4)
    way[:3, :3] = Rotation.from_rotvec(
        np.radians(TURN_DEG) * rng.uniform(-1, 1, 3) / np.sqrt(3)
    ).as_matrix()
    way[:3, 3] = middle - way[:3, :3] @ middle + rng.uniform(-SHIFT_MM, SHIFT_MM, 3)
    shape = (190, 190, 170)
    grid = np.diag([SPACING_MM] * 3 + [1.0])
    grid[:3, 3] = way[:3, :3] @ middle + way[:3, 3] - SPACING_MM * (np.array(shape) - 1) / 2
    index = np.linalg.inv(called.affine) @ np.linalg.inv(way) @ grid

    def there(volume: np.ndarray) -> np.ndarray:
        return ndimage.affine_transform(
            volume.astype(np.float32), index[:3, :3], index[:3, 3], shape, order=1
        )

    brain = there(called.brain) > 0.5
    top = np.quantile(called.image, 0.999)
    bent = top * (np.clip(there(called.image), 0, None) / top) ** rng.uniform(0.8, 1.25)
    noisy = bent + rng.normal(0, 0.02 * top, shape)
    return dated(np.where(brain, noisy, 0).astype(np.float32), brain, grid), np.linalg.inv(way)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", type=Path, nargs="+")
    rng = np.random.default_rng(0)
    scans = []
    for path in parser.parse_args().scans:
        volume = read_volume(path)
        brain = foreground([volume]).mask
        scans.append(dated(np.where(brain, volume.data, 0), brain, volume.affine))
    errors, seconds, same, others = [], [], [], []
    refused = wrong = 0
    for number, scan in enumerate(scans):
        later, right = moved(scan, rng)
        start = time.perf_counter()
        found = register(scan, later)
        seconds.append(time.perf_counter() - start)
        if found is None or not looks_like_one_brain(found):
            refused += 1
            continue
        same.append(found.agreement)
        called = later.called
        points = np.argwhere(called.brain)[::500] @ called.affine[:3, :3].T + called.affine[:3, 3]
        off = (np.array(found.affine) - right) @ np.c_[points, np.ones(len(points))].T
        errors.append(float(np.linalg.norm(off[:3], axis=0).mean()))
        other = register(scans[number - 1], later)
        if other is not None:
            others.append(other.agreement)
            wrong += looks_like_one_brain(other)
    print(f"{len(scans)} people, {refused} refused, {wrong} of {len(others)} others not refused")
    print(f"error in the brain: median {np.median(errors):.2f} mm, largest {max(errors):.2f} mm")
    print(f"seconds: median {np.median(seconds):.1f}, largest {max(seconds):.1f}")
    print(f"agreement with oneself {min(same):.2f} and more, with others at most {max(others):.2f}")
    return int(refused + wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
