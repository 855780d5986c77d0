"""Results as a BIDS derivative: names, side files, the description of the data set."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.files.folder.ownership import is_ours
from pipeline.files.names import (
    ANOMALY_MAP,
    ANOMALY_MASK,
    BIDS_DESCRIPTION,
    BIDS_GROUP,
    BIDS_IGNORE,
    BIDS_README,
    BRAIN_MASK,
    pseudo_healthy,
)
from pipeline.files.provenance import software
from pipeline.files.record.result import CaseResult
from pipeline.files.writing import remove, write_atomically, write_text

VERSION = "1.10.0"
"""Of BIDS."""
RESULTS = "anomap"
"""The folder of the results as `anomap detect` leaves them, and of the report."""
COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "participant_id": {"Description": "The participant"},
    "session_id": {"Description": "The session; n/a where the data set has none"},
    "image": {"Description": "The scan that was looked at, from the root of the source data set"},
    "score": {"Description": "Mean of the highest values of the anomaly map"},
    "p_value": {
        "Description": "Share of the healthy people that calibrated the model who score as high"
    },
    "healthy_cases": {"Description": "Number of those people"},
    "anomalous_volume": {"Description": "Volume of the mask", "Units": "mL"},
    "brain_volume": {"Description": "Volume of the brain", "Units": "mL"},
    "notes": {"Description": "What is to be known of the result"},
}


@dataclass(frozen=True)
class Source:
    """The scan of a result in its data set.

    Attributes:
        dataset: root of the source.
        path: of the scan.
    """

    dataset: Path
    path: Path

    @property
    def relative(self) -> str:
        """From the root of the data set."""
        return self.path.relative_to(self.dataset).as_posix()

    @property
    def entities(self) -> dict[str, str]:
        """Of its name, in order."""
        fields = self.path.name.split(".")[0].split("_")[:-1]
        return dict(field.split("-", 1) for field in fields if "-" in field)

    @property
    def suffix(self) -> str:
        """``FLAIR``, ``T1w``, ..."""
        return self.path.name.split(".")[0].rsplit("_", 1)[-1]

    def derived(self, out: Path, description: str, suffix: str = "") -> Path:
        """Where something made of it lies in a derivative."""
        stem = "_".join(f"{key}-{value}" for key, value in self.entities.items())
        folders = [f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities]
        name = f"{stem}_desc-{description}_{suffix or self.suffix}.nii.gz"
        return out.joinpath(*folders, "anat", name)


def describe_dataset(out: Path, source: Path) -> None:
    """Write what says that a folder is a BIDS derivative of another one."""
    version = software().anomap or ""
    link = Path(os.path.relpath(source.resolve(), out.resolve())).as_posix()
    description = {
        "Name": f"anomap: anomaly maps of {source.resolve().name}",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "anomap", "Version": version}],
        "SourceDatasets": [{"URL": link}],
        "DatasetLinks": {"raw": link},
    }
    write_json(out / BIDS_DESCRIPTION, description)
    write_text(out / BIDS_IGNORE, f"{RESULTS}\n{Path(BIDS_GROUP).stem}.*\n")
    write_text(
        out / BIDS_README,
        "Anomaly maps (desc-anomaly), masks (desc-anomaly_mask), brains (desc-brain_mask) and\n"
        "pseudo-healthy images (desc-pseudohealthy) of a BIDS data set, made by anomap.\n"
        f"{RESULTS}/ holds the same results with their records and findings, and the report;\n"
        f"{BIDS_GROUP} a row for each scan. BIDS has no place for either.\n",
    )


def write_derivatives(out: Path, source: Source, folder: Path, result: CaseResult) -> None:
    """Bring the files of a result to their BIDS names, each with what it is beside it.

    Args:
        out: root of the derivative.
        source: the scan.
        folder: of the result, as `anomap detect` leaves it.
        result: its record.
    """
    restored = pseudo_healthy(next(iter(result.inputs), ""), len(result.inputs))
    kinds: dict[str, tuple[Path, dict[str, Any]]] = {
        ANOMALY_MAP: (
            source.derived(out, "anomaly"),
            {"Description": "Anomaly map: 0 and more, higher is more anomalous"},
        ),
        restored: (
            source.derived(out, "pseudohealthy"),
            {"Description": "The scan as the model of healthy brains restores it"},
        ),
        ANOMALY_MASK: (
            source.derived(out, "anomaly", "mask"),
            {"Type": "Lesion", "Description": _of_mask(result)},
        ),
        BRAIN_MASK: (
            source.derived(out, "brain", "mask"),
            {"Type": "Brain", "Description": "What was looked at"},
        ),
    }
    _remove_former(kinds[ANOMALY_MAP][0].parent, {path.name for path, _ in kinds.values()})
    for name, (path, said) in kinds.items():
        if not (folder / name).is_file():
            continue
        if not path.name.endswith("_mask.nii.gz"):
            said = {**said, "SkullStripped": True}
        write_atomically(path, partial(shutil.copyfile, folder / name))
        write_json(
            path.with_name(path.name.replace(".nii.gz", ".json")),
            {**said, "Sources": [f"bids:raw:{source.relative}"]},
        )


def _remove_former(folder: Path, names: Container[str]) -> None:
    """What an earlier result of the session left under other names, of another scan, say."""
    for path in folder.glob("*_desc-*"):
        image = path.name.replace(".json", ".nii.gz")
        if image not in names and is_ours(path):
            remove(path)


def _of_mask(result: CaseResult) -> str:
    rule = result.threshold.rule if result.threshold is not None else ""
    return f"Where the anomaly map is above {result.cut:.6g}" + (f": {rule}" if rule else "")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a side file."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_group(out: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write the table of all scans, and what its columns are."""
    path = out / BIDS_GROUP
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(_cell(row.get(column)) for column in COLUMNS) for row in rows]
    write_text(path, "".join(f"{line}\n" for line in lines))
    write_json(path.with_suffix(".json"), COLUMNS)
    return path


def _cell(value: object) -> str:
    if value is None or value == "":
        return "n/a"
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split())
