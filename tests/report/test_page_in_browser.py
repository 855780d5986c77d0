"""What a person does with the page, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brains import centred_affine, inside_brain, smooth_intensity, world_of
from headless import Watched, colourful, pixels
from scipy import ndimage

from pipeline.cases.loop import QUIET
from pipeline.files.images.nifti import write_volume
from pipeline.files.record.result import CaseResult
from pipeline.files.writing import write_text
from pipeline.findings.folder import find_again
from pipeline.report.page import render, write_report
from pipeline.report.results import read_results
from pipeline.report.viewer import view_case


@pytest.fixture
def opened(browser: Any, page_path: Path) -> Iterator[Watched]:
    watched = open_page(browser, page_path)
    yield watched
    assert watched.errors == []
    assert watched.requests_leaving(page_path.as_uri()) == []
    watched.context.close()


def open_page(browser: Any, path: Path, **options: Any) -> Watched:
    watched = Watched(browser, **options)
    watched.page.goto(path.as_uri())
    wait_for_case(watched)
    return watched


def wait_for_case(watched: Watched, name: str | None = None) -> None:
    case = f"[data-name='{name}']" if name else ""
    watched.page.wait_for_selector(f"#frame[data-state=ready]{case}")
    watched.page.wait_for_timeout(150)  # a frame is drawn after it is asked for


def set_slider(watched: Watched, name: str, value: float) -> None:
    watched.page.locator(name).fill(str(value))
    watched.page.wait_for_timeout(150)


def test_the_viewer_shows_a_brain_and_its_map(opened: Watched) -> None:
    picture = pixels(opened.page.locator("#canvas"))
    grey = (np.ptp(picture, axis=-1) < 10) & (picture.max(-1) > 60)
    assert grey.sum() > 3000
    assert colourful(picture) > 500
    assert opened.page.locator("#case-title").inner_text() == "ill2"  # the lowest Dice first


def test_layers_can_be_hidden_and_faded(opened: Watched) -> None:
    page, canvas = opened.page, opened.page.locator("#canvas")
    page.uncheck("#show-label")
    with_map = colourful(pixels(canvas))
    set_slider(opened, "#opacity-map", 0.2)
    faded = colourful(pixels(canvas))
    page.uncheck("#show-map")
    page.wait_for_timeout(150)
    assert with_map > faded >= colourful(pixels(canvas)) == 0
    page.check("#show-label")
    page.wait_for_timeout(150)
    assert colourful(pixels(canvas)) > 50


def test_filling_covers_the_lesion_and_nothing_else(opened: Watched) -> None:
    page, canvas = opened.page, opened.page.locator("#canvas")
    page.uncheck("#show-map")
    page.wait_for_timeout(150)
    outlined = colourful(pixels(canvas))
    page.check("#fill")
    page.wait_for_timeout(150)
    picture = pixels(canvas)
    assert outlined < colourful(picture) < 0.1 * picture[..., 0].size


def test_the_map_is_cut_where_the_slider_says(opened: Watched) -> None:
    opened.page.uncheck("#show-label")
    canvas = opened.page.locator("#canvas")
    before = colourful(pixels(canvas))
    set_slider(opened, "#above", 0.0)
    assert colourful(pixels(canvas)) > 2 * before
    assert opened.page.locator("#above-value").inner_text() == "0 (mask: 0.5)"


def test_the_pseudo_healthy_image_hides_the_lesion(opened: Watched) -> None:
    page = opened.page
    page.uncheck("#show-map")
    page.uncheck("#show-label")
    page.wait_for_timeout(150)
    scan = pixels(page.locator("#canvas"))
    page.check("#show-restored")
    page.wait_for_timeout(150)
    restored = pixels(page.locator("#canvas"))
    assert (scan - restored).max() > 60  # the bright ball is gone
    assert (np.abs(scan - restored).max(-1) > 60).mean() < 0.2


def test_the_viewer_switches_to_the_map_of_another_method(opened: Watched) -> None:
    page, canvas = opened.page, opened.page.locator("#canvas")
    assert page.locator("#method option").all_inner_texts() == ["anomap", "intensity"]
    facts = page.locator("#case-facts")
    assert facts.inner_text().startswith("anomap: ")
    page.uncheck("#show-label")
    page.click("#to-peak")
    page.wait_for_timeout(150)
    place = [page.locator(f"#position-{axis}-mm").inner_text() for axis in "xyz"]
    before, quiet = facts.inner_text(), pixels(canvas)
    page.select_option("#method", "intensity")
    page.locator("#case-facts", has_text="intensity: ").wait_for()
    wait_for_case(opened, "ill2")
    assert facts.inner_text().split(": ", 1)[1] != before.split(": ", 1)[1]
    assert (pixels(canvas) != quiet).any()
    assert [page.locator(f"#position-{axis}-mm").inner_text() for axis in "xyz"] == place
    assert page.locator("#show-restored").count() == 0  # that was another method's
    assert page.locator("#show-mask").count() == page.locator("#show-label").count() == 1
    page.get_by_role("button", name="well1").click()
    wait_for_case(opened, "well1")
    assert facts.inner_text().startswith("intensity: ")
    page.select_option("#method", "anomap")
    page.locator("#show-restored").wait_for()


def test_another_case_is_shown_when_its_name_is_clicked(opened: Watched) -> None:
    before = pixels(opened.page.locator("#canvas"))
    opened.page.get_by_role("button", name="ill<1>").click()
    wait_for_case(opened, "ill<1>")
    assert (pixels(opened.page.locator("#canvas")) != before).any()
    assert opened.page.locator("#case-title").inner_text() == "ill<1>"
    opened.page.locator("#cases button[aria-pressed=true]", has_text="ill<1>").wait_for()
    opened.page.get_by_role("link", name="well1", exact=True).click()  # in the table of all cases
    wait_for_case(opened, "well1")
    assert opened.page.locator("#to-lesion").is_hidden()


def test_cases_are_ordered_as_asked(opened: Watched) -> None:
    def names() -> list[str]:
        return opened.page.locator("#cases .case-name").all_inner_texts()

    assert names() == ["ill2", "ill<1>", "well1"]
    opened.page.select_option("#order", "quality:down")
    assert names() == ["ill<1>", "ill2", "well1"]
    opened.page.select_option("#order", "false:down")
    assert names()[0] == "well1"


def test_the_crosshair_moves_by_keys_sliders_and_buttons(opened: Watched) -> None:
    page = opened.page

    def position() -> list[str]:
        return [page.locator(f"#position-{axis}-mm").inner_text() for axis in "xyz"]

    page.click("#to-lesion")
    assert [int(text.split()[0]) for text in position()] == pytest.approx([20, 10, 30], abs=6)
    start = position()
    assert page.locator("#values dt", has_text="Label").is_visible()
    page.focus("#canvas")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("PageUp")
    moved = position()
    # Left on the screen is the patient's right: x grows.
    assert int(moved[0].split()[0]) > int(start[0].split()[0])
    assert int(moved[2].split()[0]) > int(start[2].split()[0])
    set_slider(opened, "#position-z", 0.3)
    assert position()[2] != moved[2]
    page.locator("#canvas").click(position={"x": 150, "y": 150})
    assert position() != moved


def test_one_plane_fills_the_frame(opened: Watched) -> None:
    def largest() -> int:
        bright = pixels(opened.page.locator("#canvas")).max(-1) > 60
        return int(np.bincount(ndimage.label(bright)[0].ravel())[1:].max())

    opened.page.uncheck("#crosshair")  # which joins the planes
    opened.page.wait_for_timeout(150)
    three = largest()
    opened.page.check("input[name=plane][value=axial]")
    opened.page.wait_for_timeout(150)
    assert largest() > 2 * three


def test_the_patient_s_left_is_on_the_right_unless_asked_otherwise(opened: Watched) -> None:
    """The lesion lies on the right of the person."""
    page = opened.page
    page.check("input[name=plane][value=axial]")
    page.click("#to-lesion")
    page.uncheck("#crosshair")
    page.wait_for_timeout(150)

    def side() -> float:
        shown = pixels(page.locator("#canvas")).astype(float)
        coloured = np.abs(shown[..., 0] - shown[..., 2]) > 60  # the map
        bright = shown.max(-1) > 60
        return float(np.nonzero(coloured)[1].mean() - np.nonzero(bright)[1].mean())

    assert side() < -10
    page.uncheck("#radiological")
    page.wait_for_timeout(150)
    assert side() > 10


def test_a_finding_moves_the_crosshair_there(browser: Any, own_copy: Path) -> None:
    for folder in sorted((own_copy / "maps" / "anomap").iterdir()):
        if (folder / "mask.nii.gz").is_file():
            find_again(folder)
    opened = open_page(browser, write_report(own_copy, execution=QUIET).path)
    page = opened.page
    rows = page.locator("#findings-rows tr")
    assert rows.count() >= 1
    page.click("#to-peak")
    set_slider(opened, "#position-x", 0.1)
    set_slider(opened, "#position-z", 0.1)
    away = [page.locator(f"#position-{axis}-mm").inner_text() for axis in "xyz"]
    rows.first.locator("button").click()
    there = [page.locator(f"#position-{axis}-mm").inner_text() for axis in "xyz"]
    assert there != away
    told = rows.first.locator("td").nth(3).inner_text()
    centre = [float(part) for part in told.split(",")]
    assert [float(text.split()[0]) for text in there] == pytest.approx(centre, abs=3)
    assert "main" in (rows.first.get_attribute("class") or "")
    assert opened.errors == []
    opened.context.close()


def test_every_control_is_reached_by_the_keyboard(opened: Watched) -> None:
    page = opened.page
    page.focus(".skip")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"order", "canvas", "position-x", "position-z", "show-map", "opacity-map"} <= reached
    assert {"above", "fill", "to-peak", "to-lesion", "crosshair", "radiological"} <= reached


def test_controls_and_pictures_have_names(opened: Watched) -> None:
    nameless = opened.page.evaluate(
        """() => [...document.querySelectorAll('input, select, button, canvas, figure > svg')]
        .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim()))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (800, "light"), (400, "dark")])
def test_the_page_fits_its_window_and_its_text_is_readable(
    browser: Any, page_path: Path, width: int, scheme: str
) -> None:
    watched = open_page(browser, page_path, width=width, scheme=scheme)
    assert watched.overflow() <= 0
    assert watched.page.evaluate(CONTRAST) == []
    watched.context.close()


CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const v = rgb(c).slice(0, 3).map((u) => { u /= 255;
    return u <= 0.03928 ? u / 12.92 : ((u + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (!c.startsWith("rgba(0, 0, 0, 0")) return c; } return "rgb(255,255,255)"; };
  const poor = [];
  const kinds = "p, dt, dd, th, td, label, legend, small, a, span, li, text";
  for (const e of document.querySelectorAll(kinds)) {
    if (!e.textContent.trim() || !e.checkVisibility() || e.closest(".status, svg a")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(e instanceof SVGElement ? style.fill : style.color), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(e.outerHTML.slice(0, 90));
  }
  return poor;
}"""


def test_twenty_full_cases_stay_small_and_load_fast(
    browser: Any, benchmarked: Path, tmp_path: Path
) -> None:
    affine, shape = centred_affine(np.diag([1.0, 1.0, 1.0]))
    world = world_of(shape, affine)
    brain = inside_brain(world)
    grain = np.random.default_rng(0).normal(0, 25, shape)  # compresses no better than a scan
    image = np.where(brain, smooth_intensity(world) + grain, 0).astype(np.float32)
    folder = tmp_path / "maps/anomap/ill2"
    smooth = np.where(brain, np.abs(np.sin(world[..., 0] / 7)), 0).astype(np.float32)
    volumes = {"anomaly": smooth, "brain_mask": brain, "mask": smooth > 0.9}
    for name, data in (volumes | {"pseudo_healthy": image}).items():
        write_volume(folder / f"{name}.nii.gz", data, affine)
    write_volume(tmp_path / "flair.nii.gz", image, affine)
    inputs = {"flair": str(tmp_path / "flair.nii.gz")}
    view = view_case(folder, CaseResult(inputs=inputs))
    results = read_results(benchmarked)
    names = [f"case{i:02d}" for i in range(20)]
    many = replace(results, results={name: CaseResult() for name in names}, rows={})
    page = tmp_path / "report.html"
    write_text(page, render(many, [replace(view, name=name) for name in names]))
    assert page.stat().st_size < 30e6
    watched = Watched(browser)
    start = time.monotonic()
    watched.page.goto(page.as_uri())
    assert time.monotonic() - start < 3.0
    wait_for_case(watched)
    watched.page.get_by_role("button", name="case19").click()
    wait_for_case(watched, "case19")
    assert colourful(pixels(watched.page.locator("#canvas"))) > 1000
    assert watched.errors == []
    watched.context.close()
