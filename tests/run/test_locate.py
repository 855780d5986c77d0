"""What ``--model`` may name, and the run folder behind it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pipeline.bundle.export import export
from pipeline.errors import InputError
from pipeline.files.names import CALIBRATION, CONFIG, WEIGHTS
from pipeline.run.locate import (
    CARRIED,
    MODELS,
    NAMED,
    SHIPPED,
    bundle_dir,
    is_shipped,
    run_folder,
    shipped_run,
)
from pipeline.run.model import load_model


def test_a_run_and_the_folder_of_a_bundle_are_told_by_what_lies_in_them(tmp_path: Path) -> None:
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    for folder in (run, bundle / MODELS):
        folder.mkdir(parents=True)
        (folder / CONFIG).touch()
    assert run_folder(run) == run
    assert run_folder(bundle) == bundle / MODELS


def test_a_run_that_is_called_as_shipped_weights_are_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flair").mkdir()
    assert run_folder(Path("flair")) == shipped_run(["flair"])
    (tmp_path / "flair" / CONFIG).touch()
    assert run_folder(Path("flair")) == Path("flair")


def test_of_a_zipped_bundle_the_files_of_the_model_alone_are_read(
    made_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (CONFIG, WEIGHTS, CALIBRATION, "notes.txt"):
            content = (made_run / name).read_bytes() if name in CARRIED else b"hello"
            archive.writestr(f"x/{MODELS}/{name}", content)
        archive.writestr("x/pipeline/evil.py", "raise SystemExit")
    folder = run_folder(path)
    assert {file.name for file in folder.iterdir()} == {CONFIG, WEIGHTS, CALIBRATION}
    assert load_model(folder).weights_sha256 == load_model(made_run).weights_sha256
    assert not is_shipped(folder)


def test_a_zip_of_two_bundles_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a", "b"):
            archive.writestr(f"{name}/{MODELS}/{CONFIG}", "")
    with pytest.raises(InputError, match=r"expected one models/config\.yaml in it, found 2"):
        run_folder(tmp_path / "two.zip")


def test_a_file_that_is_no_bundle_is_refused(made_run: Path, tmp_path: Path) -> None:
    for name, content in (("a.zip", b"no zip"), ("b.nii.gz", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: not a run, and not a zipped bundle"):
            run_folder(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"expected one models/config.yaml in it, found 0"):
        run_folder(tmp_path / "c.zip")
    export(made_run, tmp_path / "d.zip")
    whole = (tmp_path / "d.zip").read_bytes()
    (tmp_path / "d.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"d.zip: not a run, and not a zipped bundle"):
        run_folder(tmp_path / "d.zip")


def test_weights_are_picked_by_modality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_run(["t1"]) == bundle_dir(SHIPPED["t1"]) / "models"
    assert shipped_run(["t1", "t2", "flair"]) == bundle_dir(SHIPPED["flair"]) / "models"
    with pytest.raises(InputError, match=r"flair and t1; the scan is t2\. Give --model"):
        shipped_run(["t2"])
    with pytest.raises(InputError, match="unknown modality: say --modality"):
        shipped_run([])
    for modality in SHIPPED:
        assert run_folder(Path(modality.upper())) == shipped_run([modality])
    assert run_folder(Path("nowhere")) == Path("nowhere")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flair").mkdir()  # as a folder of scans may be called
    assert run_folder(Path("flair")) == shipped_run(["flair"])
    by_way_of = bundle_dir(SHIPPED["flair"]) / ".." / SHIPPED["t1"]
    assert is_shipped(run_folder(by_way_of))
    assert not is_shipped(tmp_path)
    for name in NAMED:
        assert is_shipped(run_folder(Path(name)))
        files = {path.name for path in run_folder(Path(name)).iterdir()}
        assert {"config.yaml", "model.pt", "atlases.npz", "calibration.json"} <= files
        assert sum(p.stat().st_size for p in run_folder(Path(name)).iterdir()) < 10.5e6
