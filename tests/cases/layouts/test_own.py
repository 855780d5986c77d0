"""Results of ours among scans."""

from __future__ import annotations

from pathlib import Path

from cohorts import dump, reasons, touch

from pipeline.cases.find import find_cases
from pipeline.cases.layouts.own import OWN_RESULT

MAPS = ("anomaly", "mask", "brain_mask", "pseudo_healthy")


def left(tmp_path: Path, **asked: object) -> tuple[list[str], set[str]]:
    cohort = find_cases(tmp_path, **asked)
    ours = {name for name, why in reasons(cohort).items() if why == OWN_RESULT}
    return [case.name for case in cohort.cases], ours


def test_results_are_no_scans_with_their_record_and_without(tmp_path: Path) -> None:
    touch(tmp_path, "scan1.nii.gz")
    for folder in ("out/scan1", "copy/maps/anomap/scan1", "killed/scan1"):
        touch(tmp_path, *(f"{folder}/{name}.nii.gz" for name in MAPS))
        if folder != "killed/scan1":
            dump(tmp_path / folder / "result.json", {})
    names, ours = left(tmp_path, modalities=["flair"])
    assert names == ["scan1"]
    assert len(ours) == 12


def test_restored_images_of_several_modalities_are_no_scans(tmp_path: Path) -> None:
    touch(tmp_path, "P1/flair.nii.gz", "P1/t1.nii.gz", "out/P1/pseudo_healthy_flair.nii.gz")
    touch(tmp_path, "out/P1/pseudo_healthy_t1.nii.gz", "P1_flair_anomaly.nii.gz")
    assert left(tmp_path) == (
        ["P1"],
        {
            *("out/P1/pseudo_healthy_flair.nii.gz", "out/P1/pseudo_healthy_t1.nii.gz"),
            "P1_flair_anomaly.nii.gz",
        },
    )


def test_beside_a_result_a_mask_that_it_does_not_name_is_the_users(tmp_path: Path) -> None:
    touch(tmp_path, "P1/flair.nii.gz", "P1/anomaly.nii.gz", "P1/brain_mask.nii.gz")
    dump(tmp_path / "P1/result.json", {"files": ["anomaly.nii.gz"]})
    (case,) = find_cases(tmp_path).cases
    assert case.brain_mask is not None
    dump(tmp_path / "P1/result.json", {"files": ["anomaly.nii.gz", "brain_mask.nii.gz"]})
    (case,) = find_cases(tmp_path).cases
    assert case.brain_mask is None


def test_pictures_of_runs_benchmarks_and_figures_are_no_scans(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "loss.png", "run/loss.png", "run/config.yaml", "bench/cases.png")
    touch(tmp_path, "bench/summary.json", "figures/x_bars.png", "figures/b.png")
    (tmp_path / "figures/captions.md").write_text("## x_bars\n\n![x_bars](x_bars.png)\n")
    names, ours = left(tmp_path)
    assert names == ["a", "b", "loss"]
    assert ours == {"run/loss.png", "bench/cases.png", "figures/x_bars.png"}
