"""``anomap export``, ``report``, ``figures`` and ``app``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.common.checks import check_model, check_out, check_there
from pipeline.cli.common.ending import DONE, finish
from pipeline.cli.common.meaning import execution_of
from pipeline.cli.common.parsers import Commands, add_command, names_of
from pipeline.errors import InputError
from pipeline.files.names import CAPTIONS
from pipeline.files.texts import count


def add_export(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap export``."""
    parser = add_command(
        commands,
        common,
        "export",
        "a run as a MONAI bundle that works where anomap is not installed",
        "anomap export runs/flair -o flair_anomalies.zip --benchmark 'BraTS 2021'=bench/",
    )
    parser.add_argument("model", type=Path, metavar="RUN", help="a run, or the folder of a bundle")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR_OR_ZIP", help="of the bundle"
    )
    parser.add_argument(
        "--benchmark",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="cohort and folder of `anomap benchmark`, for the model card; may be repeated",
    )
    parser.add_argument(
        "--no-source", action="store_true", help="leave the source out: needs anomap installed"
    )
    parser.set_defaults(run=_run_export)


def _run_export(arguments: argparse.Namespace) -> int:
    check_model(arguments.model, "")
    benchmarks: dict[str, Path] = {}
    for text in arguments.benchmark:
        name, separator, folder = text.rpartition("=")
        if not separator or not name:
            raise InputError(f"--benchmark {text}: expected NAME=DIR")
        benchmarks[name] = Path(folder)
    check_there(list(benchmarks.values()))
    from pipeline.bundle.export import export

    export(
        arguments.model,
        arguments.out,
        benchmarks=benchmarks,
        with_source=not arguments.no_source,
    )
    return finish({}, f"bundle in {arguments.out}")


def add_report(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap report``."""
    parser = add_command(
        commands,
        common,
        "report",
        "one web page with scores, curves and a viewer, from what the other commands left",
        "anomap report out/\n  anomap report out/ --labels BraTS2021/ --cases 50\n"
        "  anomap report bench/ --compare intensity,dae",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="of detect, evaluate or benchmark")
    parser.add_argument("--method", help="of a benchmark to look at (default: anomap)")
    parser.add_argument(
        "--compare",
        metavar="METHODS",
        help="that the viewer switches to, separated by commas, or none (default: the three with "
        "the highest AUPRC)",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="DATA", help="images and labels, if OUT does not say where"
    )
    parser.add_argument(
        "--cases", type=int, default=20, help="with a viewer, at most (default 20, some 25 MB)"
    )
    parser.add_argument(
        "--with-paths",
        action="store_true",
        help="folders and commands stand on the page, which is then not for others",
    )
    parser.set_defaults(run=_run_report)


def _run_report(arguments: argparse.Namespace) -> int:
    if arguments.cases < 1:
        raise InputError(f"--cases {arguments.cases}: expected 1 or more")
    check_there([arguments.out])
    if arguments.labels is not None:
        check_there([arguments.labels])
    from pipeline.report.page import ViewOptions, write_report

    compare = [name for name in names_of(arguments.compare or "") if name != "none"]
    options = ViewOptions(
        labels=arguments.labels,
        method=arguments.method,
        compare=None if arguments.compare is None else compare,
        max_views=arguments.cases,
        with_paths=arguments.with_paths,
    )
    page = write_report(arguments.out, options=options, execution=execution_of(arguments))
    return finish(page.failed, f"report in {page.path}; open it in a browser")


def add_figures(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap figures``."""
    parser = add_command(
        commands,
        common,
        "figures",
        "figures for a paper, PDF and PNG: noise and its spectra, the forward process; of results, "
        "panels of cases and bars of scores",
        "anomap figures -o figures/\n  anomap figures bench/ ablation/ -o figures/",
    )
    parser.add_argument(
        "results", type=Path, nargs="*", metavar="RESULTS", help="of detect, evaluate or benchmark"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="folder of the figures"
    )
    parser.add_argument(
        "--scan", type=Path, help="whose slice noise is added to (default: a synthetic brain)"
    )
    parser.add_argument("--method", help="of a benchmark whose maps are shown (default: anomap)")
    parser.add_argument(
        "--labels", type=Path, metavar="DATA", help="images and labels, if RESULTS do not say where"
    )
    parser.set_defaults(run=_run_figures)


def _run_figures(arguments: argparse.Namespace) -> int:
    check_there(arguments.results)
    for path in filter(None, (arguments.scan, arguments.labels)):
        check_there([path])
    check_out(arguments.out)
    from pipeline.figures.paper import FigureOptions, write_figures

    options = FigureOptions(
        scan=arguments.scan,
        labels=arguments.labels,
        method=arguments.method,
        seed=arguments.seed,
    )
    n_figures, failed = write_figures(
        arguments.results, arguments.out, options=options, execution=execution_of(arguments)
    )
    return finish(failed, f"{count(n_figures, 'figure')}; look at {arguments.out / CAPTIONS}")


def add_models(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap models``."""
    parser = add_command(
        commands,
        common,
        "models",
        "the weights that come with anomap: data, people, size, what they cannot find",
        "anomap models t1",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of weights (default: all)")
    parser.set_defaults(run=_run_models, prints_all=True)


def _run_models(arguments: argparse.Namespace) -> int:
    from pipeline.run.shipped import shipped_weights

    for weights in shipped_weights(arguments.names):
        print("\n".join(weights.lines()))
    return DONE


def add_app(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap app``."""
    parser = add_command(
        commands,
        common,
        "app",
        "pages in a browser, on this machine alone: what noise does, and detection of one scan",
        "anomap app --model runs/flair",
    )
    parser.add_argument(
        "--model", type=Path, metavar="RUN", help="that the Detect page begins with"
    )
    parser.add_argument("--port", type=int, default=8501, help="of localhost (default 8501)")
    parser.add_argument("--no-browser", action="store_true", help="do not open one")
    parser.set_defaults(run=_run_app)


def _run_app(arguments: argparse.Namespace) -> int:
    check_model(arguments.model)
    from pipeline.app.serve import serve

    serve(
        model=arguments.model,
        port=arguments.port,
        browser=not arguments.no_browser,
        seed=arguments.seed,
    )
