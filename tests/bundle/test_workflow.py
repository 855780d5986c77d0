"""The configs of the bundle, run by MONAI: they do what the commands of anomap do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.inferers import DiffusionInferer

import pipeline.bundle.workflow
from pipeline.bundle import startup
from pipeline.bundle.export import export
from pipeline.bundle.workflow import (
    complete,
    healthy_cases,
    run_config,
    trainer,
    training_data,
)
from pipeline.cli.main import main
from pipeline.errors import InputError, reason_of, user_error
from pipeline.files.images.nifti import write_volume
from pipeline.files.record.datalist import Datalist
from pipeline.run.model import load_model, make_scheduler
from pipeline.run.settings import load_config
from pipeline.training import distributed

MICRO = {"training.slices_per_epoch": 16, "training.batch_size": 4}


@pytest.fixture(scope="module")
def brains(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without source in ``bundle``, and four brains, one with a lesion, in ``data``."""
    root = tmp_path_factory.mktemp("brains")
    export(made_run, root / "bundle", with_source=False)
    x, y, z = np.meshgrid(*[np.arange(40) - 20.0] * 3, indexing="ij")
    inside = (x / 15) ** 2 + (y / 18) ** 2 + (z / 13) ** 2 < 1
    lesion = (x - 6) ** 2 + y**2 + z**2 < 16
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    for i in range(4):
        noise = np.random.default_rng(i).normal(0, 2, x.shape)
        image = 100 + 20 * np.cos(x / (4 + i)) + 10 * np.sin(y / 5) + noise
        name = f"c{i}"
        folder = root / "data" / ("healthy" if i else "tumour") / name
        if not i:
            image += 60 * lesion
            write_volume(folder / f"{name}_seg.nii.gz", lesion.astype(np.uint8), affine)
        volume = np.where(inside, image, 0).astype("f4")
        write_volume(folder / f"{name}_flair.nii.gz", volume, affine)
    return root


def workflow(root: Path, *names: str, kind: str = "infer", **override: Any) -> ConfigWorkflow:
    files = [str(root / "bundle/configs" / f"{name}.yaml") for name in names]
    given = {"bundle_root": str(root / "bundle"), "device": "$torch.device('cpu')"}
    given["dataset_dir"] = str(root / "data")
    result = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **given | override)
    result.parser["imports"].append("$import torch")
    result.initialize()
    return result


@pytest.fixture(autouse=True)
def own_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run changes for its process is undone."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def anomap(*words: object) -> int:
    return main([*map(str, words), "--quiet", "--device", "cpu"])


def test_inference_and_evaluation_do_what_the_commands_do(brains: Path, tmp_path: Path) -> None:
    run = workflow(brains, "inference", "evaluate", output_dir=str(tmp_path / "ours"))
    assert run.check_properties() == []
    run.run()
    model, data = brains / "bundle", brains / "data"
    assert anomap("detect", data, "--model", model, "-o", tmp_path / "theirs") == 0
    maps = sorted((tmp_path / "theirs").glob("*/*.nii.gz"))
    assert len(maps) == 16
    for path in maps:
        twin = tmp_path / "ours" / path.relative_to(tmp_path / "theirs")
        assert twin.read_bytes() == path.read_bytes(), path.name
        ours, theirs = (json.loads((p.parent / "result.json").read_text()) for p in (twin, path))
        hashes = [[(f["name"], f["sha256"]) for f in one["files"]] for one in (ours, theirs)]
        assert hashes[0] == hashes[1] != []
        assert ours | {"seconds": 0, "files": 0} == theirs | {"seconds": 0, "files": 0}
    assert anomap("evaluate", tmp_path / "theirs", "--labels", data) == 0
    ours, theirs = (
        json.loads((tmp_path / name / "summary.json").read_text())["methods"]["anomap"]
        for name in ("ours", "theirs")
    )
    assert ours | {"seconds_per_case": 0} == theirs | {"seconds_per_case": 0}


def test_overrides_reach_threshold_and_noise(brains: Path, tmp_path: Path) -> None:
    options = {"false_positive_rate": 0.05, "seed": 3, "dataset_dir": str(brains / "data/tumour")}
    workflow(brains, "inference", output_dir=str(tmp_path), **options).run()
    result = json.loads((tmp_path / "c0/result.json").read_text())
    assert result["threshold"]["value"] == pytest.approx(0.45)
    assert "5 %" in result["threshold"]["rule"]
    assert result["provenance"]["seed"] == 3


def test_finished_cases_are_skipped(
    brains: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def written(**options: Any) -> dict[str, int]:
        workflow(brains, "inference", **given, **options).run()
        found = (tmp_path / "out").glob("*/result.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in found}

    given = {"dataset_dir": str(brains / "data/healthy"), "output_dir": str(tmp_path / "out")}
    first = written()
    (tmp_path / "out/c2/mask.nii.gz").unlink()
    second = written()
    assert {name for name in first if first[name] != second[name]} == {"c2"}
    assert written() == second, "all are finished"
    assert capsys.readouterr().out.count("3 cases in") == 3
    with pytest.raises(RuntimeError) as refused:
        written(seed=1)
    told = str(user_error(refused.value))
    assert "holds a result with other seed; give --overwrite" in told
    corrected = (tmp_path / "out/c2/brain_mask.nii.gz").read_bytes()
    (tmp_path / "out/c2/mask.nii.gz").write_bytes(corrected)
    third = written(seed=1, overwrite=True)
    assert all(third[name] != second[name] for name in second)
    assert (tmp_path / "out/c2/edited-1/mask.nii.gz").read_bytes() == corrected


def test_a_case_without_the_modality_is_a_failure(
    brains: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scan = brains / "data/healthy/c1/c1_flair.nii.gz"
    for name in ("healthy/c1/c1_flair.nii.gz", "healthy/c9/c9_t1.nii.gz"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_bytes(scan.read_bytes())
    options = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    with pytest.raises(SystemExit):
        workflow(brains, "inference", "evaluate", **options).run()
    assert "c9 failed: has t1; flair is missing" in caplog.text
    assert (tmp_path / "out/c1/result.json").is_file()


def test_folders_with_a_number_for_a_name_are_folders(
    brains: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fire, that MONAI parses its options with, makes an int of them."""
    monkeypatch.chdir(tmp_path)
    Path("2024").symlink_to(brains / "data/tumour")
    workflow(brains, "inference", dataset_dir=2024, output_dir=7).run()
    assert Path("7/c0/result.json").is_file()


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str, brains: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as refused:
        workflow(brains, "inference", output_dir=str(tmp_path), device=device).run()
    mistake = user_error(refused.value)
    assert str(mistake).startswith(f"--device {device}: not usable here")


def test_a_run_with_a_failed_case_ends_with_status_1(brains: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("c1", "c2"):
        scan = brains / f"data/healthy/{name}/{name}_flair.nii.gz"
        (tmp_path / "in" / scan.name).write_bytes(scan.read_bytes())
    (tmp_path / "in/c2_flair.nii.gz").write_bytes(b"torn")
    options = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    run = workflow(brains, "inference", **options)
    with pytest.raises(SystemExit) as stopped:
        run.run()
    assert stopped.value.code == 1
    assert (tmp_path / "out/c1/result.json").is_file()


@pytest.mark.slow
def test_training_does_what_the_command_does(brains: Path, tmp_path: Path) -> None:
    options = {
        "run_dir": str(tmp_path / "ours"),
        "dataset_dir": str(brains / "data/healthy"),
        "settings": MICRO,
        "train#trainer#max_epochs": 2,
    }
    run = workflow(brains, "train", kind="train", **options)
    assert run.check_properties() == []
    run.run()
    config = load_config(tmp_path / "ours/config.yaml")
    micro = [f"{key}={value}" for key, value in MICRO.items()]
    micro += [f"grid.{key}={getattr(config.grid, key)}" for key in ("size", "spacing_mm")]
    micro += [f"grid.slice_spacing_mm={config.grid.slice_spacing_mm}"]
    micro += ["detection.draws=1", "detection.timesteps=[100, 300]"]
    words = [word for setting in micro for word in ("--set", setting)]
    words += ["--modality", "flair", "--epochs", 2, "-o", tmp_path / "theirs"]
    assert anomap("train", brains / "data/healthy", *words) == 0
    assert load_config(tmp_path / "theirs/config.yaml") == config
    ours, theirs = (
        torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("ours", "theirs")
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert set(load_model(tmp_path / "ours").atlases) == {"intensity", "residual"}


def test_a_part_of_a_datalist_is_trained_and_detected_on(brains: Path, tmp_path: Path) -> None:
    def entries(*names: str) -> list[dict[str, str]]:
        return [{"image": f"{brains}/data/healthy/{n}/{n}_flair.nii.gz"} for n in names]

    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps({"training": entries("c1", "c2"), "test": entries("c3")}))
    config = run_config(brains / "bundle/models/config.yaml")
    cases = healthy_cases(datalist, config, healthy=True, section="training")
    training_data(cases, config, tmp_path / "run")
    recorded = Datalist.read(tmp_path / "run/datalist.json")
    assert sorted(map(len, recorded.sections.values())) == [1, 1]
    options = {"dataset_dir": str(datalist), "section": "test", "output_dir": str(tmp_path / "out")}
    workflow(brains, "inference", **options).run()
    assert [path.parent.name for path in tmp_path.glob("out/*/result.json")] == ["c3"]


def test_the_settings_of_a_training_start_from_the_model_or_a_preset(made_run: Path) -> None:
    config = made_run / "config.yaml"
    assert run_config(config) == load_config(config)
    changed = run_config(config, epochs=7, settings={"training.batch_size": 3})
    assert (changed.training.epochs, changed.training.batch_size) == (7, 3)
    assert changed.grid == load_config(config).grid
    assert run_config(config, preset="small").grid.size == 128
    assert run_config(config, modalities=["T1w"]).modalities == ("t1",)
    assert run_config(config, seed=9).seed == 9
    with pytest.raises(InputError, match=r"there is no setting 'training\.epoch'"):
        run_config(config, settings={"training.epoch": 3})


@pytest.mark.parametrize(("installed", "fits"), [("1.5.9", False), ("1.6.0", True), ("2.0", True)])
def test_an_older_monai_is_refused(
    installed: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup.monai, "__version__", installed)
    if fits:
        startup.begin("1.6.1")
        return
    with pytest.raises(InputError, match=r"MONAI 1\.5\.9 is installed; this bundle needs 1\.6\.1"):
        startup.begin("1.6.1")


def test_a_users_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    startup.begin("1.6.1")
    mistake = RuntimeError("Failed to evaluate ConfigExpression")
    mistake.__cause__ = InputError("data: no such folder")
    sys.excepthook(RuntimeError, mistake, None)
    assert capsys.readouterr().err == "anomap: data: no such folder\n"
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err.startswith("anomap: stopped; what is finished stays")
    sys.excepthook(RuntimeError, RuntimeError("a bug"), None)
    assert "RuntimeError: a bug" in capsys.readouterr().err


def test_an_error_that_monai_wrapped_says_what_it_was() -> None:
    wrapped = RuntimeError("applying transform <object>")
    wrapped.__cause__ = OSError("disk full")
    assert reason_of(wrapped) == "OSError: disk full"
    wrapped.__cause__ = InputError("x: torn")
    assert reason_of(wrapped) == "x: torn"


def test_a_training_that_left_cases_out_ends_with_status_1(
    brains: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(brains / "data/healthy", tmp_path / "in")
    torn = tmp_path / "in/c3/c3_flair.nii.gz"
    torn.write_bytes(torn.read_bytes()[:900])
    shutil.copytree(tmp_path / "in/c2", tmp_path / "in/c9")
    (tmp_path / "in/c9/c2_flair.nii.gz").rename(tmp_path / "in/c9/c9_t1.nii.gz")
    config = run_config(brains / "bundle/models/config.yaml", settings=MICRO)
    cases = healthy_cases(tmp_path / "in", config, healthy=True)
    data = training_data(cases, config, tmp_path / "run")
    assert set(data.failed) == {"c3", "c9"}
    assert "c3 failed: " in caplog.text
    assert "not used: c9: has t1; flair is missing" in caplog.text
    options = {"inferer": DiffusionInferer(make_scheduler(config.diffusion)), "device": "cpu"}
    made = trainer(data, config, tmp_path / "run", **options)
    assert made.device == torch.device("cpu")
    monkeypatch.setattr(pipeline.bundle.workflow, "complete_run", lambda *_, **__: None)
    with pytest.raises(SystemExit) as stopped:
        complete(tmp_path / "run", data, "cpu")
    assert stopped.value.code == 1


def test_processes_wait_for_a_large_cohort(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        distributed.dist, "init_process_group", lambda *_, **options: given.update(options)
    )
    distributed.start()
    assert given["timeout"] >= timedelta(days=1)


def run_monai(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_missing_folder_is_one_line_for_the_user(brains: Path) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run"]
    command += ["--config_file", "configs/inference.yaml", "--dataset_dir", "nowhere"]
    done = run_monai(command, brains / "bundle")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("bundle/nowhere: no such file or folder")


@pytest.mark.slow
def test_two_processes_train_together(
    brains: Path, tmp_path: Path, make_brain: Callable[..., Any]
) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=2", "-m", "monai.bundle", "run", "--run_dir", str(tmp_path)]
    command += ["--config_file", "['configs/train.yaml','configs/multi_gpu_train.yaml']"]
    command += ["--dataset_dir", str(brains / "data/healthy"), "--settings", str(MICRO)]
    command += ["--train#trainer#max_epochs", "2"]
    done = run_monai(command, brains / "bundle")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"run in {tmp_path}") == 1
    assert "step/s" not in done.stderr, "a bar in a log"
    rows = (tmp_path / "loss.csv").read_text().splitlines()
    # Sixteen slices an epoch in batches of four are two steps for each of two processes.
    assert [row.split(",")[1] for row in rows] == ["step", "2", "4"]
    assert set(load_model(tmp_path).atlases) == {"intensity", "residual"}
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
