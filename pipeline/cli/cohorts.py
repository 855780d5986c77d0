"""``anomap cases``, ``anomap convert`` and ``anomap phantom``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.common.checks import check_out, check_there
from pipeline.cli.common.ending import DONE, finish
from pipeline.cli.common.meaning import execution_of, selection_of
from pipeline.cli.common.parsers import (
    Commands,
    add_brain_extraction,
    add_command,
    add_crew,
    add_modality,
    add_selection,
)
from pipeline.files.texts import count


def add_cases(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap cases``."""
    parser = add_command(
        commands,
        common,
        "cases",
        "list the cases found in a folder, and why other files were left out",
        "anomap cases BraTS2021/ --modality flair",
    )
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="a cohort, a case folder, a scan, a datalist, or a DICOM study (folder or zip)",
    )
    add_modality(parser, required=False)
    add_selection(parser)
    parser.set_defaults(run=_run_cases, prints_all=True)


def _run_cases(arguments: argparse.Namespace) -> int:
    check_there([arguments.data])
    from pipeline.study.intake import describe

    print(describe(arguments.data, selection_of(arguments)))
    return DONE


def add_convert(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap convert``."""
    parser = add_command(
        commands,
        common,
        "convert",
        "DICOM studies to NIfTI, for commands that read no DICOM",
        "anomap convert STUDY/ STUDY.zip -o converted/",
    )
    parser.add_argument(
        "data", type=Path, nargs="+", metavar="STUDY", help="a folder or zip of DICOM files"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="gets a folder for each study"
    )
    add_modality(
        parser,
        required=False,
        text="what each study must have; with one alone, a series of which nobody knows what it "
        "shows is taken for it",
    )
    parser.set_defaults(run=_run_convert)


def _run_convert(arguments: argparse.Namespace) -> int:
    check_there(arguments.data)
    check_out(arguments.out)
    from pipeline.cases.several import Selection
    from pipeline.study.intake import convert

    taken = convert(
        arguments.data,
        arguments.out,
        selection=Selection(modalities=arguments.modality),
        execution=execution_of(arguments),
    )
    return finish(taken.failed, f"{count(len(taken.converted), 'study')} in {arguments.out}")


def add_phantom(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap phantom``."""
    parser = add_command(
        commands,
        common,
        "phantom",
        "make a cohort of synthetic brains, or insert tumours into real healthy ones (--on)",
        "anomap phantom cohort/ --healthy 20 --tumour 10 --modality flair --seed 0\n"
        "  anomap phantom inserted/ --on RUN/datalist.json --section test --modality t1",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the cohort")
    parser.add_argument("--healthy", dest="n_healthy", type=int, help="number of healthy cases")
    parser.add_argument("--tumour", dest="n_tumour", type=int, help="number of cases with a tumour")
    add_modality(parser, required=True)
    parser.add_argument("--spacing", type=float, default=1.0, help="voxel size in mm (default 1)")
    parser.add_argument(
        "--contrast",
        default="mixed",
        choices=("mixed", "bright", "dark", "iso"),
        help="tumours against the tissue around them (default mixed)",
    )
    parser.add_argument("--on", type=Path, metavar="DATA", help="healthy brains to put tumours in")
    parser.add_argument("--section", help="of a datalist given with --on")
    parser.add_argument("--leave-out", default="", metavar="NAMES", help="cases of --on not to use")
    add_brain_extraction(parser)
    add_crew(parser)
    parser.set_defaults(run=_run_phantom, healthy=True)


def _run_phantom(arguments: argparse.Namespace) -> int:
    check_out(arguments.out)
    from pipeline.study.phantoms import PhantomOptions, make_phantoms

    options = PhantomOptions(
        n_healthy=arguments.n_healthy,
        n_tumour=arguments.n_tumour,
        spacing_mm=arguments.spacing,
        contrast=arguments.contrast,
        on=arguments.on,
        brain_extraction=arguments.brain_extraction,
        seed=arguments.seed,
    )
    failed = make_phantoms(
        arguments.out,
        options=options,
        selection=selection_of(arguments),
        execution=execution_of(arguments),
    )
    return finish(failed, f"cohort in {arguments.out}")
