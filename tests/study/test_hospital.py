"""Results back to where the scan came from: DICOM objects of a study, and a real archive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dicom_studies as studies
import nibabel as nib
import numpy as np
import pydicom
import pytest
from brains import brain_with_lesion, centred_affine, inside_brain, world_of
from orthanc import AET, Archive, running_orthanc

from pipeline.cli.main import main
from pipeline.files.names import DICOM_RESULTS, MAP_OBJECT, SEG_OBJECT, SUMMARY_OBJECT

SEG, MAP, CAPTURE = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.30",
    "1.2.840.10008.5.1.4.1.1.7",
)
STUDY = studies.Study(patient_id="P7", patient_name="Doe^Jane")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLAIR and a localiser; with a bright lesion."""
    folder = tmp_path_factory.mktemp("study")
    affine, shape = centred_affine(np.diag([4.0, 4.0, 5.0]))
    data = brain_with_lesion(shape, affine)
    studies.write_classic(folder / "flair", data, affine, study=STUDY)
    studies.write_localiser(folder / "scout", study=STUDY)
    return folder


@pytest.fixture(scope="module")
def archive(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        running.upload(study)
        yield running


def objects_of(folder: Path) -> dict[str, Any]:
    return {path.name: pydicom.dcmread(path) for path in folder.glob("*.dcm")}


def test_a_study_gets_its_results_as_dicom(
    study: Path, made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["detect", study, "--model", made_run, "-o", tmp_path / "out", "--dicom"]
    assert main([str(word) for word in words]) == 0
    (case,) = (path.parent for path in (tmp_path / "out").glob("*/result.json"))
    made = objects_of(case / DICOM_RESULTS)
    assert set(made) == {SEG_OBJECT, MAP_OBJECT, SUMMARY_OBJECT}
    mask = np.asarray(nib.load(case / "mask.nii.gz").dataobj)
    assert made[SEG_OBJECT].pixel_array.sum() == mask.sum()
    assert {dataset.StudyInstanceUID for dataset in made.values()} == {STUDY.uid}
    assert {str(dataset.PatientName) for dataset in made.values()} == {"Doe^Jane"}
    before = {name: dataset.SOPInstanceUID for name, dataset in made.items()}
    assert main([str(word) for word in words]) == 0
    again = objects_of(case / DICOM_RESULTS)
    assert {name: dataset.SOPInstanceUID for name, dataset in again.items()} == before
    described = (case / "findings.json").read_text()
    again_words = [*words, "--false-positive-rate", 0.05, "--overwrite"]
    assert main([str(word) for word in again_words if word != "--dicom"]) == 0
    assert not objects_of(case / DICOM_RESULTS)  # those of the former mask are gone
    assert (case / "findings.json").read_text() != described
    assert main([str(word) for word in (*words, "--false-positive-rate", 0.05)]) == 0
    other = objects_of(case / DICOM_RESULTS)
    assert other[MAP_OBJECT].SOPInstanceUID != before[MAP_OBJECT]  # its window is another
    page = made[SUMMARY_OBJECT].pixel_array
    assert page.shape[2] == 3
    assert 20 < page.mean() < 250
    capsys.readouterr()


def test_a_case_that_was_no_dicom_says_so(
    study: Path, made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(study), "-o", str(tmp_path / "converted")]) == 0
    (image,) = (tmp_path / "converted").glob("*/*_flair.nii.gz")
    alone = tmp_path / "alone_flair.nii.gz"
    alone.write_bytes(image.read_bytes())
    words = ["detect", alone, "--model", made_run, "-o", tmp_path / "out", "--dicom"]
    assert main([str(word) for word in words]) == 1
    assert "not converted from DICOM" in capsys.readouterr().err


def pacs(archive: Archive, out: Path, *words: object, called: str = AET) -> list[str]:
    start = ["pacs", "--server", archive.server, "--called", called, "-o", out]
    return [str(word) for word in (*start, *words)]


def test_a_study_is_fetched_and_its_results_are_in_the_archive(
    archive: Archive, made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(archive.instances())
    words = pacs(archive, tmp_path / "out", "--pull", STUDY.uid, "--push", "--model", made_run)
    assert main(words) == 0, capsys.readouterr().err
    assert "3 objects stored" in capsys.readouterr().out
    new = set(archive.instances()) - before
    assert len(new) == 3
    kinds = {}
    for instance in new:
        path = tmp_path / f"{instance}.dcm"
        path.write_bytes(archive.content(instance))
        kinds[str(pydicom.dcmread(path).SOPClassUID)] = pydicom.dcmread(path)
    assert set(kinds) == {SEG, MAP, CAPTURE}
    assert {dataset.StudyInstanceUID for dataset in kinds.values()} == {STUDY.uid}
    (case,) = (path.parent for path in (tmp_path / "out").glob("*/result.json"))
    mask = np.asarray(nib.load(case / "mask.nii.gz").dataobj)
    assert kinds[SEG].pixel_array.sum() == mask.sum()
    # Again: nothing is fetched, detected or doubled.
    assert main(words) == 0
    assert set(archive.instances()) - before == new


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_nothing_half_stored_after_its_repeat(
    archive: Archive, made_run: Path, tmp_path: Path
) -> None:
    before = set(archive.instances())
    out = tmp_path / "out"
    words = pacs(archive, out, "--pull", STUDY.uid, "--push", "--model", made_run)
    command = [sys.executable, "-m", "pipeline", *words, "--seed", "3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    whole = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    assert whole.wait() == 0
    seconds = time.monotonic() - start
    stored = set(archive.instances()) - before
    for instance in stored:
        _delete(archive, instance)
    for share in (0.8,):
        folder = tmp_path / f"killed_{share}"
        again = [str(folder) if word == str(out) else word for word in command]
        process = subprocess.Popen(again, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(share * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not list(folder.glob("*/dicom/*.part*"))
        assert subprocess.run(again, env=environment, stderr=subprocess.DEVNULL).returncode == 0
        # The same three, by identity: nothing doubled, nothing missing.
        assert set(archive.instances()) - before == stored
        for instance in stored:
            _delete(archive, instance)


KILLED_BETWEEN_TWO = """
import os, signal, sys
from pynetdicom import association
stores = association.Association.send_c_store
calls = []

def second_is_the_last(self, dataset, *rest, **named):
    calls.append(dataset)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return stores(self, dataset, *rest, **named)

association.Association.send_c_store = second_is_the_last
from pipeline.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_killed_between_two_objects_it_is_completed_without_doubles(
    archive: Archive, study: Path, made_run: Path, tmp_path: Path
) -> None:
    before = set(archive.instances())
    out = tmp_path / "out"
    words = ["detect", study, "--model", made_run, "-o", out, "--seed", "11"]
    assert main([str(word) for word in words]) == 0
    push = pacs(archive, out, "--push")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED_BETWEEN_TWO, *push]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == -9
    first = set(archive.instances()) - before
    assert len(first) == 1
    assert main(push) == 0
    stored = set(archive.instances()) - before
    assert len(stored) == 3
    assert first < stored
    for instance in stored:
        _delete(archive, instance)


def test_a_study_that_fails_does_not_keep_the_others_from_the_archive(
    archive: Archive, made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_scout = studies.Study(patient_id="P8", patient_name="Roe^Max", name="scout alone")
    studies.write_localiser(tmp_path / "scout", study=only_scout)
    archive.upload(tmp_path / "scout")
    before = set(archive.instances())
    pulls = ("--pull", only_scout.uid, "--pull", "1.2.3.4.5", "--pull", STUDY.uid)
    words = pacs(archive, tmp_path / "out", *pulls, "--push", "--model", made_run, "--seed", 12)
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "3 objects stored" in shown.out
    assert "1.2.3.4.5 failed" in shown.err
    assert "no series that can be used" in shown.err
    stored = set(archive.instances()) - before
    assert len(stored) == 3
    for instance in stored:
        _delete(archive, instance)


def test_a_tilted_gantry_is_one_line_and_the_stages_are_timed(
    study: Path, made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    affine, shape = centred_affine(np.diag([4.0, 4.0, 5.0]))
    data = np.where(inside_brain(world_of(shape, affine)), 500.0, 0.0)
    tilted = studies.Study(patient_id="P9", name="tilted")
    studies.write_classic(tmp_path / "tilted", data, affine, study=tilted, shear_mm=1.5)
    words = ["detect", tmp_path / "tilted", "--model", made_run, "-o", tmp_path / "alone"]
    assert main([str(word) for word in words]) == 2
    refusal = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in refusal if "gantry tilt" in line]) == 1
    log = tmp_path / "log.jsonl"
    words = ["detect", study, tmp_path / "tilted", "--model", made_run, "--dicom"]
    words += ["-o", tmp_path / "out", "--log-json", log]
    assert main([str(word) for word in words]) == 1
    shown = capsys.readouterr().err
    assert "gantry tilt" in shown
    (told,) = [line for line in shown.splitlines() if line.startswith("time: ")]
    names = ("convert", "weights", "read", "find the brain", "restore", "write", "DICOM objects")
    assert all(name in told for name in names)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    restored = next(line for line in lines if line.get("stage") == "restore")
    assert restored["case"].startswith("study-")
    assert restored["seconds"] > 0
    assert any(line["event"] == "case done" for line in lines)


def _delete(archive: Archive, instance: str) -> None:
    import urllib.request

    url = f"http://127.0.0.1:{archive.http_port}/instances/{instance}"
    request = urllib.request.Request(url, method="DELETE")
    with urllib.request.urlopen(request, timeout=20) as answer:
        json.load(answer)


@pytest.mark.parametrize(
    ("uid", "called", "said"),
    [
        ("1.2.3.4.5", AET, "has no study"),
        ("abc", AET, "no UID"),
        (STUDY.uid, "WRONG", "AE titles"),
        (STUDY.uid, "A" * 17, "AE title"),
    ],
)
def test_what_the_archive_refuses_is_one_line(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    uid: str, called: str, said: str,
) -> None:  # fmt: skip
    words = pacs(archive, tmp_path / "out", "--pull", uid, called=called)
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error


def test_a_server_that_is_down_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = Archive(1, 1)
    assert main(pacs(nobody, tmp_path / "out", "--pull", STUDY.uid)) == 2
    assert "cannot be reached" in capsys.readouterr().err
    assert main(pacs(nobody, tmp_path / "out")) == 2
    assert "say what to do" in capsys.readouterr().err
    words = ["pacs", "--server", "nowhere", "--called", AET, "-o", str(tmp_path / "o"), "--push"]
    assert main(words) == 2
    assert "HOST:PORT" in capsys.readouterr().err
