"""Writes painted healthy brains of one contrast as a cohort that ``anomap train`` reads.

python -m tools.any_contrast.write --parcellated IXI_T1 --modality t2 --each 1 painted_t2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from tools.any_contrast.healthy import SPACING_MM, load_person, paint
from tools.any_contrast.train import people


def main() -> None:
    """One NIfTI file ``<name>_<modality>.nii.gz`` for each brain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parcellated", type=Path, required=True)
    parser.add_argument("--modality", required=True)
    parser.add_argument("--each", type=int, default=1, help="brains painted of each person")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    root, modality = arguments.parcellated, arguments.modality
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    for number, name in enumerate(people(root, "t1")):
        person = load_person(root / f"{name}_T1w.nii.gz", root / f"{name}_dseg.nii.gz")
        rng = np.random.default_rng([arguments.seed, number])
        for k in range(arguments.each):
            brain = paint(person, modality, rng)
            # Positive inside, exactly 0 outside, as skull-stripped scans are.
            image = brain.image.astype(np.float32).transpose(2, 1, 0)
            inside = brain.brain.transpose(2, 1, 0)
            image = np.where(inside, (image - image[inside].min()) * 1000 + 1, 0)
            part = arguments.out / f"painted{number:03d}{'abcdefgh'[k]}_{modality}.nii.gz"
            nib.save(nib.Nifti1Image(image.astype(np.int16), affine), part)


if __name__ == "__main__":
    main()
