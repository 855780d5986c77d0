"""Scores to measure, and a small cohort of maps on disk whose scores are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.loop import QUIET
from pipeline.files.images.nifti import write_volume
from pipeline.files.record.result import Threshold
from pipeline.files.writing import write_text
from pipeline.scores.evaluate import MethodScores, Scoring, evaluate_folder
from pipeline.scores.summary import summarise

SHAPE = (12, 14, 10)
AFFINE = np.diag([-5.0, 5.0, 5.0, 1.0])  # a voxel is 0.125 mL
THRESHOLD = Threshold(value=0.5, rule="1 % of healthy brain")


def random_scores(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with an atom at 0, ties, and negative values; higher in a 10 % lesion."""
    rng = np.random.default_rng(seed)
    lesion = rng.random(n) < 0.1
    scores = (rng.normal(size=n) + 1.5 * lesion).astype(np.float32)
    scores[rng.random(n) < 0.3] = 0
    tied = rng.random(n) < 0.2
    scores[tied] = np.round(scores[tied], 1)
    return scores, lesion


def brain_box() -> np.ndarray:
    """The brain of every case, ``(12, 14, 10)`` bool."""
    brain = np.zeros(SHAPE, dtype=bool)
    brain[1:11, 1:13, 1:9] = True
    return brain


def label_cube(width: int = 3) -> np.ndarray:
    """Cube of oedema with a core of one necrotic and the other voxels enhancing."""
    label = np.zeros(SHAPE, dtype=np.int16)
    label[2 : 2 + width, 2 : 2 + width, 2 : 2 + width] = 2
    label[3, 3, 3:5] = 4
    label[3, 3, 3] = 1
    return label


def quiet_map(seed: int) -> np.ndarray:
    """Noise below the threshold."""
    return (0.4 * np.random.default_rng(seed).random(SHAPE)).astype(np.float32)


def write_label(root: Path, name: str, label: np.ndarray | None = None) -> Case:
    """A case with this label, a healthy one without."""
    if label is None:
        return Case(name, name, {}, healthy=True)
    path = root / "labels" / f"{name}_seg.nii.gz"
    write_volume(path, label, AFFINE)
    return Case(name, name, {}, label=ImageFile(path))


def write_maps(
    folder: Path, anomaly_map: np.ndarray, *, brain: bool = True, **result: object
) -> None:
    """What a method leaves of a case."""
    write_volume(folder / "anomaly.nii.gz", anomaly_map.astype(np.float32), AFFINE)
    if brain:
        write_volume(folder / "brain_mask.nii.gz", brain_box(), AFFINE)
    if result:
        write_text(folder / "result.json", json.dumps(result))


def scores_of(out: Path, cases: list[Case], **scoring: Any) -> MethodScores:
    """Maps of a folder scored; ``scoring`` as in `Scoring`."""
    return evaluate_folder(out, cases, scoring=Scoring(**scoring), execution=QUIET)


def summary_of(scores: MethodScores) -> dict[str, Any]:
    """The summary as a reader of the file gets it."""
    return dict(json.loads(summarise({"anomap": scores}, "toy").text()))
