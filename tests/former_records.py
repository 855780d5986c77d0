"""Records as the first versions wrote them: the same keys as today, and no version."""

from __future__ import annotations

from typing import Any

SOFTWARE = {"anomap": "0.1.0", "commit": "5478ab1", "python": "3.11.9", "torch": "2.6.0"}
SOFTWARE |= {"monai": "1.6.0", "numpy": "2.2.0", "scipy": "1.15.0"}


def result(**changed: Any) -> dict[str, Any]:
    """``result.json`` of one case."""
    threshold = {"value": 0.5, "rule": "1 % of healthy brain"}
    return {
        "case": "case0",
        "method": "anomap",
        "score": 1.0,
        "p_value": 0.25,
        "healthy_cases": 3,
        "brain_ml": 100.0,
        "anomalous_ml": 3.25,
        "threshold": threshold,
        "cut": 0.6,
        "evaluations_per_slice": 3,
        "seconds": 2.5,
        "slices": 10,
        "notes": ["a note"],
        "healthy_thresholds": {"0.01": 0.5},
        "inputs": {"flair": "/data/case0_flair.nii.gz"},
        "provenance": {
            "anomap": "0.1.0",
            "method": "anomap",
            "settings": {"draws": 4, "timesteps": [100, 300]},
            "seed": 7,
            "inputs": [
                {
                    "path": "/data/case0_flair.nii.gz",
                    "channel": None,
                    "bytes": 1000,
                    "modified_ns": 1700000000000000000,
                }
            ],
            "modalities": ["flair"],
            "grid": {"size": 128, "spacing_mm": 1.7, "slice_spacing_mm": 4.0},
            "brain_extraction": False,
            "threshold": threshold,
            "min_component_ml": 0.5,
            "half_height": 0.4,
            "weights_sha256": "ab" * 32,
            "atlases_sha256": None,
        },
        "software": SOFTWARE,
        "command": "anomap detect data -o out",
        "files": ["anomaly.nii.gz", "brain_mask.nii.gz", "mask.nii.gz"],
    } | changed


def mean(value: float | None, *ends: float) -> dict[str, Any]:
    """A mean over cases with its interval."""
    return {"mean": value, "ci95": list(ends) or None}


def method(**changed: Any) -> dict[str, Any]:
    """One method in ``summary.json``."""
    return {
        "auroc": mean(0.97, 0.95, 0.99),
        "auprc": mean(0.6, 0.5, 0.7),
        "dice_oracle": mean(0.55, 0.5, 0.6),
        "dice_at_threshold": mean(0.4, 0.3, 0.5),
        "sensitivity": mean(0.7, 0.6, 0.8),
        "specificity": mean(0.99, 0.98, 1.0),
        "precision": mean(0.5, 0.4, 0.6),
        "lesion_sensitivity": mean(1.0, 1.0, 1.0),
        "lesion_f1": mean(0.5, 0.4, 0.6),
        "false_findings": mean(1.5, 1.0, 2.0),
        "healthy_fp_rate": mean(None),
        "tumour_fp_ml": mean(4.0, 3.0, 5.0),
        "threshold": {"value": 0.5, "rule": "1 % of healthy brain"},
        "image_auroc": None,
        "image_auroc_ci95": None,
        "slice_auroc": 0.9,
        "healthy_fp_ml": None,
        "healthy_fp_ml_ci95": None,
        "pooled": {
            "auroc": 0.96,
            "auprc": 0.5,
            "dice_oracle": 0.5,
            "threshold_oracle": 0.6,
        },
        "regions": {
            region: {"auroc": mean(0.9, 0.8, 1.0), "sensitivity": mean(0.7, 0.6, 0.8)}
            for region in ("whole_tumour", "tumour_core", "enhancing")
        },
        "by_size": {
            "<10 mL": {"n": 2, "dice_oracle": 0.5, "dice_at_threshold": 0.3, "auprc": 0.5},
            "10-50 mL": {"n": 3, "dice_oracle": 0.6, "dice_at_threshold": 0.5, "auprc": 0.7},
            ">50 mL": {"n": 0, "dice_oracle": None, "dice_at_threshold": None, "auprc": None},
        },
        "n_healthy": 0,
        "n_tumour": 5,
        "failed": {"case7": "no such map"},
        "evaluations_per_slice": 3,
        "seconds_per_case": 2.5,
    } | changed


def summary(**methods: dict[str, Any]) -> dict[str, Any]:
    """``summary.json``; of one method if none is given."""
    return {
        "cohort": "brains",
        "n_cases": 5,
        "methods": methods or {"anomap": method()},
        "made_by": {"command": "anomap evaluate out --labels data", "software": SOFTWARE},
    }


def curves() -> dict[str, Any]:
    """``curves.json`` of one method."""
    curve = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "recall": [0.5, 1.0], "precision": [1.0, 0.5]}
    return {"methods": {"anomap": curve}}
