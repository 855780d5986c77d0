"""Pictures of which a folder alone says what they show: from a listing to tables and pages."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from drawn import texts
from pictures import draw_cohort

from pipeline.cases.loop import QUIET
from pipeline.cases.several import Selection, find_all
from pipeline.errors import InputError
from pipeline.figures.scores import score_bars
from pipeline.files.record.summary import Summary
from pipeline.report.page import write_report
from pipeline.study.benchmark import BenchmarkOptions, benchmark
from pipeline.study.detect import DetectOptions, detect
from pipeline.study.evaluate import evaluate
from pipeline.study.train import TrainOptions, train

PICTURES = Selection(modalities=("image",))
SMALL = {
    **{"grid.size": 32, "grid.spacing_mm": 6.5, "detection.draws": 1},
    **{"detection.timesteps": [300], "training.slices_per_epoch": 8, "training.batch_size": 4},
    **{"training.epochs": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on pictures whose names say no modality."""
    folder = tmp_path_factory.mktemp("pictures")
    options = TrainOptions(settings=SMALL)
    data = draw_cohort(folder / "data", 5)
    done = train(data, folder / "run", options=options, selection=PICTURES, execution=QUIET)
    assert done.failed == {}
    assert [case.images.keys() for case in find_all(data, PICTURES).cases] == [{"image"}] * 5
    return done.path


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "cases.csv").open() as handle:
        return {row["case"]: row for row in csv.DictReader(handle)}


def test_pictures_without_any_mask_are_told_apart_as_a_whole(run: Path, tmp_path: Path) -> None:
    data, out = draw_cohort(tmp_path / "data", 3, 4), tmp_path / "out"
    options = BenchmarkOptions(models=(run,), methods="intensity,anomap")
    compared = benchmark(data, out, options=options, selection=PICTURES, execution=QUIET)
    assert compared.failed == {}
    assert compared.pictures is not None
    method = compared.summary.methods["intensity"]
    assert (method.n_healthy, method.n_tumour, method.n_image_level) == (3, 4, 4)
    assert method.image_auroc == 1
    assert method.image_auroc_ci95 == (1, 1)
    for metric in ("auroc", "auprc", "dice_oracle", "dice_at_threshold", "lesion_sensitivity"):
        assert method.mean_of(metric).mean is None
    assert method.pooled.auprc is None
    assert method.healthy_fp_ml is None  # a picture has no millilitres
    assert method.mean_of("healthy_fp_rate").mean is not None
    assert rows(out)["g0"]["healthy"] == rows(out)["g0"]["marked"] == "False"
    assert rows(out)["g0"]["dice_oracle"] == rows(out)["g0"]["lesion_ml"] == ""
    table = (out / "table.md").read_text()
    assert "| 1.000 [1.000, 1.000] |" in table
    assert "4 cases that are not healthy, 4 of them without a lesion label, against 3" in table
    page = write_report(out, execution=QUIET).path.read_text()
    assert "ROC of whole images" in page
    assert "against 3 healthy ones" in page
    shown = texts(score_bars(compared.summary))
    assert "4 images not healthy, 3 healthy; 95 % interval" in shown
    assert "AUPRC" not in shown


def test_each_number_is_of_the_cases_that_it_can_be_of(run: Path, tmp_path: Path) -> None:
    """Two of three have a mask."""
    data, out = draw_cohort(tmp_path / "data", 2, 3, n_marked=2), tmp_path / "out"
    detected = detect(data, out, options=DetectOptions(model=run), execution=QUIET)
    assert detected.failed == {}
    scored = evaluate(out, data, execution=QUIET)
    assert scored.failed == {}
    method = scored.summary.methods["anomap"]
    assert (method.n_healthy, method.n_tumour, method.n_image_level) == (2, 3, 1)
    dices = [float(rows(out)[name]["dice_oracle"]) for name in ("g0", "g1")]
    assert method.mean_of("dice_oracle").mean == pytest.approx(sum(dices) / 2, abs=1e-5)
    assert sum(stratum.n for stratum in method.by_size.values()) == 0
    assert method.image_auroc is not None
    marked = {name: row["marked"] for name, row in rows(out).items()}
    assert marked == {"g0": "True", "g1": "True", "g2": "False", "h0": "True", "h1": "True"}
    assert Summary.of(out) == scored.summary
    shown = texts(score_bars(scored.summary))
    assert "mean of 2 cases with a tumour; 95 % interval" in shown
    assert "3 images not healthy, 2 healthy; 95 % interval" in shown
    assert "1 of them without" in (out / "table.md").read_text()
    assert "Dice: 2 cases with a label" in (out / "table.md").read_text()


def test_a_picture_of_which_nothing_is_said_is_named_and_the_others_are_scored(
    run: Path, tmp_path: Path
) -> None:
    data = draw_cohort(tmp_path / "data", 2, 2)
    (data / "unsorted").mkdir()
    (data / "glioma/g1.png").rename(data / "unsorted/g1.png")
    options = BenchmarkOptions(models=(run,), methods="intensity")
    compared = benchmark(data, tmp_path / "o", options=options, selection=PICTURES, execution=QUIET)
    assert list(compared.failed) == ["g1"]
    assert "nothing says whether the case is healthy" in compared.failed["g1"]
    assert compared.summary.n_cases == 3


def test_a_modality_that_nobody_knows_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="image for pictures whose names say none"):
        find_all(draw_cohort(tmp_path, 1), Selection(modalities=("photo",)))
