"""``anomap bids``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.common.checks import check_detection, check_out, check_there
from pipeline.cli.common.ending import finish, say_findings
from pipeline.cli.common.meaning import detect_options_of, execution_of
from pipeline.cli.common.parsers import (
    Commands,
    add_brain_extraction,
    add_command,
    add_modality,
    add_overwrite,
)
from pipeline.files.texts import count


def add_bids(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap bids``."""
    parser = add_command(
        commands,
        common,
        "bids",
        "a BIDS data set to a BIDS derivative: a BIDS-App",
        "anomap bids DATASET DATASET/derivatives/anomap participant --modality flair\n"
        "  anomap bids DATASET DATASET/derivatives/anomap group",
    )
    parser.add_argument("bids_dir", type=Path, help="root of the data set; it is only read")
    parser.add_argument("output_dir", type=Path, help="root of the derivative")
    parser.add_argument(
        "analysis_level",
        choices=("participant", "group"),
        help="participant: maps and masks of the scans; group: table and report of all results",
    )
    parser.add_argument(
        *("--participant-label", "--participant_label"),
        nargs="+",
        default=[],
        metavar="LABEL",
        help="only these participants, with or without sub-",
    )
    parser.add_argument(
        *("--session-label", "--session_label", "--session"),
        nargs="+",
        default=[],
        metavar="LABEL",
        help="only these sessions, with or without ses-",
    )
    add_modality(parser, required=False, text="which scans: flair, t1, ... (default: as of detect)")
    parser.add_argument("--model", type=Path, metavar="RUN_OR_BUNDLE", help="as of detect")
    parser.add_argument("--false-positive-rate", type=float, help="of the threshold (default 0.01)")
    parser.add_argument("--any-scan", action="store_true", help="as of detect")
    add_overwrite(parser)
    add_brain_extraction(parser)
    parser.set_defaults(run=_run_bids, brain_extraction="auto")


def _run_bids(arguments: argparse.Namespace) -> int:
    check_there([arguments.bids_dir])
    check_detection(arguments)
    check_out(arguments.output_dir)
    from pipeline.cases.several import Selection
    from pipeline.study.bids.app import Labels, group_level, participant_level
    from pipeline.study.bids.derivatives import RESULTS

    out, execution = arguments.output_dir, execution_of(arguments)
    if arguments.analysis_level == "group":
        grouped = group_level(arguments.bids_dir, out, execution=execution)
        return finish(
            grouped.failed, f"table and report of {count(len(grouped.done), 'scan')} in {out}"
        )
    made = participant_level(
        arguments.bids_dir,
        out,
        labels=Labels(tuple(arguments.participant_label), tuple(arguments.session_label)),
        options=detect_options_of(arguments),
        selection=Selection(modalities=arguments.modality),
        execution=execution,
    )
    say_findings(out / RESULTS, made.done)
    return finish(made.failed, f"derivatives of {count(len(made.done), 'scan')} in {out}")
