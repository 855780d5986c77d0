"""Views: which volumes of a case are shown, and on what scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from brains import centred_affine
from small_benchmark import THRESHOLD

from pipeline.errors import InputError
from pipeline.files.images.nifti import write_volume
from pipeline.files.record.result import CaseResult
from pipeline.report.results import read_results
from pipeline.report.viewer import MAX_TOP, map_top, view_case, view_map


def test_labels_can_be_named_where_the_folder_does_not_say_them(benchmarked: Path) -> None:
    results = read_results(benchmarked / "maps/anomap", labels=benchmarked / "datalist.json")
    name = "ill2"
    view = view_case(results.maps["anomap"] / name, results.results[name], results.cases[name])
    assert [layer.kind for layer in view.layers] == ["image", "restored", "map", "mask", "label"]
    assert view.lesion_mm is not None
    assert np.linalg.norm(np.subtract(view.lesion_mm, [20.0, 10.0, 30.0])) < 6.0


def test_an_image_that_is_gone_is_a_note_and_not_a_failure(benchmarked: Path) -> None:
    results = read_results(benchmarked)
    folder = results.maps["anomap"] / "ill2"
    gone = results.results["ill2"].model_copy(update={"inputs": {"flair": "/gone.nii.gz"}})
    view = view_case(folder, gone)
    assert view.layers[0].kind == "restored"
    assert any("/gone.nii.gz" in note for note in view.notes)


def test_one_glaring_case_does_not_darken_the_others(benchmarked: Path, tmp_path: Path) -> None:
    affine, shape = centred_affine(np.diag([4.0, 4.0, 4.0]))
    glaring = np.full(shape, 100.0, dtype=np.float32)
    write_volume(tmp_path / "anomaly.nii.gz", glaring, affine)
    folders = [benchmarked / "maps/anomap/ill2", tmp_path]
    assert map_top(folders) == 100.0
    assert map_top(folders, THRESHOLD) == MAX_TOP * THRESHOLD
    assert map_top(folders[:1], THRESHOLD) == map_top(folders[:1]) < MAX_TOP * THRESHOLD


def test_a_map_that_cannot_be_read_has_no_part_in_the_scale(
    benchmarked: Path, tmp_path: Path
) -> None:
    (tmp_path / "anomaly.nii.gz").write_bytes(b"torn")
    shown = benchmarked / "maps/anomap/ill2"
    assert map_top([tmp_path, shown]) == map_top([shown])
    with pytest.raises(InputError, match=r"anomaly.nii.gz"):
        view_map(tmp_path, CaseResult(), "anomap", top=1.0)


def test_volumes_on_another_grid_are_notes(own_copy: Path) -> None:
    folder = own_copy / "maps/anomap/ill2"
    result = CaseResult.of(folder)
    assert result is not None
    affine, shape = centred_affine(np.diag([4.0, 4.0, 4.0]))
    write_volume(folder / "mask.nii.gz", np.ones(shape, bool), affine + np.eye(4))
    write_volume(folder / "pseudo_healthy.nii.gz", np.ones((3, 3, 3), np.float32), affine)
    view = view_case(folder, result)
    assert [layer.kind for layer in view.layers] == ["image", "map"]
    assert view.notes == (
        "The pseudo-healthy image is not shown: it lies on another grid than the map.",
        "mask.nii.gz is not shown: it lies on another grid than the map.",
    )
