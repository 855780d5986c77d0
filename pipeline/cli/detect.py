"""``anomap detect`` and ``anomap fuse``."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from pipeline.cli.common.checks import check_detection, check_out, check_rate, check_there
from pipeline.cli.common.ending import finish, in_folder, say_findings
from pipeline.cli.common.meaning import detect_options_of, execution_of, selection_of
from pipeline.cli.common.parsers import (
    Commands,
    add_command,
    add_crew,
    add_modality,
    add_overwrite,
    add_selection,
)
from pipeline.errors import InputError
from pipeline.stages import stage


def add_detect(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap detect``."""
    parser = add_command(
        commands,
        common,
        "detect",
        "anomaly map, mask and pseudo-healthy image of each case, on its own grid",
        "anomap detect patient_flair.nii.gz -o out/\n"
        "  anomap detect patient_flair.nii.gz --model runs/flair -o out/",
    )
    parser.add_argument(
        "data",
        type=Path,
        nargs="+",
        metavar="IN",
        help="scans, case folders, cohorts, datalists, DICOM studies (folders or zips)",
    )
    _add_model(parser)
    said = "where no name of a file says it, and no --model is given: flair, t2, t1 or t1ce"
    add_modality(parser, required=False, text=said)
    parser.add_argument(
        "--any-scan",
        action="store_true",
        help="do not refuse scans that look unlike what the shipped weights were made for",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="gets a folder for each case"
    )
    parser.add_argument("--false-positive-rate", type=float, help="of the threshold (default 0.01)")
    parser.add_argument(
        "--dicom",
        action="store_true",
        help="of DICOM studies also SEG, parametric map and a summary, in OUT/<case>/dicom/",
    )
    add_overwrite(parser)
    _add_parts(parser)
    add_selection(parser)
    add_crew(parser)
    parser.set_defaults(run=_run_detect, brain_extraction="auto")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN_OR_BUNDLE",
        help="a zipped bundle fits too; or phantom: weights of synthetic FLAIR alone (default: "
        "weights that come with anomap, for FLAIR, T2, T1 and T1ce)",
    )


def _add_parts(parser: argparse.ArgumentParser) -> None:
    """``--num-parts`` and ``--part-id``."""
    parser.add_argument(
        "--num-parts",
        type=int,
        nargs="?",
        const=0,
        default=1,
        metavar="N",
        help="do one of N parts of the cases, into the same OUT as the others; without N, inside a "
        "Slurm array, that of the task",
    )
    parser.add_argument(
        "--part-id", type=int, metavar="K", help="which part, 0 to N - 1 (in Slurm: of the task)"
    )


def _part_of(arguments: argparse.Namespace) -> tuple[int, int]:
    """Number of the part, and of parts, from `_add_parts`.

    Raises:
        InputError: nothing says which part, or a number is impossible.
    """
    n_parts, number = getattr(arguments, "num_parts", 1), getattr(arguments, "part_id", None)
    if n_parts == 1 and number is None:
        return 0, 1
    if n_parts == 0 or number is None:
        of_task, of_array = _slurm_part()
        n_parts = n_parts or of_array
        number = of_task if number is None else number
    if not 0 <= number < n_parts:
        raise InputError(f"--part-id {number}: expected 0 to {n_parts - 1}, of {n_parts} parts")
    return number, n_parts


def _slurm_part() -> tuple[int, int]:
    """Which task of how many this is in a Slurm array."""

    def told(key: str, default: str = "") -> int:
        value = os.environ.get(f"SLURM_ARRAY_TASK_{key}", default)
        if not value.isdigit():
            raise InputError(
                "--num-parts N --part-id K are needed, or a Slurm array "
                f"(SLURM_ARRAY_TASK_{key} is not set)"
            )
        return int(value)

    return (told("ID") - told("MIN", "0")) // max(told("STEP", "1"), 1), told("COUNT")


def _run_detect(arguments: argparse.Namespace) -> int:
    check_there(arguments.data)
    check_detection(arguments)
    check_out(arguments.out)
    part = _part_of(arguments)
    with stage("start"):
        from pipeline.study.detect import detect

    execution = replace(execution_of(arguments), part=part)
    detected = detect(
        arguments.data,
        arguments.out,
        options=detect_options_of(arguments),
        selection=selection_of(arguments),
        execution=execution,
    )
    failed = dict(detected.failed)
    if arguments.dicom:
        from pipeline.study.hospital import write_dicom

        failed |= write_dicom(arguments.out, detected.done, execution=execution)
    say_findings(arguments.out, detected.done)
    return finish(
        failed,
        in_folder(len(detected.done), arguments.out),
    )


def add_fuse(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap fuse``."""
    parser = add_command(
        commands,
        common,
        "fuse",
        "results of several modalities or weights to one map and mask of each case",
        "anomap detect patients/ --modality flair -o out_flair/\n"
        "  anomap detect patients/ --modality t1 -o out_t1/\n"
        "  anomap fuse out_flair/ out_t1/ -o out/",
    )
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULTS", help="of detect or benchmark"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="gets a folder for each case"
    )
    parser.add_argument(
        "--rule",
        default="any",
        help="any: one scan that shows it is enough; mean: all of them count (default any)",
    )
    parser.add_argument(
        "--false-positive-rate",
        type=float,
        default=0.01,
        help="of the threshold, at most (default 0.01)",
    )
    add_overwrite(parser)
    add_crew(parser)
    parser.set_defaults(run=_run_fuse)


def _run_fuse(arguments: argparse.Namespace) -> int:
    check_there(arguments.results)
    check_rate(arguments.false_positive_rate)
    check_out(arguments.out)
    from pipeline.detection.fusion import FusionOptions, fuse

    fused = fuse(
        arguments.results,
        arguments.out,
        options=FusionOptions(arguments.rule, arguments.false_positive_rate),
        execution=execution_of(arguments),
    )
    say_findings(arguments.out, fused.done)
    return finish(fused.failed, in_folder(len(fused.done), arguments.out))
