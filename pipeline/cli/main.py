"""The command line: parses, calls one function, prints where the result lies."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.cli import bids, cohorts, detect, evaluate, follow, hospital, share, train
from pipeline.cli.common.ending import DONE, SOME_FAILED, WRONG_USAGE, ToStandardError, complain
from pipeline.cli.common.parsers import OneLineParser, common_options
from pipeline.cli.stopping import Stop, stopping_on_signals
from pipeline.cli.streams import ForgivingStream, forgiving_streams
from pipeline.errors import TooManyFailuresError, interruption_in, printable, reason_of, user_error
from pipeline.files.folder.disk import disk_error
from pipeline.files.paths import working_directory
from pipeline.stages import JsonLines, event, timed

EPILOG = """\
examples:
  anomap demo                                       all of it on synthetic brains, six minutes
  anomap train IXI/ --modality t1 --healthy -o runs/t1
  anomap detect patient_t1.nii.gz --model runs/t1 -o out/
  anomap report out/                                a page to look at

exit status: 0 done; 1 some cases failed, the others are done; 2 wrong usage, an input or a disk
that cannot be used; 130, 143, 129 stopped by Ctrl-C, SIGTERM, SIGHUP. A reader of the output that
has left (| head) changes nothing.

Research only; not a medical device."""
COMMANDS = (
    *(
        cohorts.add_cases,
        cohorts.add_convert,
        cohorts.add_phantom,
        train.add_train,
        train.add_calibrate,
        detect.add_detect,
        detect.add_fuse,
        hospital.add_pacs,
        bids.add_bids,
        follow.add_findings,
        follow.add_compare,
    ),
    *(evaluate.add_evaluate, evaluate.add_benchmark, share.add_export, share.add_report),
    *(share.add_figures, share.add_models, share.add_app, train.add_demo),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``anomap``; the exit status, see `EPILOG`."""
    _share_the_cores()
    with forgiving_streams() as output, stopping_on_signals() as stop:
        arguments = _parsed(argv, output)
        says_stages = not arguments.quiet
        arguments.lines = says_stages and not sys.stderr.isatty()
        arguments.quiet |= arguments.lines  # a bar in a log file is a line a step
        _set_up_logging(debug=arguments.debug, with_lines=arguments.lines)
        with timed() as clock:
            status = _run(arguments, stop)
        if says_stages and status in (DONE, SOME_FAILED) and (stages := clock.summary()):
            logging.getLogger("pipeline").warning("%s", stages)
        lost = _lost(output)
        return max(status, lost) if arguments.prints_all else status


def _parsed(argv: Sequence[str] | None, output: ForgivingStream) -> argparse.Namespace:
    try:
        return parser().parse_args(argv)
    except SystemExit:  # --help and --version print all that they do
        if lost := _lost(output):
            raise SystemExit(lost) from None
        raise


def _run(arguments: argparse.Namespace, stop: Stop) -> int:
    try:
        try:
            working_directory()  # torch ends the process without one
            with _log_of_json(arguments.log_json):
                event("command", command=arguments.command)
                return int(arguments.run(arguments))
        except Exception as error:
            # Workers that die of the same signal are an error to the libraries that they work for.
            if stop.number is not None or interruption_in(error) is not None:
                raise KeyboardInterrupt from error
            if arguments.debug:
                raise
            return _fail(error)
    except KeyboardInterrupt:
        complain(
            "stopped; what is finished stays: repeat the command to go on (train: with --resume)"
        )
        return stop.status


def _lost(output: ForgivingStream) -> int:
    """Say that what was printed did not arrive; the exit status where it was all there is."""
    output.flush()
    if output.error is None:
        return DONE
    complain(f"standard output: cannot be written to ({output.error.strerror})")
    return WRONG_USAGE


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = OneLineParser(
        prog="anomap",
        description="Finds brain tumours without having seen one: learns healthy brains, shows "
        "what it cannot restore.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"anomap {__version__}")
    top.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh", "tcsh"),
        help="a script that completes commands, options and paths in a shell: "
        'eval "$(anomap --print-completion bash)"',
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common, of_preset = common_options(), common_options(seed=None)
    for add in COMMANDS:
        add(commands, of_preset if add is train.add_train else common)
    return top


class _PrintCompletion(argparse.Action):
    """Prints what `shtab` makes of the parser."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            import shtab
        except ImportError:
            parser.error("--print-completion needs a further package: pip install shtab")
        print(shtab.complete(_with_paths(parser), shell=str(values)))
        parser.exit(0)


def _with_paths(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser, of which every argument that is a path says so to `shtab`."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _with_paths(inner)
        elif action.type is Path:
            action.complete = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # type: ignore[attr-defined]
    return parser


def _fail(error: Exception) -> int:
    """Say an error in one line; the exit status."""
    if isinstance(error, TooManyFailuresError):
        for name, reason in error.failed.items():
            complain(f"{name} failed: {reason}")
        complain(str(error))
        return SOME_FAILED
    if user_error(error) is None and isinstance(refused := disk_error(error) or error, OSError):
        place = printable(str(refused.filename)) if refused.filename else "a file"
        complain(f"{place}: {refused.strerror or refused}")
        return WRONG_USAGE
    if isinstance(error, MemoryError) or user_error(error) is not None:
        complain(reason_of(error))
        return WRONG_USAGE
    complain(
        f"an error of our own, {reason_of(error)}; run again with --debug and report the traceback"
    )
    return SOME_FAILED


def _share_the_cores() -> None:
    """Before torch is loaded: its OpenMP threads wait for each other asleep, not spinning.

    Where another program has one of two cores, spinning makes a detection eleven times as slow.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _set_up_logging(*, debug: bool, with_lines: bool = False) -> None:
    """What our functions log for people goes to standard error; of others only if asked for.

    Args:
        debug: everything.
        with_lines: lines of progress too, as a log has them in place of bars.
    """
    ours = logging.getLogger("pipeline")
    if debug:
        logging.basicConfig()
        ours.setLevel(logging.DEBUG)
        return
    if not any(isinstance(handler, ToStandardError) for handler in ours.handlers):
        ours.addHandler(ToStandardError())
    ours.setLevel(logging.INFO if with_lines else logging.WARNING)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _note_of_thread
    warnings.filterwarnings("ignore")
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    logging.getLogger("nibabel").setLevel(logging.CRITICAL)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home it cannot use
    os.environ.setdefault("PYTHONWARNINGS", "ignore")


@contextlib.contextmanager
def _log_of_json(path: Path | None) -> Iterator[None]:
    """Add what happens inside to a file, a line each; what is in it stays.

    Raises:
        OSError: the file cannot be written to.
    """
    if path is None:
        yield
        return
    ours = logging.getLogger("pipeline")
    level = ours.level
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(JsonLines())
    for other in ours.handlers:
        other.setLevel(max(other.level, ours.getEffectiveLevel()))
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)
        handler.close()


def _note_of_thread(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread hands its errors on, so that they need not be told twice."""
    logging.getLogger("pipeline").debug("thread %s: %r", failure.thread, failure.exc_value)
