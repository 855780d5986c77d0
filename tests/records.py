"""Records as tests need them: one of each file, and each file as version 1 of anomap wrote it."""

from __future__ import annotations

from typing import Any

from pipeline.files.record.base import FileRecord
from pipeline.files.record.calibration import Calibration, MadeFor, MethodCalibration
from pipeline.files.record.cohort import (
    InsertedArguments,
    InsertedFacts,
    SyntheticCohort,
    TumourFacts,
)
from pipeline.files.record.comparison import (
    Change,
    ComparedResult,
    Comparison,
    RigidRegistration,
)
from pipeline.files.record.datalist import CaseEntry, ChannelOf, Datalist
from pipeline.files.record.findings import Finding, Findings, MniPlacement, PlaceShare
from pipeline.files.record.result import (
    CaseResult,
    InputFile,
    OutputFile,
    Provenance,
    Software,
    Threshold,
)
from pipeline.files.record.run import RunRecord
from pipeline.files.record.series import SeriesRecord, SliceSource
from pipeline.files.record.stored import StoredFile
from pipeline.files.record.summary import (
    Curve,
    Curves,
    MadeBy,
    Mean,
    MethodSummary,
    Pooled,
    Region,
    Stratum,
    Summary,
)

SOFTWARE = Software(anomap="0.1.0", commit="5478ab1c0ffe+", python="3.11.7", torch="2.13.0")
THRESHOLD = Threshold(value=1.5, rule="1 % of the healthy brain voxels exceed it")


def method_summary(**metrics: Mean) -> MethodSummary:
    """Scores of a method on one tumour case of 12 ml; ``metrics`` are further ones."""
    return MethodSummary(
        **{"auroc": Mean(mean=0.9, ci95=(0.8, 1.0)), "dice_oracle": Mean(mean=None)} | metrics,
        threshold=THRESHOLD,
        image_auroc=None,
        image_auroc_ci95=None,
        slice_auroc=0.75,
        healthy_fp_ml=None,
        healthy_fp_ml_ci95=None,
        pooled=Pooled(auroc=0.9, auprc=0.8, dice_oracle=0.75, threshold_oracle=2.0),
        regions={"whole_tumour": Region(auroc=Mean(mean=0.9), sensitivity=Mean(mean=0.5))},
        by_size={"10-50 mL": Stratum(n=1, dice_oracle=0.8, dice_at_threshold=0.6, auprc=None)},
        n_healthy=0,
        n_tumour=1,
        failed={"p2": "p2: no such file"},
        evaluations_per_slice=9.0,
        seconds_per_case=3.0,
    )


EXAMPLES: dict[type[FileRecord], FileRecord] = {
    Calibration: Calibration(
        methods={
            "anomap": MethodCalibration(
                thresholds={"0.1": 1.0, "0.01": 2.0},
                left_out_rates={"0.1": (0.05, 0.15), "0.01": (0.0, 0.02)},
                scores=(2.5, 3.5),
                made_for=MadeFor(
                    weights_sha256="ab" * 32,
                    modalities=("flair",),
                    grid={"size": 64, "spacing_mm": 3.25, "slice_spacing_mm": 3.25},
                    diffusion={"noise": "simplex"},
                    settings={"draws": 1, "timesteps": [100, 300]},
                ),
            )
        },
        cases=("c1", "c2"),
    ),
    SyntheticCohort: SyntheticCohort(
        arguments=InsertedArguments(on=("c1",), modalities=("flair",), seed=0, contrast="bright"),
        cases={
            "c1_healthy": InsertedFacts(subject="c1"),
            "c1_tumour": InsertedFacts(
                subject="c1",
                tumour=TumourFacts(
                    volume_ml=10.0,
                    necrosis_ml=1.0,
                    oedema_ml=6.0,
                    enhancing_ml=3.0,
                    contrast={"flair": "bright"},
                    centre_mm=(-20.5, 10.0, 30.0),
                    push_mm=2.5,
                ),
            ),
        },
        failed={"c2_tumour": "c2: no such file"},
    ),
    Curves: Curves(
        methods={
            "anomap": Curve(
                fpr=(0.0, 1.0), tpr=(0.5, 1.0), recall=(0.0, 1.0), precision=(1.0, 0.1)
            ),
            "intensity": Curve(fpr=(), tpr=(), recall=(), precision=()),
        }
    ),
    Datalist: Datalist(
        training=(
            CaseEntry(name="c1", subject="s1", image={"t1": "c1_t1.nii.gz"}, healthy=True),
            CaseEntry(name="c2", subject="s1", image={"t1": "/data/c2_t1.nii.gz"}, healthy=True),
        ),
        test=(
            CaseEntry(
                name="p1",
                image={"t1": ChannelOf(path="p1.nii.gz", channel=1)},
                label=ChannelOf(path="p1.nii.gz", channel=2),
                brain_mask="p1_brain_mask.nii.gz",
                healthy=False,
                label_scheme="binary",
                sha256={"t1": "ab" * 32, "label": "ab" * 32, "brain_mask": "cd" * 32},
            ),
        ),
    ),
    CaseResult: CaseResult(
        case="p1",
        method="anomap",
        score=3.0,
        p_value=1 / 3,
        healthy_cases=2,
        brain_ml=1400.125,
        anomalous_ml=12.5,
        threshold=THRESHOLD,
        cut=1.75,
        evaluations_per_slice=9,
        seconds=2.5,
        slices=40,
        notes=("a note", "größer"),
        healthy_thresholds={"0.1": 1.0, "0.01": 2.0},
        inputs={"t1": "/data/p1.nii.gz"},
        provenance=Provenance(
            anomap="0.1.0",
            method="anomap",
            settings={"draws": 1, "timesteps": [100, 300], "median_mm": 10.0},
            seed=0,
            inputs=(
                InputFile(
                    path="/data/p1.nii.gz",
                    channel=1,
                    role="t1",
                    sha256="ef" * 32,
                    bytes=352,
                    modified_ns=10**18,
                    changed_ns=10**18,
                    inode=12,
                ),
            ),
            modalities=("t1",),
            grid={"size": 64, "spacing_mm": 3.25, "slice_spacing_mm": 3.25},
            brain_extraction=False,
            threshold=THRESHOLD,
            min_component_ml=0.5,
            half_height=0.5,
            weights_sha256="ab" * 32,
        ),
        software=SOFTWARE,
        command="anomap detect 'p 1.nii.gz' -o out",
        files=(
            OutputFile(
                name="anomaly.nii.gz",
                sha256="01" * 32,
                bytes=352,
                modified_ns=10**18,
                changed_ns=10**18,
                inode=13,
            ),
            OutputFile(name="brain_mask.nii.gz"),
        ),
    ),
    RunRecord: RunRecord(
        software=SOFTWARE,
        command="anomap train scans -o run",
        people={"training": 2, "validation": 1},
        files={"model.pt": StoredFile(sha256="ab" * 32, bytes=1000)},
        images={"training": ("cd" * 32,)},
    ),
    Findings: Findings(
        case="p1",
        total_ml=12.5,
        findings=(
            Finding(
                number=1,
                volume_ml=12.0,
                diameter_mm=31.5,
                axial_diameter_mm=29.0,
                centre_mm=(-30.0, 10.0, 20.0),
                centre_mni_mm=(-32.0, 8.0, 21.0),
                hemisphere="left",
                left_share=1.0,
                place="left frontal lobe",
                places=(PlaceShare(name="frontal lobe", share=0.9),),
                mean=2.0,
                peak=3.5,
                healthy_share_above_peak=0.001,
            ),
        ),
        further=1,
        further_ml=0.5,
        cut=1.5,
        mni=MniPlacement(
            affine=(
                (1.0, 0.0, 0.0, 2.0),
                (0.0, 1.0, 0.0, -2.0),
                (0.0, 0.0, 1.0, 1.0),
                (0.0, 0.0, 0.0, 1.0),
            ),
            image="pseudo-healthy",
            overlap=0.95,
        ),
        mask_sha256="ef" * 32,
        notes=("something to know",),
    ),
    Comparison: Comparison(
        before=ComparedResult(path="/data/january/p1", case="p1", total_ml=12.5, findings=2),
        after=ComparedResult(path="/data/june/p1", case="p1", total_ml=18.0, findings=1),
        registration=RigidRegistration(
            affine=(
                (1.0, 0.0, 0.0, 2.0),
                (0.0, 1.0, 0.0, -2.0),
                (0.0, 0.0, 1.0, 1.0),
                (0.0, 0.0, 0.0, 1.0),
            ),
            rotation_deg=0.0,
            shift_mm=3.0,
            overlap=0.97,
            agreement=0.4,
            least=0.1,
            images=("scan", "pseudo-healthy"),
        ),
        changes=(
            Change(
                number=1,
                kind="merged",
                before=(1, 2),
                after=(1,),
                before_ml=12.5,
                after_ml=18.0,
                change_ml=5.5,
                change_share=0.44,
                before_mm=31.5,
                after_mm=40.0,
                centre_mm=(-30.0, 10.0, 20.0),
                place="left frontal lobe",
                seen=1.0,
            ),
        ),
        tolerance=0.1,
        notes=("something to know",),
        software=SOFTWARE,
        command="anomap compare january june -o change",
    ),
    SeriesRecord: SeriesRecord(
        study_uid="1.2.3",
        series_uid="1.2.3.4",
        frame_of_reference_uid="1.2.3.5",
        modality="flair",
        series_description="t2_tirm_tra_dark-fluid",
        source="/data/study.zip",
        files=(
            SliceSource(path="a/IM0001", sop_instance_uid="1.2.3.4.1"),
            SliceSource(path="a/IM0002", sop_instance_uid="1.2.3.4.2", frame=7),
        ),
        fingerprint="ab" * 32,
        sha256="cd" * 32,
        notes=("2 files are there twice, one of each is used",),
    ),
    Summary: Summary(
        cohort="/data/cohort",
        n_cases=1,
        methods={"anomap": method_summary()},
        made_by=MadeBy(command="anomap evaluate out --labels cohort", software=SOFTWARE),
    ),
}

_FILE = {"path": "/data/p1.nii.gz", "channel": None, "bytes": 352, "modified_ns": 10**18}
_FORMER_PROVENANCE: dict[str, Any] = {
    "anomap": "0.1.0",
    "method": "anomap",
    "settings": {"draws": 1, "timesteps": [100, 300]},
    "seed": 0,
    "inputs": [_FILE],
    "modalities": ["flair"],
    "grid": {"size": 64, "spacing_mm": 3.25, "slice_spacing_mm": 3.25},
    "brain_extraction": False,
    "threshold": {"value": 1.5, "rule": "1 % of healthy voxels exceed it"},
    "min_component_ml": 0.5,
    "half_height": 0.5,
    "weights_sha256": "ab" * 32,
    "atlases_sha256": "cd" * 32,
}
_FORMER_SOFTWARE = {
    **{"anomap": "0.1.0", "commit": None, "python": "3.11.7", "torch": "2.13.0+cpu"},
    **{"monai": "1.6.1", "numpy": "2.4.6", "scipy": "1.17.1"},
}
FORMER_RESULT: dict[str, Any] = {
    "case": "p1",
    "method": "anomap",
    "score": 2.87,
    "p_value": 0.111,
    "healthy_cases": 8,
    "brain_ml": 1378.984,
    "anomalous_ml": 60.48,
    "threshold": {"value": 1.5, "rule": "1 % of healthy voxels exceed it"},
    "cut": 1.75,
    "evaluations_per_slice": 6,
    "seconds": 3.25,
    "slices": 40,
    "notes": [],
    "healthy_thresholds": {"0.1": 1.0, "0.01": 1.5},
    "inputs": {"flair": "/data/p1.nii.gz"},
    "provenance": _FORMER_PROVENANCE,
    "software": _FORMER_SOFTWARE,
    "command": "anomap detect p1.nii.gz -o out",
    "files": ["anomaly.nii.gz", "brain_mask.nii.gz", "mask.nii.gz", "pseudo_healthy.nii.gz"],
}
FORMER_FUSED: dict[str, Any] = FORMER_RESULT | {
    "method": "fused",
    "healthy_thresholds": None,
    "provenance": {
        "anomap": "0.1.0",
        "method": "fused",
        "settings": {"rule": "any", "false_positive_rate": 0.01},
        "inputs": [_FILE],
        "modalities": ["flair", "t1"],
        "half_height": 0.5,
        "min_component_ml": 0.5,
        "fused": [_FORMER_PROVENANCE, _FORMER_PROVENANCE | {"modalities": ["t1"]}],
    },
}
_MEAN = {"mean": 0.9, "ci95": [0.8, 1.0]}
_REGION = {"auroc": _MEAN, "sensitivity": {"mean": None, "ci95": None}}
FORMER: dict[type[FileRecord], dict[str, Any]] = {
    Calibration: {
        "methods": {
            "anomap": {
                "thresholds": {"0.1": 1.0, "0.01": 2},
                "left_out_rates": {"0.1": [0.05, 0.15], "0.01": [0.0, 0.02]},
                "scores": [2.5, 3.5],
            },
            "intensity": {"thresholds": {"0.1": 0.5}, "left_out_rates": {}},
        },
        "cases": ["c1", "c2"],
    },
    SyntheticCohort: {
        "arguments": {
            **{"source": "phantom", "modalities": ["flair"], "seed": 3},
            **{"spacing_mm": 4.0, "contrast": "mixed"},
        },
        "cases": {
            "phantom_h000": {
                **{"spacing_mm": 4.0, "age": 0.651, "ventricles_mm": -0.23},
                "scale": [0.912, 0.9, 0.915],
            },
        },
        "failed": {},
    },
    Curves: {
        "methods": {
            "anomap": {"fpr": [0.0, 1.0], "tpr": [0.5, 1.0], "recall": [], "precision": []},
        }
    },
    Datalist: {
        "training": [
            {
                "name": "c1",
                "subject": "s1",
                "image": {"flair": "c1.nii.gz"},
                "exclude": {"path": "c1_masks.nii.gz", "channel": 0},
                "healthy": None,
                "label_scheme": "auto",
            }
        ],
        "validation": [],
    },
    CaseResult: FORMER_RESULT,
    RunRecord: _FORMER_SOFTWARE,
    Findings: {"case": "p1"},
    Comparison: {
        "before": {"path": "/data/january/p1", "total_ml": 12.5, "findings": 1},
        "after": {"path": "/data/june/p1", "total_ml": 12.5, "findings": 1},
        "registration": {
            "affine": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
            **{"rotation_deg": 0.0, "shift_mm": 0.0, "overlap": 1.0, "agreement": 0.5},
            **{"least": 0.1, "images": ["scan", "scan"]},
        },
    },
    SeriesRecord: {
        "study_uid": "1.2.3",
        "series_uid": "1.2.3.4",
        "modality": "t1",
        "source": "/data/study",
        "files": [{"path": "IM0001", "sop_instance_uid": "1.2.3.4.1", "frame": None}],
    },
    Summary: {
        "cohort": "/data/cohort",
        "n_cases": 2,
        "methods": {
            "anomap": {
                **{name: _MEAN for name in ("auroc", "auprc", "dice_oracle", "dice_at_threshold")},
                "lesion_f1": {"mean": None, "ci95": None},
                "threshold": {"value": None, "rule": "differs between cases"},
                "image_auroc": 1.0,
                "image_auroc_ci95": None,
                "slice_auroc": None,
                "healthy_fp_ml": 3.5,
                "healthy_fp_ml_ci95": [3.0, 4.0],
                "pooled": {
                    **{"auroc": 0.9, "auprc": 0.8, "dice_oracle": 0.7, "threshold_oracle": 1.25},
                },
                "regions": {"whole_tumour": _REGION, "tumour_core": _REGION, "enhancing": _REGION},
                "by_size": {
                    "<10 mL": {
                        **{"n": 0, "dice_oracle": None, "dice_at_threshold": None, "auprc": None},
                    }
                },
                "n_healthy": 1,
                "n_tumour": 1,
                "failed": {"p2": "p2: no such file"},
                "evaluations_per_slice": 6.0,
                "seconds_per_case": None,
            }
        },
        "made_by": {"command": "anomap evaluate", "software": _FORMER_SOFTWARE},
    },
}
"""Shapes of release 0.1.0, which wrote no ``schema_version``."""
