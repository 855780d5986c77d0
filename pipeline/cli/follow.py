"""``anomap findings`` and ``anomap compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.common.checks import check_there
from pipeline.cli.common.ending import finish, say_findings
from pipeline.cli.common.meaning import execution_of
from pipeline.cli.common.parsers import Commands, add_command, add_crew
from pipeline.errors import one_line
from pipeline.files.names import COMPARISON_PICTURE, FINDINGS_TABLE
from pipeline.files.texts import count


def add_findings(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap findings``."""
    parser = add_command(
        commands,
        common,
        "findings",
        "volume, size and place of each part of the masks anew, after one was corrected",
        "anomap findings out/",
    )
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="of detect or fuse, or the folder of one case"
    )
    add_crew(parser)
    parser.set_defaults(run=_run_findings)


def _run_findings(arguments: argparse.Namespace) -> int:
    check_there([arguments.out])
    from pipeline.study.follow.findings import remake_findings

    made = remake_findings(arguments.out, execution=execution_of(arguments))
    say_findings(made.folder, made.done)
    return finish(
        made.failed, f"{FINDINGS_TABLE} of {count(len(made.done), 'case')} in {arguments.out}"
    )


def add_compare(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap compare``."""
    parser = add_command(
        commands,
        common,
        "compare",
        "two dates of one person: change of the volume of each finding",
        "anomap detect january_flair.nii.gz -o january/\n"
        "  anomap detect june_flair.nii.gz -o june/\n"
        "  anomap compare january/ june/ -o change/",
    )
    parser.add_argument("before", type=Path, metavar="BEFORE", help="result of the first date")
    parser.add_argument("after", type=Path, metavar="AFTER", help="result of the second date")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="folder of the comparison"
    )
    parser.add_argument(
        "--any-scans",
        action="store_true",
        help="do not refuse scans that do not look like one brain in one contrast",
    )
    parser.set_defaults(run=_run_compare)


def _run_compare(arguments: argparse.Namespace) -> int:
    check_there([arguments.before])
    check_there([arguments.after])
    from pipeline.study.follow.compare import compare

    compared = compare(
        arguments.before, arguments.after, arguments.out, any_scans=arguments.any_scans
    )
    for note in compared.comparison.notes:
        print(one_line(f"note: {note}"))
    print(one_line(compared.sentence))
    return finish(
        {}, f"comparison in {arguments.out}; look at {arguments.out / COMPARISON_PICTURE}"
    )
