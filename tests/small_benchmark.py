"""What a benchmark of small brains leaves, without a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from brains import centred_affine, inside_brain, smooth_intensity, world_of

from pipeline.cases.case import Case, ImageFile
from pipeline.files.images.nifti import write_volume
from pipeline.files.writing import write_text

THRESHOLD = 0.5
LESIONS_MM = {"ill<1>": 24.0, "ill2": 15.0, "well1": 0.0}
"""Radius of the lesion of each case; one name must not be read as HTML."""


def write_case(folder: Path, maps: dict[str, Path], name: str, radius_mm: float) -> Case:
    """A small brain with a bright ball, a map a method, and what `detect` writes beside it."""
    affine, shape = centred_affine(np.diag([4.0, 4.0, 4.0]))
    world = world_of(shape, affine)
    brain = inside_brain(world)
    lesion = (np.linalg.norm(world - [20.0, 10.0, 30.0], axis=-1) < radius_mm) & brain
    image = np.where(brain, smooth_intensity(world) + 300 * lesion, 0).astype(np.float32)
    write_volume(folder / f"{name}_flair.nii.gz", image, affine)
    write_volume(folder / f"{name}_seg.nii.gz", lesion, affine)
    image_file = ImageFile(folder / f"{name}_flair.nii.gz")
    rng = np.random.default_rng(len(name))
    for noise, out in zip((0.25, 0.5), maps.values(), strict=False):
        draw = noise * np.abs(rng.standard_normal(shape))
        anomaly = (np.where(brain, 0.7 * lesion + draw, 0)).astype(np.float32)
        write_volume(out / name / "anomaly.nii.gz", anomaly, affine)
        write_volume(out / name / "mask.nii.gz", anomaly > THRESHOLD, affine)
        write_volume(out / name / "brain_mask.nii.gz", brain, affine)
        healthy = np.where(brain, smooth_intensity(world), 0).astype(np.float32)
        write_volume(out / name / "pseudo_healthy.nii.gz", healthy, affine)
        result = {
            "case": name,
            "method": out.name,
            "score": float(np.quantile(anomaly, 0.99)),
            "anomalous_ml": 12.0,
            "threshold": {"value": THRESHOLD, "rule": "one in a hundred"},
            "inputs": {"flair": str(image_file.path)},
            "provenance": {"seed": 7, "weights_sha256": "ab" * 32, "inputs": []},
            "software": {"anomap": "0.1.0", "torch": "2"},
            "command": "anomap detect <in>",
        }
        write_text(out / name / "result.json", json.dumps(result))
    label = ImageFile(folder / f"{name}_seg.nii.gz") if radius_mm else None
    return Case(name, name, {"flair": image_file}, label=label, healthy=not radius_mm)
