"""How well and how fast brains are found in whole heads, against parcellations.

    python tests/benchmarks/brain_extraction.py --heads '*_T1w.nii.gz' --labels '_dseg' IXI_T1

Dice with what is above 0 in the parcellation beside each head (brought to its grid), seconds and
peak memory, of each extraction (default: anomap; hd-bet and deepbet if they are installed). HD-BET
is one of its five networks, without mirroring. ``--only`` names subjects.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from pipeline.cases.case import ImageFile
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.loading import mask_on_grid
from pipeline.files.images.reading import read_volume
from pipeline.stages import peak_memory_mib


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--heads", default="*_T1w.nii.gz", help="pattern of their names")
    parser.add_argument("--labels", default="_dseg", help="in place of the last word of a head's")
    parser.add_argument("--extraction", action="append")
    parser.add_argument("--only", nargs="*", help="beginnings of names")
    arguments = parser.parse_args()
    heads = [
        path
        for path in sorted(arguments.folder.glob(arguments.heads))
        if not arguments.only or any(path.name.startswith(f"{one}_") for one in arguments.only)
    ]
    for name in arguments.extraction or ["anomap"]:
        extract = make_extractor(name)
        assert extract is not None
        found, seconds = [], []
        for path in heads:
            labels = path.with_name(f"{path.name.rpartition('_')[0]}{arguments.labels}.nii.gz")
            head = read_volume(path)
            brain = np.asarray(mask_on_grid(ImageFile(labels), head).data) > 0
            start = time.perf_counter()
            mask = extract(head)
            seconds.append(time.perf_counter() - start)
            found.append(2 * float((mask & brain).sum()) / float(mask.sum() + brain.sum()))
        print(
            f"{name}: {len(found)} heads, Dice {np.mean(found):.3f} (lowest {min(found):.3f}), "
            f"{np.median(seconds):.1f} s each, process {peak_memory_mib()} MiB at most"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
