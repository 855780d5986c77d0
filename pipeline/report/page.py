"""A folder of results to one self-contained HTML page with an interactive viewer."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

import jinja2

from pipeline.cases.loop import Execution, Failures, each_case
from pipeline.detection.methods.table import OURS
from pipeline.errors import InputError
from pipeline.files.case_name import case_folder
from pipeline.files.folder.lock import tidy
from pipeline.files.folder.ownership import claim
from pipeline.files.names import REPORT
from pipeline.files.record.result import CaseResult
from pipeline.files.texts import without_folders
from pipeline.files.writing import write_text
from pipeline.report.results import Results, best_others, chosen_cases, cohort_name, read_results
from pipeline.report.tables import case_table, charts, method_table, provenance, tiles
from pipeline.report.viewer import View, map_top, view_case, view_map
from pipeline.report.viewer_data import Words, viewer_data
from pipeline.scores.tables import COLUMNS, count_notes

MAX_OTHERS = 3
"""Methods whose maps the viewer carries beside the main one's: some 0.1 MB each a case."""
ASSETS = files("pipeline.report") / "assets"


@dataclass(frozen=True)
class ViewOptions:
    """What a page shows of a folder.

    Attributes:
        labels: where images and labels lie, if the folder does not say it.
        method: that the page is about; None takes ours, or the first.
        compare: methods that the viewer can show instead; None takes the `MAX_OTHERS` best.
        max_views: so many cases get a viewer at most.
        with_paths: folders and commands stand on the page; without, names of files and cases do.
    """

    labels: Path | None = None
    method: str | None = None
    compare: Sequence[str] | None = None
    max_views: int = 20
    with_paths: bool = False


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        path: of the page.
        failed: case -> why it is not shown, as the page says too.
    """

    path: Path
    failed: dict[str, str] = field(default_factory=dict)


def write_report(
    folder: Path | str, *, options: ViewOptions = ViewOptions(), execution: Execution = Execution()
) -> Report:
    """Write ``report.html`` into a folder that benchmark, evaluate or detect left.

    A case that cannot be shown is named on the page, and the others are shown.

    Raises:
        InputError: the folder holds no maps, or not those of ``method`` or ``compare``, or no case
            can be shown; or its page cannot be written, or would replace one that is not ours.
    """
    folder = Path(folder)
    if folder.is_dir():
        claim(folder, [REPORT])
        tidy(folder)
    results = read_results(folder, labels=options.labels, method=options.method)
    names = best_others(results, MAX_OTHERS) if options.compare is None else options.compare
    others = [results.of_method(name) for name in names if name != results.main]
    shown = chosen_cases(results, options.max_views)
    tops = {each.main: _shared_top(each, shown) for each in (results, *others)}
    views = each_case(
        {name: name for name in shown},
        lambda name: _view(results, others, name, tops),
        description="report",
        execution=execution,
    )
    if not views.done:
        reason = next(iter(views.failed.values()))
        raise InputError(f"{folder}: no case can be shown; the first: {reason}")
    words = (
        str if options.with_paths else functools.partial(without_folders, folders=_known(results))
    )
    page = render(
        results, list(views.done.values()), others=others, failed=views.failed, words=words
    )
    write_text(folder / REPORT, page)
    return Report(folder / REPORT, {**results.unreadable, **views.failed})


def _known(results: Results) -> set[str]:
    """Folders that messages about these results may name."""
    files = [image.path for case in results.cases.values() for image in case.images.values()]
    files += [Path(path) for result in results.results.values() for path in result.inputs.values()]
    folders = {results.folder, results.folder.resolve(), Path.cwd(), Path.home()}
    folders |= {folder for file in files for folder in (file.parent, file.resolve().parent)}
    return {str(folder) for folder in folders} - {".", "/"}


def _view(
    results: Results, others: Sequence[Results], name: str, tops: Mapping[str, float]
) -> View:
    """A case by the main method and the others; one of those that cannot be shown is a note."""
    view = view_case(
        case_folder(results.maps[results.main], name),
        results.results[name],
        results.cases.get(name),
        top=tops[results.main],
    )
    maps: list[View] = []
    failures = Failures()
    for other in others:
        folder, top = case_folder(other.maps[other.main], name), tops[other.main]
        if reason := other.unreadable.get(name):
            failures.add(other.main, reason)
        if name in other.results:
            with failures.catching(other.main):
                maps.append(view_map(folder, other.results[name], other.main, top=top))
    reasons = failures.reasons.items()
    notes = [f"The map of {method} is not shown: {reason}" for method, reason in reasons]
    return replace(view, others=tuple(maps), notes=(*view.notes, *notes))


def _shared_top(results: Results, names: Sequence[str]) -> float:
    """The end of the colour scale of a method's maps, above every mask's cut."""
    shown = [name for name in names if name in results.results]
    thresholds = [results.results[name].threshold for name in shown]
    known = [t.value for t in thresholds if t is not None and t.value is not None]
    cuts = [cut for name in shown if (cut := results.results[name].mask_cut) is not None]
    folder = results.maps[results.main]
    top = map_top([case_folder(folder, name) for name in shown], max(known, default=None))
    return max([top, *cuts])


def environment() -> jinja2.Environment:
    """Templates of ``assets/``, everything escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(name: str) -> str:
    """The text of a file of ``assets/``."""
    return (ASSETS / name).read_text(encoding="utf-8")


def render_viewer(folder: Path, result: CaseResult, title: str) -> str:
    """A page with the viewer of one case alone, from the folder that a detection left."""
    results = Results(folder.parent, {OURS: folder.parent}, OURS, {title: result})
    views = [replace(view_case(folder, result), name=title)]
    viewer = viewer_data(results, views, words=without_folders)
    template = environment().get_template("viewer_alone.html.j2")
    return template.render(asset=asset, title=title, viewer=viewer)


def render(
    results: Results,
    views: Sequence[View],
    *,
    others: Sequence[Results] = (),
    failed: Mapping[str, str] = {},
    words: Words = without_folders,
) -> str:
    """The page.

    Args:
        results: of the method that it is about.
        views: the cases that get a viewer.
        others: of the further methods that the views show.
        failed: case -> why it cannot be shown.
        words: what is made of a text for people; by default paths lose their folders.
    """
    method = results.method_summaries.get(results.main)
    shown = [view.name for view in views]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            asset=asset,
            title=cohort_name(results),
            results=results,
            n_cases=len(results.results),
            tiles=tiles(results),
            viewer=viewer_data(results, views, others, words=words),
            headings=list(COLUMNS),
            methods=method_table(results),
            count_notes=count_notes(results.method_summaries),
            charts=charts(results, shown),
            cases=case_table(results, shown),
            not_scored=_said({} if method is None else method.failed, words),
            not_shown=_said({**results.unreadable, **failed}, words),
            provenance=provenance(results, with_paths=words is str),
        )
    )


def _said(reasons: Mapping[str, str], words: Words) -> dict[str, str]:
    return {name: words(reason) for name, reason in reasons.items()}
