"""The commands on small phantoms, from nothing to a table; and what they say to bad input."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.files.record.calibration import LEAST_FOR_P
from pipeline.run.atlases import load_atlases
from pipeline.run.model import load_model

MICRO = [
    *("--set", "grid.size=32", "--set", "grid.spacing_mm=6.5", "--set", "grid.slice_spacing_mm=8"),
    *("--set", "training.slices_per_epoch=32", "--set", "training.batch_size=8"),
    *("--set", "detection.draws=1", "--set", "detection.timesteps=[100, 200]"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom cohort of 4 mm and a model of a few steps."""
    root = tmp_path_factory.mktemp("world")
    cohort = ["phantom", root / "train", "--healthy", 5, "--tumour", 0, "--spacing", 4]
    assert _anomap(*cohort, "--modality", "flair", "--seed", 1) == 0
    test = ["phantom", root / "test", "--healthy", 1, "--tumour", 2, "--spacing", 4]
    assert _anomap(*test, "--modality", "flair", "--seed", 2) == 0
    run = ["train", root / "train", "--modality", "flair", "-o", root / "run", "--epochs", 2]
    assert _anomap(*run, *MICRO) == 0
    return root


def _anomap(*words: object) -> int:
    return main([*map(str, words), "--quiet", "--device", "cpu"])


def _detect(world: Path, out: Path, *inputs: object) -> int:
    words = ["--model", world / "run", "-o", out, "--brain-extraction", "none"]
    return _anomap("detect", *inputs, *words)


def test_a_run_folder_is_complete(world: Path) -> None:
    names = {path.name for path in (world / "run").iterdir()}
    wanted = {"config.yaml", "model.pt", "last.pt", "calibration.json", "loss.csv", "tensorboard"}
    assert wanted <= names


def test_detection_leaves_maps_on_the_grid_of_the_scan(world: Path, tmp_path: Path) -> None:
    assert _detect(world, tmp_path, world / "test") == 0
    source = nib.load(world / "test/tumour/phantom_t000/phantom_t000_flair.nii.gz")
    folder = tmp_path / "phantom_t000"
    volumes = {
        name: nib.load(folder / f"{name}.nii.gz")
        for name in ("anomaly", "mask", "pseudo_healthy", "brain_mask")
    }
    for volume in volumes.values():
        assert volume.shape == source.shape
        np.testing.assert_allclose(volume.affine, source.affine, atol=1e-4)
    anomaly_map, mask, pseudo, brain = (np.asarray(v.dataobj) for v in volumes.values())
    outside = brain == 0
    assert anomaly_map.min() >= 0
    assert (anomaly_map[outside] == 0).all()
    assert (pseudo[outside] == 0).all()
    np.testing.assert_array_equal(outside, np.asarray(source.dataobj) == 0)
    result = json.loads((folder / "result.json").read_text())
    above = anomaly_map > result["threshold"]["value"]
    assert (above | (mask == 0)).all()
    voxel_ml = abs(np.linalg.det(source.affine[:3, :3])) / 1000
    assert result["anomalous_ml"] == pytest.approx(mask.sum() * voxel_ml, abs=1e-3)
    assert result["evaluations_per_slice"] == 2
    healthy = json.loads((world / "run/calibration.json").read_text())["methods"]["anomap"][
        "scores"
    ]
    assert len(healthy) == result["healthy_cases"] > 0
    as_high = sum(score >= result["score"] for score in healthy)
    assert result["p_value"] is None  # from so few people none would say anything
    assert as_high <= len(healthy) < LEAST_FOR_P


def test_a_result_does_not_depend_on_what_else_is_detected(world: Path, tmp_path: Path) -> None:
    assert _detect(world, tmp_path / "all", world / "test") == 0
    one = world / "test/tumour/phantom_t001"
    assert _detect(world, tmp_path / "one", one) == 0
    maps = [
        np.asarray(nib.load(tmp_path / name / "phantom_t001/anomaly.nii.gz").dataobj)
        for name in ("all", "one")
    ]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-6)


def test_finished_cases_are_not_done_again(world: Path, tmp_path: Path) -> None:
    scan = world / "test/tumour/phantom_t000/phantom_t000_flair.nii.gz"
    assert _detect(world, tmp_path, scan) == 0
    before = (tmp_path / "phantom_t000/anomaly.nii.gz").stat().st_mtime_ns
    assert _detect(world, tmp_path, scan) == 0
    assert (tmp_path / "phantom_t000/anomaly.nii.gz").stat().st_mtime_ns == before
    assert _anomap("detect", scan, "--model", world / "run", "-o", tmp_path, "--overwrite") == 0
    assert (tmp_path / "phantom_t000/anomaly.nii.gz").stat().st_mtime_ns > before


def test_a_run_holds_what_healthy_brains_show_and_makes_it_anew_if_it_is_gone(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(world / "run", run)
    datalist = json.loads((run / "datalist.json").read_text())
    assert set(load_model(run).atlases) == {"intensity", "residual"}
    assert load_atlases(run / "atlases.npz", "another run") == {}
    with np.load(run / "atlases.npz") as stored:
        atlases = load_atlases(run / "atlases.npz", str(stored["made_for"]))
    assert atlases["intensity"].n_cases == len(datalist["training"])
    assert set(atlases) == {"intensity", "residual"}
    (run / "atlases.npz").unlink()
    scan = world / "test/tumour/phantom_t000/phantom_t000_flair.nii.gz"
    assert _anomap("detect", scan, "--model", run, "-o", tmp_path / "out") == 2
    assert "no atlas of the intensity and residual" in capsys.readouterr().err
    train = ["train", world / "train", "--modality", "flair", "-o", run, "--epochs", 2]
    assert _anomap(*train, *MICRO, "--resume") == 0
    assert _anomap("detect", scan, "--model", run, "-o", tmp_path / "out") == 0
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(
        config.replace("coherent_noise: false", "coherent_noise: true")
    )
    assert _anomap("detect", scan, "--model", run, "-o", tmp_path / "other") == 2
    assert "for these weights and this recipe" in capsys.readouterr().err
    (run / "config.yaml").write_text(config)
    (run / "atlases.npz").write_bytes(b"torn")
    assert _anomap("detect", scan, "--model", run, "-o", tmp_path / "out") == 2
    assert "atlases.npz: not the atlases of a run" in capsys.readouterr().err


def test_evaluation_and_benchmark_agree(world: Path, tmp_path: Path) -> None:
    assert _detect(world, tmp_path / "out", world / "test") == 0
    assert _anomap("evaluate", tmp_path / "out", "--labels", world / "test") == 0
    bench = ["benchmark", world / "test", "--modality", "flair", "--model", world / "run"]
    assert _anomap(*bench, "-o", tmp_path / "bench") == 0
    alone = json.loads((tmp_path / "out/summary.json").read_text())["methods"]["anomap"]
    summary = json.loads((tmp_path / "bench/summary.json").read_text())
    beside = summary["methods"]["anomap"]
    for key in ("auroc", "auprc", "dice_oracle", "dice_at_threshold", "healthy_fp_ml"):
        assert alone[key] == beside[key], key
    assert summary["n_cases"] == 3
    assert set(summary["methods"]) == {
        *("anomap", "no_network", "intensity", "intensity_dark", "blur_residual"),
        "lesion_network",
        *("brain_damage", "normative", "atlas_ssim"),
    }
    assert set(summary["differences"]) == set(summary["methods"]) - {summary["compared_with"]}
    for name in ("table.md", "table.csv", "cases.csv", "cases.png", "cases.pdf"):
        assert (tmp_path / "bench" / name).stat().st_size > 0


def test_tumours_are_inserted_into_held_out_brains(world: Path, tmp_path: Path) -> None:
    words = ["phantom", tmp_path, "--on", world / "run/datalist.json", "--section", "validation"]
    assert _anomap(*words, "--modality", "flair") == 0
    names = sorted(path.name for path in (tmp_path / "tumour").iterdir())
    datalist = json.loads((world / "run/datalist.json").read_text())
    assert len(names) == len(datalist["validation"])
    healthy = next((tmp_path / "healthy").rglob("*_flair.nii.gz"))
    ill = next((tmp_path / "tumour").rglob("*_flair.nii.gz"))
    label = np.asarray(nib.load(next((tmp_path / "tumour").rglob("*_seg.nii.gz"))).dataobj)
    changed = nib.load(healthy).get_fdata() != nib.load(ill).get_fdata()
    assert changed[label > 0].mean() > 0.9


# --- bad input ---------------------------------------------------------------------------------


def _in_air(data: np.ndarray) -> np.ndarray:
    """An image that is nowhere of one value, as no brain extraction leaves it."""
    return np.asarray(data + 5 + np.indices(data.shape).sum(0) % 7, dtype=np.float32)


def _break(kind: str, scan: Path, folder: Path) -> Path:
    """A broken copy of a scan."""
    path = folder / f"{kind}_flair.nii.gz"
    image = nib.load(scan)
    data, affine = np.asarray(image.dataobj, dtype=np.float32), image.affine
    if kind == "truncated":
        path.write_bytes(scan.read_bytes()[: scan.stat().st_size // 2])
    elif kind == "text":
        path.write_bytes(gzip.compress(b"this is no image" * 99))
    elif kind == "four":
        nib.save(nib.Nifti1Image(np.stack([data, data], -1), affine), path)
    elif kind == "nan":
        data[tuple(np.array(data.shape) // 2)] = np.nan
        nib.save(nib.Nifti1Image(data, affine), path)
    elif kind == "constant":
        nib.save(nib.Nifti1Image(np.full_like(data, 7), affine), path)
    elif kind == "skull":
        nib.save(nib.Nifti1Image(_in_air(data), affine), path)
    elif kind == "speck":
        data[:] = 0
        data[30:33, 30:33, 20:22] = [[[1, 2]]]
        nib.save(nib.Nifti1Image(data, affine), path)
    return path


BAD = {
    "truncated": "cut short",
    "text": "cannot be read as NIfTI",
    "four": "3-D",
    "nan": "NaN",
    "constant": "every voxel is 7",
    "skull": "not skull-stripped",
    "speck": "mL are brain",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_scan_fails_alone_with_one_clear_line(
    kind: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = world / "test/tumour/phantom_t000/phantom_t000_flair.nii.gz"
    inputs = tmp_path / "in"
    inputs.mkdir()
    shutil.copy(good, inputs / "good_flair.nii.gz")
    bad = _break(kind, good, inputs)
    assert _detect(world, tmp_path / "out", inputs) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if BAD[kind] in line]
    assert lines
    assert bad.name in lines[-1]
    assert (tmp_path / "out/good/anomaly.nii.gz").is_file()
    assert not (tmp_path / f"out/{kind}/anomaly.nii.gz").exists()
    assert "Traceback" not in "".join(lines)


def test_a_bad_path_does_not_stop_the_others(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = world / "test/tumour/phantom_t000/phantom_t000_flair.nii.gz"
    assert _detect(world, tmp_path / "out", tmp_path / "nope.nii.gz", good) == 1
    assert "nope.nii.gz" in capsys.readouterr().err
    assert (tmp_path / "out/phantom_t000/anomaly.nii.gz").is_file()


def test_a_case_without_the_modality_is_reported(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort = tmp_path / "cohort"
    shutil.copytree(world / "test", cohort)
    scan = cohort / "tumour/phantom_t000/phantom_t000_flair.nii.gz"
    scan.rename(scan.with_name("phantom_t000_t1.nii.gz"))
    assert _detect(world, tmp_path / "out", cohort) == 1
    assert "flair is missing" in capsys.readouterr().err


def test_a_result_of_other_input_is_never_taken_for_this_one(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [world / f"test/tumour/phantom_t00{i}/phantom_t00{i}_flair.nii.gz" for i in (0, 1)]
    for i, scan in enumerate(scans):
        (tmp_path / f"patient{i}").mkdir()
        shutil.copy(scan, tmp_path / f"patient{i}/scan_flair.nii.gz")
    out = tmp_path / "out"
    assert _detect(world, out, tmp_path / "patient0/scan_flair.nii.gz") == 0
    assert _detect(world, out, tmp_path / "patient1/scan_flair.nii.gz") == 1
    assert "--overwrite" in capsys.readouterr().err
    (out / "scan/anomaly.nii.gz").unlink()
    assert _detect(world, out, tmp_path / "patient0/scan_flair.nii.gz") == 0
    assert (out / "scan/anomaly.nii.gz").is_file()


def test_a_mask_beside_a_single_scan_is_used(world: Path, tmp_path: Path) -> None:
    image = nib.load(world / "test/tumour/phantom_t000/phantom_t000_flair.nii.gz")
    data = np.asarray(image.dataobj, dtype=np.float32)
    scan = tmp_path / "head_flair.nii.gz"
    nib.save(nib.Nifti1Image(_in_air(data), image.affine), scan)
    assert _detect(world, tmp_path / "out", scan) == 1
    mask = nib.Nifti1Image((data > 0).astype(np.uint8), image.affine)
    nib.save(mask, tmp_path / "head_brain_mask.nii.gz")
    assert _detect(world, tmp_path / "out", scan) == 0


def test_tumours_are_not_put_into_people_the_model_knows(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["phantom", tmp_path / "a", "--on", world / "run/datalist.json"]
    assert _anomap(*words, "--modality", "flair") == 2
    assert "--section" in capsys.readouterr().err
    ill = ["phantom", tmp_path / "b", "--on", world / "test/tumour", "--modality", "flair"]
    assert _anomap(*ill) == 2
    assert "of 2 cases none" in capsys.readouterr().err


def test_a_benchmark_on_training_cases_is_warned_of(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["benchmark", world / "train", "--modality", "flair", "--model", world / "run"]
    assert _anomap(*words, "--methods", "intensity", "-o", tmp_path) == 0
    assert "5 of 5 cases were used to train" in capsys.readouterr().err


def test_a_run_is_not_resumed_on_other_people(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "run", tmp_path / "run")
    (tmp_path / "run/calibration.json").unlink()
    words = ["train", world / "train", "--modality", "flair", "-o", tmp_path / "run", "--resume"]
    assert _anomap(*words, "--epochs", 2, *MICRO, "--leave-out", "phantom_h000") == 2
    assert "others" in capsys.readouterr().err
    assert _anomap(*words, "--epochs", 3, *MICRO) == 2
    assert "training.epochs (2, now 3)" in capsys.readouterr().err
    assert _anomap(*words, "--epochs", 2, *MICRO) == 0


def test_a_method_without_a_threshold_is_scored_without_one(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "run", tmp_path / "run")
    path = tmp_path / "run/calibration.json"
    tree = json.loads(path.read_text())
    del tree["methods"]["intensity"]
    path.write_text(json.dumps(tree))
    (tmp_path / "run/datalist.json").unlink()
    (tmp_path / "run/run.json").unlink()  # it knows the thresholds as they were
    words = ["benchmark", world / "test", "--modality", "flair", "--model", tmp_path / "run"]
    assert _anomap(*words, "--methods", "intensity", "-o", tmp_path / "out") == 0
    entry = json.loads((tmp_path / "out/summary.json").read_text())["methods"]["intensity"]
    assert entry["threshold"]["value"] is None
    assert entry["dice_at_threshold"]["mean"] is None
    assert entry["auroc"]["mean"] > 0.5


def test_a_label_on_another_grid_is_reported(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort = tmp_path / "cohort"
    shutil.copytree(world / "test", cohort)
    path = cohort / "tumour/phantom_t000/phantom_t000_seg.nii.gz"
    label = np.asarray(nib.load(path).dataobj)
    nib.save(nib.Nifti1Image(label[:-1], nib.load(path).affine), path)
    assert _detect(world, tmp_path / "out", cohort) == 0
    assert _anomap("evaluate", tmp_path / "out", "--labels", cohort) == 1
    error = capsys.readouterr().err
    assert "phantom_t000_seg.nii.gz" in error
    assert json.loads((tmp_path / "out/summary.json").read_text())["n_cases"] == 2


def test_a_label_value_nobody_knows_is_reported(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort = tmp_path / "cohort"
    shutil.copytree(world / "test", cohort)
    path = cohort / "tumour/phantom_t000/phantom_t000_seg.nii.gz"
    label = np.asarray(nib.load(path).dataobj).copy()
    label[label == 2] = 9
    nib.save(nib.Nifti1Image(label, nib.load(path).affine), path)
    assert _detect(world, tmp_path / "out", cohort) == 0
    assert _anomap("evaluate", tmp_path / "out", "--labels", cohort) == 1
    assert "9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "{test}/tumour", "--modality", "flair", "-o", "{out}"], "of 2 cases none"),
        (["train", "{test}", "--modality", "t2", "-o", "{out}"], "t2"),
        (["train", "{test}", "--modality", "flair", "-o", "{out}", "--set", "a.b=1"], "a.b"),
        (["detect", "{test}", "--model", "{test}", "-o", "{out}"], "not a run"),
        (["detect", "/nope", "--model", "{run}", "-o", "{out}"], "/nope"),
        (["detect", "{test}", "--model", "{run}", "-o", "{file}"], "cannot be written"),
        (["evaluate", "/nope", "--labels", "{test}"], "/nope"),
        (["benchmark", "{test}", "--modality", "t1", "--model", "{run}", "-o", "{out}"], "trained"),
        (
            [
                *("benchmark", "{test}", "--modality", "flair", "--model", "{run}"),
                *("-o", "{out}", "--methods", "magic"),
            ],
            "magic",
        ),
        (["phantom", "{out}", "--modality", "pet"], "pet"),
        (["phantom", "{out}", "--modality", "flair", "--healthy", "-1"], "-1"),
        (["cases", "{test}", "--modality", "flai"], "flai"),
        (["cases", "{test}", "--leave-out", "nobody"], "nobody"),
        (["evaluate", "{test}", "--labels", "{test}", "--threshold", "nan"], "nan"),
        (["cases", "{run}/model.pt"], "model.pt"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    words: list[str], said: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    places = {
        "test": world / "test",
        "run": world / "run",
        "out": tmp_path / "out",
        "file": tmp_path / "file",
    }
    assert _anomap(*[word.format(**places) for word in words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert said in error[-1]
    assert "Traceback" not in error[-1]
    assert "error of our own" not in error[-1]


def test_torn_weights_are_named(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "run", tmp_path / "run")
    (tmp_path / "run/model.pt").write_bytes(b"torn")
    assert _anomap("detect", world / "test", "--model", tmp_path / "run", "-o", tmp_path) == 2
    assert "model.pt" in capsys.readouterr().err


def test_pictures_of_slices_go_the_same_way(world: Path, tmp_path: Path) -> None:
    from PIL import Image

    scan = nib.load(world / "test/tumour/phantom_t000/phantom_t000_flair.nii.gz")
    data = np.asarray(scan.dataobj, dtype=np.float32)
    middle = data[:, :, data.shape[2] // 2].T
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray((255 * middle / middle.max()).astype(np.uint8)).save(folder / "a.png")
    assert _detect(world, tmp_path / "out", folder) == 0
    shape = nib.load(tmp_path / "out/a/anomaly.nii.gz").shape
    assert shape[:2] == (middle.shape[1], middle.shape[0])
