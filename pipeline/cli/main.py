"""The command line: parses, calls one function, prints where the result lies."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from pipeline import __version__
from pipeline.cli import cohorts, detect, evaluate, share, train
from pipeline.cli.options import (
    INTERRUPTED,
    SOME_FAILED,
    WRONG_USAGE,
    ToStandardError,
    common_options,
    complain,
)
from pipeline.errors import InputError, TooManyFailuresError

EPILOG = """\
examples:
  anomap demo                                       all of it on synthetic brains, six minutes
  anomap train IXI/ --modality t1 --healthy -o runs/t1
  anomap detect patient_t1.nii.gz --model runs/t1 -o out/
  anomap report out/                                a page to look at

Research only; not a medical device."""
COMMANDS = (
    *(cohorts.add_cases, cohorts.add_phantom, train.add_train, detect.add_detect, detect.add_fuse),
    *(evaluate.add_evaluate, evaluate.add_benchmark, share.add_export, share.add_report),
    *(share.add_figures, share.add_app, train.add_demo),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``anomap``; returns 0 done, 1 cases failed (the others are done), 2 wrong usage."""
    _share_the_cores()
    arguments = parser().parse_args(argv)
    arguments.quiet |= not sys.stderr.isatty()  # a bar in a log file is a line a step
    _set_up_logging(debug=arguments.debug)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        complain(
            "stopped; what is finished stays: repeat the command to go on (train: with --resume)"
        )
        return INTERRUPTED
    except Exception as error:
        if arguments.debug:
            raise
        return _fail(error)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="anomap",
        description="Finds brain tumours without having seen one: learns healthy brains, shows "
        "what it cannot restore.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"anomap {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = common_options()
    for add in COMMANDS:
        add(commands, common)
    return top


def _fail(error: Exception) -> int:
    """Say an error in one line; the exit status."""
    if isinstance(error, TooManyFailuresError):
        for name, reason in error.failed.items():
            complain(f"{name} failed: {reason}")
        complain(str(error))
        return SOME_FAILED
    if isinstance(error, InputError):
        complain(str(error))
        return WRONG_USAGE
    complain(
        f"an error of our own, {type(error).__name__}: {error}; run again with --debug and "
        "report the traceback"
    )
    return SOME_FAILED


def _share_the_cores() -> None:
    """Before torch is loaded: its OpenMP threads wait for each other asleep, not spinning.

    Where another program has one of two cores, spinning makes a detection eleven times as slow.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _set_up_logging(*, debug: bool) -> None:
    """What our functions log for people goes to standard error; of others only if asked for."""
    ours = logging.getLogger("pipeline")
    if debug:
        logging.basicConfig()
        ours.setLevel(logging.DEBUG)
        return
    if not any(isinstance(handler, ToStandardError) for handler in ours.handlers):
        ours.addHandler(ToStandardError())
    warnings.filterwarnings("ignore")
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    logging.getLogger("nibabel").setLevel(logging.CRITICAL)
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
