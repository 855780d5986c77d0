"""Which scans are taken for whole heads, and which for skull-stripped brains.

    python tests/benchmarks/heads.py --heads IXI_T1 --brains NOVOSIBIRSK BRATS ...

Heads are ``*_T1w.nii.gz`` or ``*_FLAIR.nii.gz``; those with ``*_dseg.nii.gz`` on their grid are
looked at skull-stripped too. Each is looked at in its own size and as small as a child's head
(a newborn's has 0.65 of an adult's length, a two-year-old's 0.85). Prints a table.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from pipeline.cases.brain.find import find_brain
from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loading import BrainExtractor
from pipeline.errors import InputError
from pipeline.files.images.reading import read_volume, read_volume_or_zeros
from pipeline.files.images.volume import Volume, grid_difference

SIZES = (1.0, 0.85, 0.75, 0.65)
"""Edges of a head to those of the adult's that was scanned."""
HEAD, BRAIN = "a head", "a brain"


def told(volume: Volume) -> str:
    """What a scan without a mask is taken for, or how it is refused."""
    seen: list[Volume] = []

    def extract(head: Volume) -> np.ndarray:
        seen.append(head)
        return head.data > np.quantile(head.data, 0.8)

    case = Case("case", "case", {"t1": ImageFile(volume.path)})
    try:
        find_brain(case, [volume], BrainExtractor("none", extract))
    except InputError as error:
        return HEAD if seen else f"refused: {str(error).rpartition(': ')[2][:60]}"
    return HEAD if seen else BRAIN


def scaled(volume: Volume, share: float) -> Volume:
    """The same with smaller voxels."""
    return replace(volume, affine=volume.affine @ np.diag([share, share, share, 1.0]))


def heads(folders: list[Path]) -> Iterator[tuple[str, Volume]]:
    """Whole heads, and the same skull-stripped where a parcellation says how."""
    for folder in folders:
        for path in sorted((*folder.glob("*_T1w.nii.gz"), *folder.glob("*_FLAIR.nii.gz"))):
            volume = read_volume(path)
            yield f"heads of {folder.name}", volume
            labels = path.with_name(path.name.replace("_T1w", "_dseg"))
            if labels != path and labels.exists():
                mask = read_volume_or_zeros(labels)
                if not grid_difference(mask, volume):
                    stripped = np.where(mask.data > 0, volume.data, 0).astype(np.float32)
                    yield f"{folder.name}, skull-stripped", replace(volume, data=stripped)


def brains(folders: list[Path]) -> Iterator[tuple[str, Volume]]:
    """Scans that came skull-stripped."""
    for folder in folders:
        for path in sorted(folder.rglob("*.nii.gz")):
            is_mask = any(word in path.name for word in ("seg", "mask", "_brain."))
            if not is_mask:
                yield folder.name, read_volume(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=Path, nargs="*", default=[])
    parser.add_argument("--brains", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    table: dict[tuple[str, float], Counter[str]] = {}
    for title, volume in (*heads(arguments.heads), *brains(arguments.brains)):
        for size in SIZES:
            what = told(scaled(volume, size))
            table.setdefault((title, size), Counter())[what] += 1
    print("| scans | size | taken for a head | taken for a brain | refused |")
    print("|---|---|---|---|---|")
    for (title, size), counts in table.items():
        refused = [f"{n}: {why}" for why, n in counts.items() if why not in (HEAD, BRAIN)]
        print(f"| {title} | {size:g} | {counts[HEAD]} | {counts[BRAIN]} | {'; '.join(refused)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
