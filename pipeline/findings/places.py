"""Lobes and structures of the brain in MNI space, and which of them a part lies in.

The atlas is made by ``tools/make_places.py``; ``atlas/README.md`` says of what.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy import ndimage

from pipeline.files.images.reading import read_labels, read_volume
from pipeline.files.names import PLACES, PLACES_T1
from pipeline.findings.registration import Lattice, on_lattice

LATTICE_MM = 4.0
"""On which a scan is registered."""
REACH_MM = 8.0
"""Beyond the atlas's brain, within which the nearest structure counts."""
ONE_SIDED = 0.85
"""Share of a part on one side of the midline from which it is said to lie there."""
MIDLINE = ("brainstem", "corpus callosum", "third ventricle", "fourth ventricle")
"""Structures of which no side is said."""
PLACE_NAMES = (
    *("frontal lobe", "parietal lobe", "temporal lobe", "occipital lobe"),
    *("insula", "cingulate gyrus", "hippocampus", "amygdala", "thalamus"),
    *("caudate nucleus", "putamen", "pallidum", "basal forebrain", "ventral diencephalon"),
    *("internal capsule", "fornix", "lateral ventricle", "cerebellum"),
    *MIDLINE,
)
"""Of the values 1, 2, ... of the atlas; white matter counts to its lobe."""


@dataclass(frozen=True)
class Atlas:
    """What lies where.

    Attributes:
        values: ``(X, Y, Z)`` uint8, index into `PLACE_NAMES` plus 1; 0 away from the brain.
        affine: voxel index to MNI millimetres, ``(4, 4)``.
        t1: mean T1w image of healthy brains, on the lattice that scans are registered to.
    """

    values: np.ndarray
    affine: np.ndarray
    t1: Lattice

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """Values at MNI points ``(n, 3)``: ``(n,)`` uint8, 0 away from the brain."""
        way = np.linalg.inv(self.affine)
        index = np.rint(points_mm @ way[:3, :3].T + way[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < self.values.shape)).all(1)
        found = np.zeros(len(points_mm), dtype=np.uint8)
        found[inside] = self.values[tuple(index[inside].T)]
        return found


@lru_cache(maxsize=1)
def load_places() -> Atlas:
    """The atlas that comes with anomap; every structure reaches `REACH_MM` out of the brain."""
    folder = Path(str(files("pipeline.findings") / "atlas"))
    values, t1 = read_labels(folder / PLACES), read_volume(folder / PLACES_T1)
    away, nearest = ndimage.distance_transform_edt(
        values.data == 0,
        sampling=np.linalg.norm(values.affine[:3, :3], axis=0),
        return_indices=True,
    )
    filled = np.where(away <= REACH_MM, values.data[tuple(nearest)], 0).astype(np.uint8)
    lattice = on_lattice(t1.data, t1.data > 0, t1.affine, LATTICE_MM)
    return Atlas(filled, values.affine, lattice)


@dataclass(frozen=True)
class Whereabouts:
    """Where a part of a mask lies.

    Attributes:
        hemisphere: ``left``, ``right``, or ``both``.
        left_share: of its voxels at MNI x below 0, in 0..1.
        shares: structure to the share of its voxels there, the largest first; voxels away from
            the brain have none.
    """

    hemisphere: str
    left_share: float
    shares: dict[str, float]

    @property
    def place(self) -> str | None:
        """The structure that most of it lies in, with its side; None away from the brain."""
        if not self.shares:
            return None
        name = next(iter(self.shares))
        if name in MIDLINE:
            return name
        if self.hemisphere == "both":
            return f"{name}, both sides"
        return f"{self.hemisphere} {name}"


def whereabouts(points_mm: np.ndarray, atlas: Atlas) -> Whereabouts:
    """Side and structures of MNI points ``(n, 3)``, n > 0."""
    left = float((points_mm[:, 0] < 0).mean())
    side = "left" if left >= ONE_SIDED else "right" if left <= 1 - ONE_SIDED else "both"
    counts = np.bincount(atlas.at(points_mm), minlength=len(PLACE_NAMES) + 1)[1:]
    order = sorted(range(len(PLACE_NAMES)), key=lambda i: -counts[i])
    shares = {PLACE_NAMES[i]: float(counts[i]) / len(points_mm) for i in order if counts[i]}
    return Whereabouts(side, left, shares)
