"""What ``--model`` may name, and the run folder behind it."""

from __future__ import annotations

import random
import shutil
import tempfile
import zipfile
from pathlib import Path

import pytest

from pipeline.bundle.export import export
from pipeline.errors import InputError
from pipeline.files.names import CALIBRATION, CONFIG, WEIGHTS
from pipeline.run.locate import CARRIED, MODELS, bundle_dir, is_shipped, run_folder, shipped_run
from pipeline.run.model import load_model
from pipeline.run.words import NAMED, SHIPPED


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


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("again", [f"a/{MODELS}/{CALIBRATION}", f"a/./{MODELS}/{CALIBRATION}"])
def test_a_zip_that_holds_a_file_of_the_model_twice_is_refused(again: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        for name in (f"a/{MODELS}/{CONFIG}", f"a/{MODELS}/{CALIBRATION}", again):
            archive.writestr(name, "")
    with pytest.raises(InputError, match=r"calibration\.json' is in it twice"):
        run_folder(tmp_path / "twice.zip")


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


def zip_of_a_run(path: Path, **more: bytes) -> Path:
    """A zipped bundle of an untrained run; ``more`` are its further model files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"x/{MODELS}/{CONFIG}", "seed: 1\n")
        for name, content in more.items():
            archive.writestr(f"x/{MODELS}/{name.replace('_', '.')}", content)
    return path


def test_a_zip_is_unpacked_once_however_often_it_is_asked_for_and_for_this_user_alone(
    tmp_path: Path,
) -> None:
    folder = run_folder(zip_of_a_run(tmp_path / "a.zip"))
    assert run_folder(tmp_path / "a.zip") == folder
    assert run_folder(Path(shutil.copy(tmp_path / "a.zip", tmp_path / "b.zip"))) == folder
    assert folder.parent.stat().st_mode & 0o77 == 0
    other = run_folder(zip_of_a_run(tmp_path / "a.zip", loss_csv=b"epoch\n"))
    assert other != folder
    assert (other / "loss.csv").read_bytes() == b"epoch\n"


def test_a_small_zip_of_a_large_file_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = zip_of_a_run(tmp_path / "bomb.zip", model_pt=bytes(20 << 20))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match=r"bomb\.zip: .*model\.pt' is packed more than 200 times"):
        run_folder(path)
    path = zip_of_a_run(tmp_path / "long.zip", run_json=random.Random(0).randbytes(33 << 20))
    with pytest.raises(InputError, match=r"has 34,603,008 bytes unpacked, more than 33,554,432"):
        run_folder(path)
    assert not list((tmp_path / "temporary").iterdir())


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    path = zip_of_a_run(tmp_path / "x.zip")
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.zip: .*needs a password"):
        run_folder(path)


def test_weights_are_picked_by_modality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_run(["t1"]) == bundle_dir(SHIPPED["t1"]) / "models"
    assert shipped_run(["t1", "t2", "flair"]) == bundle_dir(SHIPPED["flair"]) / "models"
    with pytest.raises(InputError, match=r"flair, t2, t1, t1ce; the scan is pd\. Give --model"):
        shipped_run(["pd"])
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
