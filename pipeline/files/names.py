"""The name of every file that is written or looked for, once."""

from __future__ import annotations

from pathlib import Path

# Of a case's result.
RESULT = "result.json"
ANOMALY_MAP = "anomaly.nii.gz"
ANOMALY_MASK = "mask.nii.gz"
BRAIN_MASK = "brain_mask.nii.gz"
PSEUDO_HEALTHY = "pseudo_healthy.nii.gz"
OVERLAY = "overlay.png"
EDITED = "edited"
FINDINGS = "findings.json"
FINDINGS_TABLE = "findings.csv"

# Of two results of one person.
COMPARISON = "comparison.json"
COMPARISON_TABLE = "comparison.csv"
COMPARISON_PICTURE = "comparison.png"

# Of the atlas that findings are named by.
PLACES = "places.nii.gz"
PLACES_T1 = "mean_t1.nii.gz"

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

# Of the network that finds brains in heads; it comes with the package.
HEAD_NETWORK = "head_network.pt"

# Of the network that marks lesions in any contrast; likewise.
LESION_NETWORK = "lesion_network.pt"

# Of what tells the contrast of a scan; likewise.
CONTRAST_WEIGHTS = "contrasts.npz"

# Of a folder of results.
RESULTS_TABLE = "results.csv"

# Of what was scored.
SUMMARY = "summary.json"
CURVES = "curves.json"
CASE_SCORES = "cases.csv"
TABLE = "table.md"
TABLE_CSV = "table.csv"
MAPS = "maps"
CASE_PICTURES = "cases.png"

# Of images that were converted from DICOM: the folder beside the cases' results, the record beside
# each image.
DICOM_CASES = "dicom"
SERIES = "series.json"
# Of a study that was fetched from an archive, and of what goes back there.
PULLED = "pulled"
DICOM_RESULTS = "dicom"
SEG_OBJECT = "seg.dcm"
MAP_OBJECT = "map.dcm"
SUMMARY_OBJECT = "summary.dcm"

# Of a BIDS derivative, beside its description (below).
BIDS_IGNORE = ".bidsignore"
BIDS_README = "README.md"
BUNDLE_CARD, BUNDLE_METADATA = "docs/README.md", "configs/metadata.json"
BIDS_GROUP = "group_anomap.tsv"

# Of a cohort, a page, a folder of figures.
COHORT = "cohort.json"
REPORT = "report.html"
CAPTIONS = "captions.md"

# Of foreign data sets.
MSD_DESCRIPTION = "dataset.json"
BIDS_DESCRIPTION = "dataset_description.json"

# Hidden, in folders that we write to: the names of what is ours there, who is at work there now,
# and what is not whole yet (such a file that is left was of a killed process).
LEDGER = ".anomap"
IN_USE = ".anomap-in-use"
PART = ".part-"
WRITABLE = ".writable"

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


def series_record(image_path: Path) -> Path:
    """Where the record of an image that was converted from DICOM lies: ``<stem>.series.json``."""
    stem = image_path.name.removesuffix(".gz").removesuffix(".nii")
    return image_path.with_name(f"{stem}.{SERIES}")
