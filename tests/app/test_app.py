"""The app: its pages in a browser, what they compute, and that nothing stays behind."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from headless import Watched, colourful, missing, pixels
from PIL import Image

from pipeline.app.serve import command, serve
from pipeline.bundle.export import export
from pipeline.cli.main import main
from pipeline.errors import InputError
from pipeline.run.model import load_model

if importlib.util.find_spec("streamlit") is None:
    missing("Streamlit is not installed (pip install -e '.[app]')", module=True)
from streamlit.testing.v1 import AppTest

from pipeline.app import detect_page as app_detect
from pipeline.app import noise_page as app_noise
from pipeline.figures import perturbation


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few phantoms and a run of a few steps."""
    root = tmp_path_factory.mktemp("world")
    cohort = ["--modality", "flair", "--spacing", "4", "--healthy", "4", "--tumour", "1"]
    assert main(["phantom", str(root / "cohort"), *cohort, "--quiet"]) == 0
    settings = [
        "grid.size=32",
        "grid.spacing_mm=6.5",
        "grid.slice_spacing_mm=8",
        "detection.draws=1",
    ]
    settings += ["training.slices_per_epoch=16", "training.batch_size=8"]
    words = ["train", str(root / "cohort/healthy"), "--modality", "flair", "-o", str(root / "run")]
    words += [word for setting in settings for word in ("--set", setting)]
    assert main([*words, "--epochs", "1", "--quiet", "--device", "cpu"]) == 0
    return root


@pytest.fixture(scope="module")
def scan(world: Path) -> Path:
    return next((world / "cohort/tumour").glob("*/*_flair.nii.gz"))


# --- what the pages compute ----------------------------------------------------------------------


def test_white_noise_has_power_one_at_every_frequency() -> None:
    fields = torch.randn(200, 64, 64, generator=torch.Generator().manual_seed(0))
    frequency, power = perturbation.radial_spectrum(fields)
    assert frequency[0] == 1 / 64
    assert frequency[-1] == 0.5
    np.testing.assert_allclose(power, 1.0, atol=0.12)


def test_a_wave_has_its_power_at_its_own_frequency() -> None:
    wave = torch.cos(2 * torch.pi * 8 / 64 * torch.arange(64.0)).expand(1, 64, 64)
    frequency, power = perturbation.radial_spectrum(wave)
    assert frequency[power.argmax()] == 8 / 64
    assert power.max() > 100 * np.sort(power)[-2]


def test_a_picture_becomes_a_square_between_minus_one_and_one() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 255]] * 3, np.uint8)).save(buffer, "PNG")
    picture = app_noise.square_picture(buffer.getvalue(), "a.png")
    assert picture.shape == (app_noise.SIZE, app_noise.SIZE)
    assert picture.min() == -1.0
    assert picture.max() == 1.0
    with pytest.raises(InputError, match=r"a\.png: cannot be read as a picture"):
        app_noise.square_picture(b"text", "a.png")


def test_the_pages_are_bound_to_this_machine_and_report_to_nobody() -> None:
    words = command(8501, ["--seed", "0"], browser=False)
    assert "--server.address=127.0.0.1" in words
    assert "--browser.gatherUsageStats=false" in words
    with pytest.raises(InputError, match="expected 1 to 65535"):
        serve(port=0)
    with pytest.raises(InputError, match="--model nowhere: expected a run"):
        serve(model=Path("nowhere"))


def _detect_page() -> None:
    import os
    from pathlib import Path

    from pipeline.app import detect_page

    detect_page.page(Path(os.environ["ANOMAP_TEST_MODEL"]), 0)


@pytest.fixture
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts ``__main__`` back: a page under test takes its place, and spawned workers read it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.mark.usefixtures("own_main")
def test_a_zip_is_unpacked_once_however_often_the_page_runs(
    made_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(made_run, tmp_path / "run.zip")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("ANOMAP_TEST_MODEL", str(tmp_path / "run.zip"))
    page = AppTest.from_function(_detect_page, default_timeout=120)
    for _ in range(3):
        page.run()
        assert not page.exception
        assert not page.info
        assert len(list((tmp_path / "temporary").iterdir())) == 1


@pytest.mark.usefixtures("own_main")
def test_what_cannot_be_used_is_said_without_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jane doe" / "bad.zip"
    path.parent.mkdir()
    path.write_bytes(b"no zip")
    monkeypatch.setenv("ANOMAP_TEST_MODEL", str(path))
    page = AppTest.from_function(_detect_page, default_timeout=120).run()
    (said,) = page.info
    assert said.value.startswith("bad.zip: not a run")
    assert not page.exception


def test_detection_of_an_upload_leaves_nothing_on_disk(
    world: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = load_model(world / "run", torch.device("cpu"))
    said: list[str] = []
    uploads = {"flair": ("Anna.nii.gz", scan.read_bytes())}
    detected = app_detect.detect_upload(uploads, model, say=said.append)
    assert list(tmp_path.iterdir()) == []
    assert len(said) == 3
    source = nib.load(scan)
    anomaly = nib.Nifti1Image.from_bytes(_unzipped(detected.files["anomaly.nii.gz"]))
    assert anomaly.shape == source.shape
    np.testing.assert_allclose(anomaly.affine, source.affine, atol=1e-4)
    assert json.loads(detected.files["result.json"])["inputs"] == {"flair": "Anna.nii.gz"}
    assert str(tmp_path) not in detected.files["result.json"].decode()
    assert "Anna.nii.gz" in detected.viewer


@pytest.mark.slow
def test_shipped_weights_refuse_an_upload_that_does_not_fit_unless_told_otherwise(
    scan: Path,
) -> None:
    image = nib.load(scan)
    fallen = nib.Nifti1Image(np.asarray(image.dataobj)[:, :, ::-1], image.affine).to_bytes()
    model = load_model(app_detect.choose_model("flair"), torch.device("cpu"))
    with pytest.raises(InputError, match=f"Tick “{app_detect.ANY_SCAN}”") as refused:
        app_detect.detect_upload({"flair": ("fallen.nii", fallen)}, model)
    assert "--any-scan" not in str(refused.value)
    uploads = {"flair": ("fallen.nii", fallen)}
    assert app_detect.detect_upload(uploads, model, any_scan=True).files["result.json"]


def _unzipped(data: bytes) -> bytes:
    import gzip

    return gzip.decompress(data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scan.txt", b"text", "scan.txt: expected an image in one file"),
        ("scan.nii.gz", b"text", "scan.nii.gz: cannot be read as NIfTI"),
        ("head.nii", None, "^head.nii: "),
    ],
)
def test_a_wrong_file_is_named_as_the_user_named_it(
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes | None,
    message: str,
) -> None:
    if content is None:  # a volume, but no brain
        content = nib.Nifti1Image(np.zeros((8, 8, 8), np.float32), np.eye(4)).to_bytes()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = load_model(world / "run", torch.device("cpu"))
    with pytest.raises(InputError, match=message) as raised:
        app_detect.detect_upload({"flair": (name, content)}, model)
    assert str(tmp_path) not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_volume_too_large_for_memory_is_refused_by_its_header(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_detect, "MAX_UPLOAD_VOXELS", 100)
    content = nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4)).to_bytes()
    model = load_model(world / "run", torch.device("cpu"))
    with pytest.raises(InputError, match="voxels are more than the 100"):
        app_detect.detect_upload({"flair": ("large.nii", content)}, model)


# --- in the browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(
    browser: Any, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Where the app is served, and its folder for temporary files."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temporary = tmp_path_factory.mktemp("temporary")
    words = ["app", "--model", str(world / "run"), "--port", str(port), "--no-browser"]
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_served(url, server)
        yield url, temporary
    finally:
        server.terminate()
        server.wait(20)


def _wait_until_served(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(120):
        assert server.poll() is None, "the app stopped"
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the app was not served within a minute")


@pytest.fixture
def opened(browser: Any, address: tuple[str, Path]) -> Iterator[Watched]:
    watched = Watched(browser)
    watched.page.set_default_timeout(60_000)
    yield watched
    assert watched.errors == []
    assert watched.requests_leaving(address[0], address[0].replace("http", "ws")) == []
    watched.context.close()


def _settle(watched: Watched) -> None:
    """Wait until the page is computed anew."""
    watched.page.wait_for_timeout(500)
    running = watched.page.locator("[data-test-script-state=running]")
    running.wait_for(state="detached")
    watched.page.wait_for_timeout(300)


def _until(watched: Watched, holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether something holds within a time; a busy machine computes a page late."""
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        watched.page.wait_for_timeout(300)
    return held


def _press(watched: Watched, slider: str, key: str, times: int) -> None:
    handle = watched.page.get_by_role("slider", name=slider)
    handle.focus()
    for _ in range(times):
        handle.press(key)
    _settle(watched)


def test_the_noise_page_follows_its_controls(
    opened: Watched, address: tuple[str, Path], tmp_path: Path
) -> None:
    page = opened.page
    page.goto(address[0])
    page.get_by_role("link", name="Noise").click()
    page.get_by_text("From picture to noise").wait_for()
    _settle(opened)
    images = page.locator("[data-testid=stImage] img")
    assert images.count() == 22
    field, perturbed, gaussian = images.nth(1), images.nth(2), images.nth(4)
    before = [pixels(image) for image in (field, perturbed, gaussian)]
    assert min(picture.std() for picture in before) > 20
    _press(opened, "Octaves", "ArrowLeft", 5)  # one octave: a smooth field

    def roughness(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture[..., 0], axis=1)).mean())

    assert _until(opened, lambda: roughness(pixels(field)) < roughness(before[0]) / 2)
    assert (pixels(gaussian) == before[2]).all()
    _press(opened, "Timestep t", "PageDown", 25)  # nothing is perturbed
    assert _until(opened, lambda: np.abs(pixels(images.nth(0)) - pixels(perturbed)).mean() < 1)
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(tmp_path / "white.png")
    page.set_input_files("input[type=file]", tmp_path / "white.png")
    _settle(opened)
    assert _until(opened, lambda: np.median(pixels(images.nth(0))) > 250)
    assert page.locator("[data-testid=stVegaLiteChart] canvas, svg.marks").first.is_visible()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_pages_are_dark_where_the_system_is(
    browser: Any, address: tuple[str, Path], scheme: str, dark: bool
) -> None:
    """As the viewer in them is."""
    watched = Watched(browser, scheme=scheme)
    watched.page.set_default_timeout(60_000)
    watched.page.goto(f"{address[0]}/noise")
    watched.page.get_by_text("From picture to noise").wait_for()
    corner = watched.page.screenshot(clip={"x": 400, "y": 0, "width": 50, "height": 20})
    assert (np.asarray(Image.open(io.BytesIO(corner)).convert("L")).mean() < 128) == dark
    watched.context.close()


def test_a_scan_is_uploaded_detected_looked_at_and_downloaded(
    opened: Watched, address: tuple[str, Path], scan: Path, tmp_path: Path
) -> None:
    page = opened.page
    page.goto(address[0])  # it opens on detection
    page.get_by_text("FLAIR image (NIfTI, MGH, NRRD or MetaImage)").wait_for()
    _settle(opened)
    wrong = tmp_path / "letter.nii.gz"
    wrong.write_text("no scan")
    upload = page.locator("input[type=file]")
    upload.set_input_files(wrong)
    button = page.get_by_role("button", name="Detect", exact=True)
    button.click()
    page.get_by_text("letter.nii.gz: cannot be read as NIfTI").wait_for()
    upload.set_input_files(scan)
    page.get_by_text("cannot be read as NIfTI").wait_for(state="detached")
    _settle(opened)
    button.click()
    viewer = page.frame_locator("iframe").first
    viewer.locator("#frame[data-state=ready]").wait_for()
    page.wait_for_timeout(500)
    canvas = viewer.locator("#canvas")
    viewer.locator("#above").fill("0")
    page.wait_for_timeout(300)
    shown = pixels(canvas)
    assert colourful(shown) > 500
    viewer.locator("#show-map").uncheck()
    page.wait_for_timeout(300)
    assert colourful(pixels(canvas)) == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert {"anomaly.nii.gz", "mask.nii.gz", "result.json"} <= set(archive.namelist())
    assert opened.overflow() <= 0
    assert list(address[1].glob("anomap-*")) == []
