"""The atlas of lobes and structures in ``pipeline/findings/atlas``, from parcellations of people.

    python tools/make_places.py IXI_DIR           writes the atlas, of all people
    python tools/make_places.py IXI_DIR --check   of four fifths, measured on the other fifth

``IXI_DIR`` holds ``<person>_T1w.nii.gz`` and ``<person>_dseg.nii.gz`` on one grid, the numbers of
which are those of MUSE (``MUSE_ROI_complete_list.csv`` of CBICA/NiChart_DLMUSE). Each T1w is
registered to the ICBM 152 template that nilearn ships, and each voxel gets the structure that most
people have there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.files.images.reading import read_volume  # noqa: E402
from pipeline.files.names import PLACES, PLACES_T1  # noqa: E402
from pipeline.findings.places import (  # noqa: E402
    LATTICE_MM,
    PLACE_NAMES,
    Atlas,
    load_places,
    whereabouts,
)
from pipeline.findings.registration import (  # noqa: E402
    Lattice,
    moved_to,
    on_lattice,
    register_affine,
)

FOLDER = ROOT / "pipeline" / "findings" / "atlas"
SHAPE, MM = (91, 109, 91), 2.0
AFFINE = np.array([[2.0, 0, 0, -90], [0, 2.0, 0, -126], [0, 0, 2.0, -72], [0, 0, 0, 1]])
EVERY = 5
"""Of so many people one is left out for the check."""
MUSE: dict[str, tuple[int, ...]] = {
    "frontal lobe": (
        *(81, 82, 104, 105, 112, 113, 118, 119, 120, 121, 124, 125, 136, 137, 140, 141, 142, 143),
        *(146, 147, 150, 151, 152, 153, 162, 163, 164, 165, 178, 179, 182, 183, 186, 187),
        *(190, 191, 192, 193, 204, 205),
    ),
    "parietal lobe": (
        *(85, 86, 106, 107, 148, 149, 168, 169, 174, 175, 176, 177, 194, 195, 198, 199),
    ),
    "temporal lobe": (
        *(87, 88, 116, 117, 122, 123, 132, 133, 154, 155, 170, 171, 180, 181, 184, 185),
        *(200, 201, 202, 203, 206, 207),
    ),
    "occipital lobe": (
        83,
        84,
        108,
        109,
        114,
        115,
        128,
        129,
        134,
        135,
        *(144, 145, 156, 157),
        *(160, 161, 196, 197),
    ),
    "insula": (102, 103, 172, 173),
    "cingulate gyrus": (100, 101, 138, 139, 166, 167),
    "hippocampus": (47, 48),
    "amygdala": (31, 32),
    "thalamus": (59, 60),
    "caudate nucleus": (36, 37),
    "putamen": (57, 58),
    "pallidum": (55, 56),
    "basal forebrain": (23, 30, 75, 76),
    "ventral diencephalon": (61, 62, 69),
    "internal capsule": (91, 92, 93, 94),
    "fornix": (89, 90),
    "lateral ventricle": (49, 50, 51, 52),
    "cerebellum": (38, 39, 40, 41, 71, 72, 73),
    "brainstem": (35,),
    "corpus callosum": (95,),
    "third ventricle": (4,),
    "fourth ventricle": (11,),
}
"""Structure to MUSE's numbers. The parietal operculum (174, 175) and the medial temporal gyri
(116, 117, 170, 171) count to their lobes here; MUSE's own groups put them to the frontal lobe and
to the limbic one. Fluid around the brain (1, 46) has no structure."""


def template() -> Lattice:
    """The ICBM 152 template of nilearn, on a lattice."""
    from importlib.util import find_spec

    spec = find_spec("nilearn")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    t1 = read_volume(folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
    brain = ndimage.binary_fill_holes(t1.data > 0)
    return on_lattice(t1.data, brain, t1.affine, 3.0)


def structures(numbers: np.ndarray) -> np.ndarray:
    """MUSE's numbers as values of the atlas, same shape; 0 where there is no structure."""
    table = np.zeros(256, dtype=np.uint8)
    for value, name in enumerate(PLACE_NAMES, start=1):
        table[list(MUSE[name])] = value
    return table[numbers.astype(np.uint8)]


class Votes:
    """What people have at each place of MNI space."""

    def __init__(self) -> None:
        self.counts = np.zeros((len(PLACE_NAMES) + 1, *SHAPE), dtype=np.uint8)
        self.t1, self.weight = np.zeros(SHAPE), np.zeros(SHAPE)
        self.grid = Lattice(np.zeros(SHAPE), np.zeros(SHAPE, dtype=bool), AFFINE)

    def add(self, path: Path, fixed: Lattice) -> None:
        """A person's."""
        t1 = read_volume(path)
        numbers = read_volume(Path(str(path).replace("_T1w", "_dseg"))).data
        brain = numbers > 0
        found = register_affine(on_lattice(t1.data, brain, t1.affine, LATTICE_MM), fixed)
        assert found is not None
        way = np.linalg.inv(t1.affine) @ np.linalg.inv(found) @ AFFINE
        own = ndimage.affine_transform(
            structures(numbers), way[:3, :3], way[:3, 3], output_shape=SHAPE, order=0
        )
        for value in range(len(PLACE_NAMES) + 1):
            self.counts[value] += own == value
        unit = np.clip(t1.data / np.quantile(t1.data[brain], 0.98), 0, 1.2) * brain
        self.t1 += moved_to(unit.astype(np.float32), t1.affine, self.grid, found)
        self.weight += moved_to(brain.astype(np.float32), t1.affine, self.grid, found)

    def values(self) -> np.ndarray:
        """The structure that most people have at each place, where most have any."""
        n_people = self.counts.sum(0, dtype=int)
        tissue = self.counts[1:]
        most = tissue.argmax(0).astype(np.uint8) + 1
        return np.where(tissue.sum(0, dtype=int) * 2 > n_people, most, 0).astype(np.uint8)

    def mean_t1(self, n_people: int) -> tuple[np.ndarray, np.ndarray]:
        """The mean image on voxels of 4 mm, uint8, 0 outside the brain, and its affine."""
        brain = self.weight > 0.5 * n_people
        mean = np.where(brain, self.t1 / np.maximum(self.weight, 1), 0).astype(np.float32)
        coarse = AFFINE.copy()
        coarse[:3, :3] *= 2
        coarse[:3, 3] += MM / 2
        shape = tuple(n // 2 for n in SHAPE)
        crop = tuple(slice(0, 2 * n) for n in shape)

        def halved(volume: np.ndarray) -> np.ndarray:
            a, b, c = shape
            return volume[crop].reshape(a, 2, b, 2, c, 2).mean((1, 3, 5))

        share = halved(brain.astype(np.float32))
        small = halved(mean) / np.maximum(share, 0.5)
        return np.where(share > 0.5, np.clip(200 * small, 1, 255), 0).astype(np.uint8), coarse


def write(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    """A small file that is the same each time."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, 4)  # MNI 152
    nib.save(image, path)


def check(people: list[Path]) -> None:
    """How often the structure that a scan gets from the atlas is that of its own parcellation."""
    load_places.cache_clear()
    atlas = load_places()
    rng = np.random.default_rng(0)
    agree, nearest, dice = [], [], []
    for path in people:
        t1 = read_volume(path)
        numbers = read_volume(Path(str(path).replace("_T1w", "_dseg"))).data
        found = register_affine(on_lattice(t1.data, numbers > 0, t1.affine, LATTICE_MM), atlas.t1)
        assert found is not None
        own = structures(numbers)
        index = rng.permutation(np.argwhere(own > 0))[:20_000]
        to_mni = found @ t1.affine
        there = atlas.at(index @ to_mni[:3, :3].T + to_mni[:3, 3])
        said = own[tuple(index.T)]
        agree.append(np.mean(there == said))
        dice.append(
            [
                2
                * np.sum((there == v) & (said == v))
                / max(np.sum(there == v) + np.sum(said == v), 1)
                for v in range(1, len(PLACE_NAMES) + 1)
            ]
        )
        nearest.append(_of_balls(own, numbers, to_mni, atlas, rng))
    print(f"{len(people)} people: {np.mean(agree):.3f} of voxels ({min(agree):.3f} at least)")
    right = np.concatenate(nearest)
    print(
        f"{len(right)} balls of 4 mL: structure {right[:, 0].mean():.3f}, "
        f"side {right[:, 1].mean():.3f}"
    )
    for name, values in zip(PLACE_NAMES, np.mean(dice, axis=0), strict=True):
        print(f"  {name}: Dice {values:.2f}")


def _of_balls(own, numbers, to_mni, atlas: Atlas, rng) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Whether structure and side of balls of 4 mL are those of the own parcellation."""
    rows = []
    mm = np.linalg.norm(to_mni[:3, :3], axis=0)
    sides = np.where(np.isin(numbers, RIGHT), 1, np.where(np.isin(numbers, LEFT), -1, 0))
    grid = np.argwhere(own > 0)
    for centre in rng.permutation(grid)[:30]:
        ball = grid[((grid - centre) ** 2 @ (mm**2)) < 9.85**2]
        counts = np.bincount(own[tuple(ball.T)], minlength=len(PLACE_NAMES) + 1)
        where = whereabouts(ball @ to_mni[:3, :3].T + to_mni[:3, 3], atlas)
        name = PLACE_NAMES[int(counts[1:].argmax())]
        lateral = sides[tuple(ball.T)]
        n_right, n_left = (lateral > 0).sum(), (lateral < 0).sum()
        true_side = "right" if n_right > n_left else "left"
        side = "left" if where.left_share > 0.5 else "right"
        if n_right + n_left == 0:
            side = true_side
        rows.append((name == next(iter(where.shares), ""), side == true_side))
    return np.array(rows, dtype=float)


RIGHT = [23, 31, 36, 38, 40, 47, 49, 51, 55, 57, 59, 61, 76, *range(81, 95, 2), *range(100, 208, 2)]
LEFT = [30, 32, 37, 39, 41, 48, 50, 52, 56, 58, 60, 62, 75, *range(82, 95, 2), *range(101, 208, 2)]


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    people = sorted(arguments.folder.glob("*_T1w.nii.gz"))
    fixed, votes = template(), Votes()
    used = [p for i, p in enumerate(people) if not arguments.check or i % EVERY]
    for path in used:
        votes.add(path, fixed)
    FOLDER.mkdir(exist_ok=True)
    write(FOLDER / PLACES, votes.values(), AFFINE)
    write(FOLDER / PLACES_T1, *votes.mean_t1(len(used)))
    if arguments.check:
        check([path for path in people if path not in used])


if __name__ == "__main__":
    main()
