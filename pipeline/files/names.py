"""The name of every file that is written or looked for, once."""

from __future__ import annotations

# Of a case's result.
RESULT = "result.json"
ANOMALY_MAP = "anomaly.nii.gz"
ANOMALY_MASK = "mask.nii.gz"
BRAIN_MASK = "brain_mask.nii.gz"
PSEUDO_HEALTHY = "pseudo_healthy.nii.gz"

# Of a run.
CONFIG = "config.yaml"
WEIGHTS = "model.pt"
CHECKPOINT = "last.pt"
ATLASES = "atlases.npz"
CALIBRATION = "calibration.json"
DATALIST = "datalist.json"
RUN_RECORD = "run.json"
LOSSES = "loss.csv"
LOSS_CHART = "loss.png"
TENSORBOARD = "tensorboard"
CACHE = "cache"
PROBES = "cache/probes.npz"

# Of what was scored.
SUMMARY = "summary.json"
CURVES = "curves.json"
CASE_SCORES = "cases.csv"
TABLE = "table.md"
TABLE_CSV = "table.csv"
MAPS = "maps"
CASE_PICTURES = "cases.png"

# Of a cohort, a page, a folder of figures.
COHORT = "cohort.json"
REPORT = "report.html"
CAPTIONS = "captions.md"

# Of foreign data sets.
MSD_DESCRIPTION = "dataset.json"
BIDS_DESCRIPTION = "dataset_description.json"

# Beside the source where that was copied out of its checkout: what commit it is of.
COMMIT = "commit.txt"


def pseudo_healthy(modality: str, n_modalities: int) -> str:
    """Name of the restored image of a modality; without it where there is only one."""
    if n_modalities == 1:
        return PSEUDO_HEALTHY
    return f"pseudo_healthy_{modality}.nii.gz"


def pseudo_healthy_modality(name: str) -> str | None:
    """The modality that `pseudo_healthy` put into a name, "" for none; None for other files."""
    stem = name.removesuffix(".nii.gz")
    if stem == name or not stem.startswith("pseudo_healthy"):
        return None
    return stem.removeprefix("pseudo_healthy").strip("_")
