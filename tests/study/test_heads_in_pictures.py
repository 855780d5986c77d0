"""JPEGs of heads with skull, as the web has them: from folders to scores, without a word of them.

Nothing is said but what the folders say: no modality, no mask, no label.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from picture_set import write_picture_set
from PIL import Image

from pipeline.cases.loop import QUIET
from pipeline.files.images.reading import read_mask, read_volume_or_zeros
from pipeline.files.record.result import CaseResult
from pipeline.report.page import write_report
from pipeline.study.benchmark import BenchmarkOptions, benchmark
from pipeline.study.detect import DetectOptions, detect
from pipeline.study.train import TrainOptions, train

SMALL = {
    **{"network": "tiny", "grid.size": 32, "grid.spacing_mm": 6.5, "grid.slice_spacing_mm": 6.5},
    **{"training.epochs": 1, "training.batch_size": 4},
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set")
    return write_picture_set(root, 48, n_brains=2, spacing_mm=4.0)


@pytest.fixture(scope="module")
def run(pictures: Path) -> Path:
    options = TrainOptions(preset="picture", settings=SMALL)
    done = train(pictures / "Training", pictures.parent / "run", options=options, execution=QUIET)
    assert done.failed == {}
    return done.path


@pytest.mark.slow
def test_folders_alone_give_an_auroc_per_image_beside_baselines(
    pictures: Path, run: Path, tmp_path: Path
) -> None:
    options = BenchmarkOptions(models=(run,), methods="anomap,intensity,blur_residual")
    compared = benchmark(pictures / "Testing", tmp_path, options=options, execution=QUIET)
    assert compared.failed == {}
    assert set(compared.summary.methods) == {"anomap", "intensity", "blur_residual"}
    for method in compared.summary.methods.values():
        assert method.n_healthy == 3
        assert method.n_tumour == method.n_image_level == 6
        assert method.image_auroc is not None
        assert method.image_auroc_ci95 is not None
        assert method.mean_of("auprc").mean is None
        assert method.healthy_fp_ml is None
    rows = list(csv.DictReader((tmp_path / "cases.csv").open()))
    assert len(rows) == 27
    assert {row["brain_ml"] for row in rows} == {""}
    assert "pixels" in write_report(tmp_path, execution=QUIET).path.read_text()


@pytest.mark.slow
def test_a_result_of_a_picture_speaks_of_pixels_and_is_a_picture_too(
    pictures: Path, run: Path, tmp_path: Path
) -> None:
    path = next((pictures / "Testing/glioma").iterdir())
    found = detect(path, tmp_path, options=DetectOptions(model=run), execution=QUIET)
    assert found.done == (path.stem,)
    folder = tmp_path / path.stem
    result = CaseResult.of(folder)
    assert result is not None
    head = read_mask(folder / "brain_mask.nii.gz").data
    assert result.brain_pixels == head.sum()
    assert result.anomalous_pixels == read_mask(folder / "mask.nii.gz").data.sum()
    assert result.brain_ml is None
    assert result.anomalous_ml is None
    assert "overlay.png" in result.file_names
    with Image.open(path) as picture, Image.open(folder / "overlay.png") as seen:
        assert seen.size == picture.size
        colours, grey = np.asarray(seen), np.asarray(picture.convert("L"))
    # Outside the head it is the picture itself, but for its brightness; inside there are colours.
    flat_head = head[:, :, 0].T[::-1]
    assert (np.ptp(colours[~flat_head].astype(int), axis=-1) <= 1).mean() > 0.99
    assert np.corrcoef(colours[..., 0][~flat_head], grey[~flat_head])[0, 1] > 0.9
    assert np.ptp(colours[flat_head].astype(int), axis=-1).max() > 30
    json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_banners_and_white_edges_are_never_where_the_map_is_highest(
    pictures: Path, run: Path, tmp_path: Path
) -> None:
    found = detect(
        pictures / "Testing", tmp_path, options=DetectOptions(model=run), execution=QUIET
    )
    assert len(found.done) == 9
    for name in found.done:
        path = next((pictures / "Testing").rglob(f"{name}.jpg"))
        grey = np.asarray(Image.open(path).convert("L"))
        values = read_volume_or_zeros(tmp_path / name / "anomaly.nii.gz").data[:, :, 0].T[::-1]
        n = max(2, round(0.01 * max(grey.shape)))
        rim = np.ones(grey.shape, bool)
        rim[n:-n, n:-n] = False
        assert values[rim & (grey > 200)].max(initial=0) == 0
