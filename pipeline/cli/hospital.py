"""``anomap pacs``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.common.checks import check_detection, check_out
from pipeline.cli.common.ending import finish, say_findings
from pipeline.cli.common.meaning import detect_options_of, execution_of, selection_of
from pipeline.cli.common.parsers import (
    Commands,
    add_command,
    add_modality,
    add_overwrite,
    add_selection,
)
from pipeline.files.texts import count
from pipeline.stages import stage


def add_pacs(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap pacs``."""
    parser = add_command(
        commands,
        common,
        "pacs",
        "fetch studies from an archive, detect, and store SEG, map and summary back",
        "anomap pacs --server pacs.example:104 --called ARCHIVE --pull 1.2.3.4 --push -o out/\n"
        "  anomap pacs --server pacs.example:104 --called ARCHIVE --push -o out/",
    )
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="of the archive")
    parser.add_argument("--called", required=True, metavar="AET", help="AE title of the archive")
    parser.add_argument("--calling", default="ANOMAP", metavar="AET", help="ours (default ANOMAP)")
    parser.add_argument(
        "--pull",
        action="append",
        default=[],
        metavar="STUDY_UID",
        help="fetch this study and detect; may be given again",
    )
    parser.add_argument(
        "--push", action="store_true", help="store results; without --pull all finished ones of OUT"
    )
    parser.add_argument("--model", type=Path, metavar="RUN_OR_BUNDLE", help="as of detect")
    add_modality(parser, required=False, text="which series of the studies are used")
    parser.add_argument("--any-scan", action="store_true", help="as of detect")
    parser.add_argument("--false-positive-rate", type=float, help="of the threshold (default 0.01)")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="as of detect")
    add_overwrite(parser)
    add_selection(parser)
    parser.set_defaults(run=_run_pacs, brain_extraction="auto")


def _run_pacs(arguments: argparse.Namespace) -> int:
    check_detection(arguments)
    check_out(arguments.out)
    from pipeline.dicom.network import peer_of

    peer = peer_of(arguments.server, arguments.called, arguments.calling)
    with stage("start"):
        from pipeline.study.hospital import PacsOptions, exchange

    detect = detect_options_of(arguments)
    exchanged = exchange(
        peer,
        arguments.out,
        options=PacsOptions(tuple(arguments.pull), arguments.push, detect),
        selection=selection_of(arguments),
        execution=execution_of(arguments),
    )
    say_findings(arguments.out, exchanged.done)
    stored = f"; {exchanged.stored} objects stored in {peer}" if arguments.push else ""
    return finish(
        exchanged.failed, f"{count(len(exchanged.done), 'case')} in {arguments.out}{stored}"
    )
