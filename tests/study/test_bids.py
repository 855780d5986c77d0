"""``anomap bids``: sessions and runs are told apart, labels are checked, the validator agrees."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import DetectOptions, InputError, Selection
from pipeline.cases.loop import QUIET
from pipeline.cli.main import main
from pipeline.study.bids.app import Labels, group_level, participant_level

VALIDATOR = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))


@pytest.fixture
def dataset(brains: Path, tmp_path: Path) -> Path:
    """Two participants, one of them with two sessions, of one session two runs."""
    root = tmp_path / "dataset"
    scans = [next((brains / "tumour" / name).glob("*_flair.nii.gz")) for name in NAMES]
    for scan, name in (
        (scans[0], "sub-01/ses-1/anat/sub-01_ses-1_run-1_FLAIR"),
        (scans[1], "sub-01/ses-1/anat/sub-01_ses-1_run-2_FLAIR"),
        (scans[1], "sub-01/ses-2/anat/sub-01_ses-2_FLAIR"),
        (scans[1], "sub-02/ses-1/anat/sub-02_ses-1_acq-thick_FLAIR"),
    ):
        path = root / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scan, path)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    return root


NAMES = ("phantom_t000", "phantom_t001")
FLAIR = Selection(modalities=("flair",))


def test_a_data_set_becomes_a_derivative_that_is_valid(
    dataset: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = DetectOptions(model=run)
    made = participant_level(dataset, out, options=options, selection=FLAIR, execution=QUIET)
    assert made.failed == {}
    assert made.done == ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1")
    grouped = group_level(dataset, out, execution=QUIET)
    assert grouped.failed == {}
    first = out / "sub-01/ses-1/anat"
    stem = "sub-01_ses-1_run-1_desc-"
    assert {path.name for path in first.glob("*.nii.gz")} == {
        f"{stem}{kind}.nii.gz"
        for kind in ("anomaly_FLAIR", "anomaly_mask", "brain_mask", "pseudohealthy_FLAIR")
    }
    side = json.loads((first / f"{stem}anomaly_mask.json").read_text())
    assert side["Sources"] == ["bids:raw:sub-01/ses-1/anat/sub-01_ses-1_run-1_FLAIR.nii.gz"]
    description = json.loads((out / "dataset_description.json").read_text())
    assert (out / description["DatasetLinks"]["raw"]).resolve() == dataset.resolve()
    with (out / "group_anomap.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(row["participant_id"], row["session_id"]) for row in rows] == [
        ("sub-01", "ses-1"),
        ("sub-01", "ses-2"),
        ("sub-02", "ses-1"),
    ]
    assert rows[2]["image"] == "sub-02/ses-1/anat/sub-02_ses-1_acq-thick_FLAIR.nii.gz"
    assert all(float(row["score"]) > 0 for row in rows)
    if VALIDATOR is None:
        assert not os.environ.get("ANOMAP_REQUIRE_HOSPITAL"), "bids-validator-deno is not there"
        pytest.skip("bids-validator-deno is not installed; the rest holds")
    words = [VALIDATOR, "--format", "json", str(out)]
    said = json.loads(subprocess.run(words, capture_output=True, check=False).stdout)
    errors = [one for one in said["issues"]["issues"] if one["severity"] == "error"]
    assert errors == []
    assert said["summary"]["totalFiles"] >= 24


def test_labels_choose_with_or_without_their_prefix(
    dataset: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bids", str(dataset), str(tmp_path / "out"), "participant", "--modality", "flair"]
    words += ["--model", str(run), "--quiet"]
    assert main([*words, "--participant-label", "sub-01", "--session-label", "2"]) == 0
    assert [path.name for path in (tmp_path / "out/anomap").glob("sub-*")] == ["sub-01_ses-2"]
    assert main([*words, "--participant-label", "03"]) == 2
    assert (
        "--participant-label 03: not in the data set; there are 01, 02" in capsys.readouterr().err
    )
    assert main([*words, "--participant-label", "02", "--session-label", "2"]) == 2
    assert "no participant has a scan of such a session" in capsys.readouterr().err


def test_a_derivative_inside_the_data_set_is_not_read_as_its_masks(
    dataset: Path, run: Path, tmp_path: Path
) -> None:
    out = dataset / "derivatives/anomap"
    times = []
    for _ in range(2):
        made = participant_level(
            dataset,
            out,
            options=DetectOptions(model=run),
            labels=Labels(participants=("02",)),
            selection=FLAIR,
            execution=QUIET,
        )
        assert made.failed == {}
        times.append((out / "anomap/sub-02_ses-1/result.json").stat().st_mtime_ns)
    assert times[0] == times[1]


def test_one_participant_does_not_fail_for_another_that_lacks_the_modality(
    dataset: Path, run: Path, tmp_path: Path
) -> None:
    scan = next((dataset / "sub-02").rglob("*.nii.gz"))
    scan.rename(scan.with_name("sub-02_ses-1_T1w.nii.gz"))
    options = DetectOptions(model=run)
    labels = Labels(("01",), ("2",))
    made = participant_level(
        dataset, tmp_path / "out", options=options, labels=labels, selection=FLAIR, execution=QUIET
    )
    assert (made.done, made.failed) == (("sub-01_ses-2",), {})
    with pytest.raises(InputError, match="none of those participants has a scan that can be used"):
        participant_level(
            dataset,
            tmp_path / "out",
            options=options,
            labels=Labels(("02",)),
            selection=FLAIR,
            execution=QUIET,
        )


def test_a_participant_that_fails_does_not_stop_the_others(
    dataset: Path, run: Path, tmp_path: Path
) -> None:
    bad = next((dataset / "sub-02").rglob("*.nii.gz"))
    bad.write_bytes(bad.read_bytes()[:500])
    made = participant_level(
        dataset,
        tmp_path / "out",
        options=DetectOptions(model=run),
        labels=Labels(sessions=("ses-1",)),
        selection=FLAIR,
        execution=QUIET,
    )
    assert made.done == ("sub-01_ses-1",)
    assert list(made.failed) == ["sub-02_ses-1"]


def test_what_is_no_data_set_is_said(brains: Path, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected dataset_description\.json"):
        participant_level(brains, tmp_path / "out", selection=FLAIR, execution=QUIET)
    with pytest.raises(InputError, match="no results of participants"):
        group_level(dataset, tmp_path / "out", execution=QUIET)
