"""Figures: what is drawn, from what, and in which style."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import matplotlib
import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from pipeline.cli.main import main
from pipeline.errors import InputError
from pipeline.figures import panels as figures
from pipeline.figures import perturbation, plates
from pipeline.files.nifti import write_volume

AFFINE = np.diag([-4.0, 4.0, 5.0, 1.0])
SHAPE = (20, 24, 6)
SUMMARY = {
    "cohort": "brains",
    "methods": {
        "anomap": {
            "auprc": {"mean": 0.6, "ci95": [0.5, 0.7]},
            "dice_at_threshold": {"mean": 0.4, "ci95": [0.3, 0.5]},
            "dice_oracle": {"mean": 0.55, "ci95": [0.5, 0.6]},
            "n_tumour": 5,
        },
        "step_two": {
            "auprc": {"mean": 0.2, "ci95": [0.1, 0.3]},
            "dice_at_threshold": {"mean": None, "ci95": [None, None]},
            "dice_oracle": {"mean": 0.3, "ci95": [None, None]},
            "n_tumour": 5,
        },
    },
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "N_SPECTRUM_FIELDS", 4)
    monkeypatch.setattr(plates, "SIZE", 32)


@pytest.fixture
def picture() -> torch.Tensor:
    x = torch.linspace(-1, 1, 32)
    return 2 * torch.exp(-4 * (x[:, None] ** 2 + x**2)) - 1


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What a detection of two cases leaves, without labels; the first has no restored image."""
    x, y, z = np.indices(SHAPE)
    brain = ((x - 10) / 8) ** 2 + ((y - 12) / 10) ** 2 < 1
    for i, name in enumerate(("a", "b")):
        image = np.where(brain, 100.0 + x, 0).astype(np.float32)
        spot = (abs(x - 12) < 3) & (abs(y - 8) < 3) & (z == 2 + i)
        write_volume(tmp_path / f"{name}_flair.nii.gz", image, AFFINE)
        folder = tmp_path / "out" / name
        maps = {"anomaly": np.where(spot, 0.9, 0.1 * brain), "brain_mask": brain, "mask": spot}
        if i:
            maps["pseudo_healthy"] = image
        for kind, volume in maps.items():
            write_volume(folder / f"{kind}.nii.gz", volume.astype(np.float32), AFFINE)
        inputs = {"flair": str(tmp_path / f"{name}_flair.nii.gz")}
        (folder / "result.json").write_text(json.dumps({"method": "anomap", "inputs": inputs}))
    return tmp_path / "out"


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def is_within(figure: Figure) -> bool:
    """Whether nothing that is drawn sticks out of the figure."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return bool(min(box.x0, box.y0) > -0.03 and box.x1 < width + 0.03 and box.y1 < height + 0.03)


def drawings(picture: torch.Tensor) -> dict[str, Figure]:
    return {
        "noise": figures.noise_gallery(picture),
        "forward": figures.forward_strip(picture),
        "bars": figures.score_bars(SUMMARY),
    }


def test_figures_are_as_wide_as_two_columns_and_nothing_is_cut_off(picture: torch.Tensor) -> None:
    for name, figure in drawings(picture).items():
        assert figure.get_size_inches()[0] == figures.DOUBLE, name
        assert is_within(figure), name


def test_the_style_stays_within_the_figures(picture: torch.Tensor, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    figures.save(figures.forward_strip(picture), tmp_path / "x.pdf")
    assert dict(matplotlib.rcParams) == before


def test_fonts_are_embedded_as_truetype(tmp_path: Path) -> None:
    data = figures.save(figures.score_bars(SUMMARY), tmp_path / "bars.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Subtype /Type3" not in data
    assert Image.open(figures.save(figures.score_bars(SUMMARY), tmp_path / "b.png")).width == 2160


def test_the_gallery_varies_one_parameter_a_row() -> None:
    for title, entries in figures.gallery_noises():
        key = {"octaves": "octaves", "base frequency": "base_frequency", "decay": "decay"}[title]
        rest = [{k: v for k, v in vars(noise).items() if k != key} for _, noise in entries]
        assert all(other == rest[0] for other in rest)
        values = [vars(noise)[key] for _, noise in entries]
        assert values == sorted(set(values))
        assert vars(figures.Simplex())[key] in values


def test_the_strip_shows_the_forward_process_of_the_scheduler(picture: torch.Tensor) -> None:
    figure = figures.forward_strip(picture, timesteps=(0, 200), seed=3)
    rows = np.array([ax.images[0].get_array() for ax in figure.axes[:4]]).reshape(2, 2, 32, 32)
    for row, noise in zip(rows, (figures.Simplex(), figures.Gaussian()), strict=True):
        for shown, t in zip(row, (0, 200), strict=True):
            expected = perturbation.perturb(picture, noise, "cosine", t, 3)
            assert np.allclose(shown, expected, atol=1e-6)
    assert r"$t$ = 200" + "\n" + r"$\sqrt{\bar{\alpha}_t}$ = 0.95" in texts(figure)


def test_bars_are_the_means_and_lines_the_intervals() -> None:
    figure = figures.score_bars(SUMMARY)
    auprc, dice = figure.axes
    assert [bar.get_width() for bar in auprc.patches] == [0.6, 0.2]
    assert [list(line.get_xdata()) for line in auprc.lines] == [[0.5, 0.7], [0.1, 0.3]]
    assert [bar.get_width() for bar in dice.patches] == [0.4]
    assert dice.collections[0].get_offsets()[:, 0].tolist() == [0.55, 0.3]
    shown = texts(figure)
    assert {"anomap", "step two", "not defined", "0.60"} <= set(shown)
    assert "mean of 5 cases with a tumour; 95 % interval" in shown
    assert auprc.yaxis_inverted()  # the first one stands at the top


def test_a_summary_of_healthy_cases_has_no_bars() -> None:
    empty = {"auprc": {"mean": None, "ci95": [None, None]}, "dice_oracle": {"mean": None}}
    with pytest.raises(InputError, match="no case has a label"):
        figures.score_bars({"methods": {"anomap": empty}})


def test_a_map_that_would_hide_the_others_is_shown_by_its_root() -> None:
    flat = [np.full((9, 9), value) for value in (1.0, 1.2, 0.9)]
    assert figures._map_norm(flat).gamma == 1
    steep = figures._map_norm([*flat, np.full((9, 9), 30.0)])
    assert (steep.gamma, steep.vmin, steep.vmax) == (0.5, 0, 30)


def test_panels_of_a_detection_need_no_label(results: Path, tmp_path: Path) -> None:
    n_figures, failed = plates.write_figures(tmp_path / "figures", [results], progress=False)
    assert (n_figures, failed) == (3, {})
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    drawn = {"noise", "forward", "out_cases"}
    assert names == {"captions.md", *(f"{n}.{s}" for n in drawn for s in ("pdf", "png"))}
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert str(tmp_path) not in captions  # of no use in a paper
    assert all(f"({name}.png)" in captions for name in drawn)


def test_a_page_shows_the_slice_with_the_highest_map_and_all_columns_there_are(
    results: Path, tmp_path: Path
) -> None:
    found = plates.read_results(results)
    panels = [figures.load_panels(results / n, plates._case(found, n)) for n in ("a", "b")]
    assert [panel.map.max() for panel in panels] == pytest.approx([0.9, 0.9])
    assert panels[0].spacing_mm == (4.0, 4.0)
    # Left is left: the spot lies at low x of the file, whose x axis points to the left.
    columns = np.flatnonzero((panels[0].map > 0.5).any(0))
    assert columns.mean() < panels[0].map.shape[1] / 2
    figure = figures.case_page(panels)
    assert is_within(figure)
    assert figure.get_size_inches()[0] <= figures.DOUBLE
    assert {"input", "pseudo-healthy", "mask at threshold", "a", "b", "5 cm"} <= set(texts(figure))
    assert "label" not in texts(figure)


def test_many_cases_still_fit_on_a_page(results: Path) -> None:
    case = plates._case(plates.read_results(results), "b")
    figure = figures.case_page([figures.load_panels(results / "b", case)] * 6)
    assert figure.get_size_inches()[1] <= figures.MAX_HEIGHT + 0.01


def test_the_command_names_what_it_could_not_draw(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "summary.json").write_text(json.dumps(SUMMARY))
    (tmp_path / "a_flair.nii.gz").unlink()
    out = tmp_path / "figures"
    assert main(["figures", str(results), "-o", str(out), "--quiet"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"4 figures; look at {out / 'captions.md'}"
    assert "a failed" in printed.err
    assert (out / "out_bars.pdf").is_file()
    assert (out / "out_cases.pdf").is_file()


def test_wrong_folders_and_scans_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for words, said in (
        (["nowhere"], "nowhere: no such folder"),
        ([str(tmp_path / "empty")], "no maps in it"),
        (["--scan", "none.nii.gz"], "no such file"),
    ):
        assert main(["figures", *words, "-o", str(tmp_path / "out"), "--quiet"]) == 2
        assert said in capsys.readouterr().err


def test_a_scan_gives_the_slice_that_shows_most_with_square_pixels(tmp_path: Path) -> None:
    x, y, z = np.indices((40, 20, 9))
    # 40 x 1 mm by 20 x 2 mm: round in millimetres; largest at z = 4; bright at the front left.
    inside = ((x - 19.5) / 12) ** 2 + ((y - 9.5) / 6) ** 2 < 1 - ((z - 4) / 6) ** 2
    image = np.where(inside, 50 + 50 * ((x < 19) & (y > 10)), 0).astype(np.float32)
    nib.save(nib.Nifti1Image(image, np.diag([1.0, 2.0, 3.0, 1.0])), tmp_path / "scan.nii.gz")
    picture = perturbation.scan_slice(tmp_path / "scan.nii.gz", 32).numpy()
    assert picture.shape == (32, 32)
    shown = picture > -0.5
    assert abs(int(shown.any(0).sum()) - int(shown.any(1).sum())) <= 2
    # Rows run to the back, columns to the left.
    assert picture[10, 21] > 0.5 > picture[10, 10]
    assert picture[21, 21] < 0.5


def test_figures_of_the_same_seed_are_the_same(picture: torch.Tensor, tmp_path: Path) -> None:
    sums = []
    for i in range(2):
        figures.save(figures.noise_gallery(picture, seed=4), tmp_path / f"{i}.png")
        sums.append(zlib.crc32(np.asarray(Image.open(tmp_path / f"{i}.png")).tobytes()))
    assert sums[0] == sums[1]
