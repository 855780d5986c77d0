"""All figures for a paper: of noise alone, and of folders that the other commands left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from pipeline.cases.case import Case
from pipeline.errors import InputError
from pipeline.figures.panels import (
    MAX_CASES,
    case_page,
    forward_strip,
    load_panels,
    noise_gallery,
    save,
    score_bars,
)
from pipeline.figures.perturbation import phantom_slice, scan_slice
from pipeline.files.names import CAPTIONS
from pipeline.files.nifti import make_folder, write_text
from pipeline.files.record.summary import Summary
from pipeline.report.results import Results, chosen_cases, cohort_name, last_names, read_results
from pipeline.report.viewer import images_of

SIZE = 128
"""Pixels along a side of the slice that noise is added to."""


def write_figures(
    out_dir: Path,
    folders: Sequence[Path] = (),
    *,
    scan: Path | None = None,
    labels: Path | None = None,
    method: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> tuple[int, dict[str, str]]:
    """Draw whatever can be drawn, each as PDF and PNG, with a caption in ``captions.md``.

    ``noise`` and ``forward`` always; ``cases`` for every folder with maps, and ``bars`` where its
    ``summary.json`` holds scores. Names begin with the folder's name.

    Args:
        folders: of detect, evaluate or benchmark.
        scan: whose slice is perturbed; None takes a synthetic brain.
        labels: images and labels, if the folders do not say where.
        method: of a benchmark whose maps are shown; see `read_results`.
        seed: of noise and synthetic brain.
        progress: show a bar.

    Returns:
        The number of figures, and folder or case -> reason of what could not be drawn.

    Raises:
        InputError: a folder is not there or holds neither maps nor scores, or the scan cannot be
            read.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give one that detect or benchmark left")
    picture = phantom_slice(seed, SIZE) if scan is None else scan_slice(scan, SIZE)
    shown = "a synthetic FLAIR brain" if scan is None else scan.name
    make_folder(out_dir)
    plates = _Plates(out_dir)
    plates.add(
        "noise",
        noise_gallery(picture, seed),
        f"Unit-variance fields of {SIZE} x {SIZE} pixels, and their mean power over rings of "
        f"spatial frequency (white noise: 1) beside that of {shown}. Simplex: octaves, base "
        "frequency in cycles a pixel, and decay of the amplitude from octave to octave; below, one "
        "of them changes.",
    )
    plates.add(
        "forward",
        forward_strip(picture, seed=seed),
        f"Forward diffusion of {shown} with simplex and with Gaussian noise of unit variance on "
        "one schedule; x_t is sqrt(alpha bar) times the image plus noise.",
    )
    failed: dict[str, str] = {}
    named = list(zip(folders, _names(folders), strict=True))
    for folder, name in tqdm(
        named, desc="figures", unit="folder", disable=not (progress and named)
    ):
        failed |= _of_folder(plates, folder, name, labels, method)
    plates.write_captions()
    return len(plates.captions), failed


class _Plates:
    """A folder of figures and their captions."""

    def __init__(self, out_dir: Path) -> None:
        self.out_dir = out_dir
        self.captions: dict[str, str] = {}

    def add(self, name: str, figure: Figure, caption: str) -> None:
        for suffix in (".pdf", ".png"):
            save(figure, self.out_dir / f"{name}{suffix}")
        self.captions[name] = caption

    def write_captions(self) -> None:
        entries = [
            f"## {name}\n\n![{name}]({name}.png)\n\n{caption} ([PDF]({name}.pdf))\n"
            for name, caption in self.captions.items()
        ]
        write_text(self.out_dir / CAPTIONS, "\n".join(["# Figures\n", *entries]))


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, numbered where two are alike."""
    names = [folder.resolve().name for folder in folders]
    return [
        name if names.count(name) == 1 else f"{name}_{names[:i].count(name) + 1}"
        for i, name in enumerate(names)
    ]


def _of_folder(
    plates: _Plates, folder: Path, name: str, labels: Path | None, method: str | None
) -> dict[str, str]:
    summary = Summary.of(folder)
    before = len(plates.captions)
    failed: dict[str, str] = {}
    try:
        if summary is not None:
            plates.add(f"{name}_bars", score_bars(summary), _about_bars(summary))
    except InputError:  # healthy cases alone have neither AUPRC nor Dice
        pass
    try:
        results = read_results(folder, labels=labels, method=method)
    except InputError as error:
        if len(plates.captions) == before or method is not None:
            raise
        failed[str(folder)] = f"{error}; bars alone are drawn"
        return failed
    panels = []
    for case in chosen_cases(results, MAX_CASES):
        try:
            panels.append(load_panels(results.maps[results.main] / case, _case(results, case)))
        except InputError as error:
            failed[case] = str(error)
    if panels:
        caption = f"Maps of {results.main} ({cohort_name(results)}), each at the slice with the "
        caption += "largest lesion, or else with the highest map. Left is left. Outlines: mask, "
        caption += "label."
        plates.add(f"{name}_cases", case_page(panels), caption)
    return failed


def _case(results: Results, name: str) -> Case:
    """With the images that the map was made from, and a label where one is known.

    Raises:
        InputError: nothing says where the images lie.
    """
    if name in results.cases:
        return results.cases[name]
    images = images_of(results.results[name])
    if not images:
        raise InputError(f"{name}: nothing says where its image lies; give --labels")
    return Case(name, name, images)


def _about_bars(summary: Summary) -> str:
    cohort = last_names(summary.cohort or "the cohort")
    return (
        f"Mean over the cases of {cohort} with 95 % bootstrap "
        "intervals over cases; circles: Dice at each case's own best threshold, which needs the "
        "label."
    )
