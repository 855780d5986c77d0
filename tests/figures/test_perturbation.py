"""Slices to perturb."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from pipeline.figures import perturbation


def test_a_scan_gives_the_slice_that_shows_most_with_square_pixels(tmp_path: Path) -> None:
    x, y, z = np.indices((40, 20, 9))
    # 40 x 1 mm by 20 x 2 mm: round in millimetres; largest at z = 4; bright at the front left.
    inside = ((x - 19.5) / 12) ** 2 + ((y - 9.5) / 6) ** 2 < 1 - ((z - 4) / 6) ** 2
    image = np.where(inside, 50 + 50 * ((x < 19) & (y > 10)), 0).astype(np.float32)
    nib.save(nib.Nifti1Image(image, np.diag([1.0, 2.0, 3.0, 1.0])), tmp_path / "scan.nii.gz")
    picture = perturbation.scan_slice(tmp_path / "scan.nii.gz", 32).numpy()
    assert picture.shape == (32, 32)
    shown = picture > -0.5
    assert abs(int(shown.any(0).sum()) - int(shown.any(1).sum())) <= 2
    # Rows run to the back, columns to the left.
    assert picture[10, 21] > 0.5 > picture[10, 10]
    assert picture[21, 21] < 0.5
