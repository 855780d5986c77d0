"""All figures for a paper: of noise alone, and of folders that the other commands left."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from pipeline.cases.case import Case
from pipeline.cases.loop import QUIET, Execution, Failures, each_case
from pipeline.cases.several import as_paths
from pipeline.errors import InputError
from pipeline.figures.cases import MAX_CASES, case_page, load_slice
from pipeline.figures.noise import forward_strip, noise_gallery
from pipeline.figures.perturbation import phantom_slice, scan_slice
from pipeline.figures.scores import has_scores, score_bars
from pipeline.figures.style import save
from pipeline.files.case_name import case_folder
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import claim
from pipeline.files.names import CAPTIONS
from pipeline.files.record.summary import Summary
from pipeline.files.texts import markdown_cell
from pipeline.files.writing import write_text
from pipeline.report.results import Results, chosen_cases, cohort_name, last_names, read_results
from pipeline.report.viewer import images_of
from pipeline.scores.tables import count_notes

SIZE = 128
"""Pixels along a side of the slice that noise is added to."""


@dataclass(frozen=True)
class FigureOptions:
    """What figures show.

    Attributes:
        scan: whose slice is perturbed; None takes a synthetic brain.
        labels: images and labels, if the folders do not say where.
        method: of a benchmark whose maps are shown; see `read_results`.
        seed: of noise and synthetic brain.
    """

    scan: Path | None = None
    labels: Path | None = None
    method: str | None = None
    seed: int = 0


def write_figures(
    results: Sequence[Path | str],
    out: Path | str,
    *,
    options: FigureOptions = FigureOptions(),
    execution: Execution = Execution(),
) -> tuple[int, dict[str, str]]:
    """Draw whatever can be drawn, each as PDF and PNG, with a caption in ``captions.md``.

    ``noise`` and ``forward`` always; ``cases`` for every folder with maps, and ``bars`` where its
    ``summary.json`` holds scores. Names begin with the folder's name.

    Args:
        results: folders of detect, evaluate or benchmark.
        out: folder of the figures.

    Returns:
        The number of figures, and folder or case -> reason of what could not be drawn.

    Raises:
        InputError: a folder is not there, none holds maps or scores, or the scan cannot be read.
    """
    folders, out_dir = as_paths(results), Path(out)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give one that detect or benchmark left")
    scan, seed = options.scan, options.seed
    picture = phantom_slice(seed, SIZE) if scan is None else scan_slice(scan, SIZE)
    of_what = "a synthetic FLAIR brain" if scan is None else scan.name
    figures = _FigureFolder(out_dir)
    named = dict(zip(_names(folders), folders, strict=True))
    claim(out_dir, _files_of(list(named)))
    with locked(out_dir):
        # Before the noise, which takes long.
        of_results, failed = _draw_folders(named, options, execution)
        figures.add([*_noise_figures(picture, of_what, seed), *of_results])
        figures.write_captions()
    return len(figures.captions), failed


def _draw_folders(
    named: Mapping[str, Path], options: FigureOptions, execution: Execution
) -> tuple[list[Captioned], dict[str, str]]:
    """The figures of each folder by its name; folder or case -> reason of what is not drawn.

    Raises:
        InputError: nothing can be drawn of any folder.
    """
    drawn: list[Captioned] = []
    failed: dict[str, str] = {}
    failures = Failures()
    hidden = not (execution.progress and named)
    for name, folder in tqdm(named.items(), desc="figures", unit="folder", disable=hidden):
        with contextlib.nullcontext() if len(named) == 1 else failures.catching(str(folder)):
            figures, missing = _figures_of(folder, name, options)
            drawn += figures
            failed |= missing
    if named and len(failures.reasons) == len(named):
        raise InputError(next(iter(failures.reasons.values())))
    return drawn, failed | failures.reasons


SUFFIXES = (".pdf", ".png")


def _files_of(names: Sequence[str]) -> list[str]:
    """Names of all files that may be written for folders of these names."""
    figures = ["noise", "forward", *(f"{name}_{kind}" for name in names for kind in KINDS)]
    return [CAPTIONS, *(f"{figure}{suffix}" for figure in figures for suffix in SUFFIXES)]


BARS, CASES = KINDS = ("bars", "cases")
"""Of figures of a folder."""


@dataclass(frozen=True)
class Captioned:
    """A figure, the name of its files without suffix, and its caption."""

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class _FigureFolder:
    """A folder of figures and their captions, by name."""

    folder: Path
    captions: dict[str, str] = field(default_factory=dict)

    def add(self, figures: Sequence[Captioned]) -> None:
        """Write figures, each as PDF and PNG."""
        for one in figures:
            for suffix in SUFFIXES:
                save(one.figure, self.folder / f"{one.name}{suffix}")
            self.captions[one.name] = one.caption

    def write_captions(self) -> None:
        """Write ``captions.md``."""
        entries = [
            f"## {markdown_cell(name)}\n\n![{markdown_cell(name)}]({quote(name)}.png)\n\n{caption} "
            f"([PDF]({quote(name)}.pdf))\n"
            for name, caption in self.captions.items()
        ]
        write_text(self.folder / CAPTIONS, "\n".join(["# Figures\n", *entries]))


def _noise_figures(picture: Tensor, shown: str, seed: int) -> list[Captioned]:
    """Those that need no results; ``shown`` says what the picture is of."""
    gallery = (
        f"Unit-variance fields of {SIZE} x {SIZE} pixels, and their mean power over rings of "
        f"spatial frequency (white noise: 1) beside that of {shown}. Simplex: octaves, base "
        "frequency in cycles a pixel, and decay of the amplitude from octave to octave; below, one "
        "of them changes."
    )
    strip = (
        f"Forward diffusion of {shown} with simplex and with Gaussian noise of unit variance on "
        "one schedule; x_t is sqrt(alpha bar) times the image plus noise."
    )
    return [
        Captioned("noise", noise_gallery(picture, seed), gallery),
        Captioned("forward", forward_strip(picture, seed=seed), strip),
    ]


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, numbered where two are alike."""
    names = [folder.resolve().name for folder in folders]
    return [
        name if names.count(name) == 1 else f"{name}_{names[:i].count(name) + 1}"
        for i, name in enumerate(names)
    ]


def _figures_of(
    folder: Path, name: str, options: FigureOptions
) -> tuple[list[Captioned], dict[str, str]]:
    """Bars and cases of a folder, and folder or case -> reason of what could not be drawn."""
    summary = Summary.of(folder)
    drawn: list[Captioned] = []
    if summary is not None and has_scores(summary):
        drawn.append(Captioned(f"{name}_{BARS}", score_bars(summary), _about_bars(summary)))
    try:
        results = read_results(folder, labels=options.labels, method=options.method)
    except InputError as error:
        if not drawn or options.method is not None:
            raise
        return drawn, {str(folder): f"{error}; bars alone are drawn"}
    slices = each_case(
        {case: case for case in chosen_cases(results, MAX_CASES)},
        lambda case: load_slice(
            case_folder(results.maps[results.main], case), _case(results, case)
        ),
        description="slices",
        execution=QUIET,
    )
    if slices.done:
        page = case_page(list(slices.done.values()))
        drawn.append(Captioned(f"{name}_{CASES}", page, _about_cases(results)))
    return drawn, {**results.unreadable, **slices.failed}


def _about_cases(results: Results) -> str:
    method, cohort = map(markdown_cell, (results.main, cohort_name(results)))
    return (
        f"Maps of {method} ({cohort}), each at the slice with the largest lesion, or else with "
        "the highest map. The patient's right is on the left. Outlines: mask, label."
    )


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
    cohort = markdown_cell(last_names(summary.cohort or "the cohort"))
    notes = "".join(f" {note}." for note in count_notes(summary.methods))
    return (
        f"Mean over the cases of {cohort} with 95 % "
        "intervals over cases; circles: Dice at each case's own best threshold, which needs the "
        f"label.{notes}"
    )
