"""Options that several commands share, and how a command ends."""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from pipeline import entry_points
from pipeline.errors import InputError, one_line
from pipeline.files.folder.ownership import claim
from pipeline.files.names import FINDINGS_TABLE
from pipeline.files.paths import located
from pipeline.files.texts import count, quoted
from pipeline.run.words import (
    FALSE_POSITIVE_RATES,
    GROUPS,
    METHODS,
    NAMED,
    SHIPPED,
    STEPS,
    no_weights_for,
)

if TYPE_CHECKING:
    from pipeline.cases.loop import Execution
    from pipeline.cases.several import Selection
    from pipeline.study.detect import DetectOptions

RED, GREEN = "31", "32"
DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
"""Exit statuses; those after a signal are of `pipeline.cli.stopping`."""
LABEL_SCHEMES = ("auto", "brats2018", "brats2023", "msd", "binary")

Commands = Any
"""What `add_subparsers` returns; argparse has no public name for it."""


# --- parsers -------------------------------------------------------------------------------------


class OneLineParser(argparse.ArgumentParser):
    """Refuses what it cannot parse in one line, whatever that holds."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message; exit status 2."""
        super().error(one_line(message))

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """As argparse, and what may have been meant."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            raise argparse.ArgumentError(
                action, f"{error.message}{meant(str(value), map(str, action.choices or ()))}"
            ) from None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but no word is left over: a command refuses it with its own usage."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown)
        return parsed, unknown

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        first = next((word for word in unknown if word.startswith("-")), unknown[0])
        options = [name for action in self._actions for name in action.option_strings]
        self.error(f"unrecognized arguments: {' '.join(unknown)}{meant(first, options)}")


def meant(word: str, known: Iterable[str]) -> str:
    """`` (did you mean ...?)``; "" where nothing known is like a word."""
    close = difflib.get_close_matches(word.split("=")[0], list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def common_options() -> argparse.ArgumentParser:
    """Options of every command, as a parent of its parser."""
    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("common")
    group.add_argument("--seed", type=_seed, default=0, help="of everything drawn (default 0)")
    group.add_argument(
        "--device", type=_device, help="cpu, cuda, cuda:1 ... (default: CUDA where there is one)"
    )
    group.add_argument(
        "--max-failures",
        type=int,
        metavar="N",
        help="stop once more than N cases of a step have failed (default: go on to the last)",
    )
    group.add_argument(
        "--quiet", action="store_true", help="no progress bars, nor lines of progress in a log"
    )
    group.add_argument(
        "--log-json",
        type=Path,
        metavar="FILE",
        help="add a line of JSON for each stage of each case, with seconds and memory, and for "
        "each message",
    )
    group.add_argument("--debug", action="store_true", help="tracebacks and warnings")
    return common


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**63:
        raise argparse.ArgumentTypeError(f"expected 0 to {2**63 - 1}, got {text}")
    return seed


def add_command(
    commands: Commands, common: argparse.ArgumentParser, name: str, text: str, example: str
) -> argparse.ArgumentParser:
    """The parser of a command, with its one line and its example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        parents=[common],
        help=text,
        description=text,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(prints_all=False)
    return parser


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Options that say which cases are meant; see `selection_of`."""
    parser.add_argument(
        "--healthy", action="store_true", help="all cases of DATA are people without a lesion"
    )
    parser.add_argument("--section", help="the key of a datalist to read (default: all)")
    parser.add_argument(
        "--label-scheme",
        choices=LABEL_SCHEMES,
        help="what label values mean (default: by name and value)",
    )
    parser.add_argument(
        "--leave-out", default="", metavar="NAMES", help="cases not to use, separated by commas"
    )
    add_brain_extraction(parser)


def add_brain_extraction(parser: argparse.ArgumentParser) -> None:
    """``--brain-extraction``."""
    parser.add_argument(
        "--brain-extraction",
        choices=("auto", "anomap", "hd-bet", "deepbet", "none"),
        help="for heads that are not skull-stripped and have no mask: anomap's own network, HD-BET "
        "(a quarter of a minute on two cores) or deepbet (T1w); detect does it unasked (auto)",
    )


def add_modality(parser: argparse.ArgumentParser, *, required: bool, text: str = "") -> None:
    """``--modality``."""
    parser.add_argument(
        "--modality",
        type=_modalities,
        required=required,
        help=text
        or "flair, t1, t1ce, t2; several separated by commas become channels; image: pictures "
        "whose names say none",
    )


def _modalities(text: str) -> tuple[str, ...]:
    from pipeline.cases.layouts.names import canonical_modality

    return tuple(map(canonical_modality, names_of(text)))


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """``--overwrite``."""
    parser.add_argument("--overwrite", action="store_true", help="do finished cases again")


# --- what they mean ------------------------------------------------------------------------------


def selection_of(arguments: argparse.Namespace) -> Selection:
    """The cases that are meant, from `add_selection` and `add_modality`."""
    from pipeline.cases.several import Selection

    return Selection(
        modalities=getattr(arguments, "modality", None),
        healthy=True if arguments.healthy else None,
        section=arguments.section,
        label_scheme=getattr(arguments, "label_scheme", None),
        leave_out=names_of(arguments.leave_out),
        overrule=getattr(arguments, "modality", None) is not None,
    )


def names_of(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def execution_of(arguments: argparse.Namespace) -> Execution:
    """How the work is done, from `common_options` and `add_overwrite`."""
    from pipeline.cases.loop import Execution

    return Execution(
        progress=not arguments.quiet,
        overwrite=getattr(arguments, "overwrite", False),
        max_failures=arguments.max_failures,
        device=arguments.device,
        lines=arguments.lines,
    )


def check_there(paths: list[Path]) -> None:
    """See at once, before anything slow is imported, that one of the paths is there, and not empty.

    Raises:
        InputError: none is.
    """
    there = [path for path in paths if _may_be_there(path)]
    if paths and not there:
        raise InputError(f"{paths[0]}: no such file or folder")
    if there and not any(map(_may_hold_files, there)):
        raise InputError(f"{there[0]}: an empty folder; there is no file in it")


def _may_hold_files(path: Path) -> bool:
    """Whether it is a file, or there is one at any depth below it; links may lead to some."""
    root = located(path)
    return not root.is_dir() or any(
        files or any((Path(folder) / name).is_symlink() for name in folders)
        for folder, folders, files in os.walk(root)
    )


def check_model(model: Path | None, option: str = "--model ") -> None:
    """See that ``--model`` is there, or a name of weights that come with anomap.

    Raises:
        InputError: it is not.
    """
    if model is None or str(model).lower() in NAMED or _may_be_there(model):
        return
    raise InputError(
        f"{option}{model}: no such run or bundle{meant(str(model).lower(), NAMED)}; expected a "
        f"folder, a zipped bundle, or {', '.join(NAMED)}"
    )


def _check_weights(modalities: Sequence[str] | None) -> None:
    """See that weights come with anomap for one of the modalities that a user names.

    Raises:
        InputError: there are none.
    """
    if modalities and not set(modalities) & set(SHIPPED):
        raise InputError(no_weights_for(modalities))


def check_detection(arguments: argparse.Namespace) -> None:
    """See that weights and threshold that a detection is asked for are there.

    Raises:
        InputError: they are not.
    """
    check_model(arguments.model)
    if arguments.model is None:
        _check_weights(arguments.modality)
    check_rate(arguments.false_positive_rate)


def detect_options_of(arguments: argparse.Namespace) -> DetectOptions:
    """With what is detected; it imports torch."""
    from pipeline.study.detect import DetectOptions

    return DetectOptions(
        model=arguments.model,
        false_positive_rate=arguments.false_positive_rate,
        any_scan=arguments.any_scan,
        brain_extraction=arguments.brain_extraction,
        seed=arguments.seed,
    )


def check_rate(rate: float | None) -> None:
    """See that a false-positive rate is one that is calibrated.

    Raises:
        InputError: it is not.
    """
    low, high = min(FALSE_POSITIVE_RATES), max(FALSE_POSITIVE_RATES)
    if rate is not None and not low <= rate <= high:
        raise InputError(
            f"a false-positive rate between {low:g} and {high:g} is calibrated; got {rate:g}"
        )


def check_methods(text: str | None) -> None:
    """See that the methods of ``--methods`` are known, or are functions of one's own.

    Raises:
        InputError: one is not.
    """
    if text is None or text.strip() in GROUPS:
        return
    known = (*METHODS, *STEPS, *entry_points.names_of_group(entry_points.METHODS))
    for word in names_of(text):
        if word.removesuffix("_raw") in known or entry_points.is_path_of_object(word):
            continue
        raise InputError(
            f"no method is called {quoted(word)}{meant(word, known)}; there are "
            f"{', '.join(known)}, and functions of your own as package.module:function"
        )


def check_out(*folders: Path) -> None:
    """See that folders for results can be written to, before anything slow is imported.

    Raises:
        InputError: one cannot.
    """
    for folder in folders:
        claim(folder)


def _device(text: str) -> str:
    if re.fullmatch(r"(cpu|cuda|mps|xpu|hpu)(:\d+)?", text) is None:
        raise argparse.ArgumentTypeError(f"expected cpu, cuda, cuda:1 ...; got {quoted(text)}")
    return text


def _may_be_there(path: Path) -> bool:
    try:
        return located(path).exists()
    except OSError:  # that reading it will name
        return True


# --- how a command ends --------------------------------------------------------------------------


def finish(failed: Mapping[str, str], message: str) -> int:
    """Print the failures and where the result lies; the exit status."""
    for name, reason in failed.items():
        complain(f"{name} failed: {reason}")
    print(_painted(message, GREEN, sys.stdout))
    return SOME_FAILED if failed else DONE


MAX_SAID = 20
"""Cases whose findings are printed."""


def say_findings(out: Path, names: Sequence[str]) -> None:
    """Print what was found in cases, a line each; of many the first `MAX_SAID`."""
    from pipeline.findings.folder import sentences

    for name, found in sentences(out, names[:MAX_SAID]).items():
        print(one_line(f"{name}: {found}"))
    if (n_more := len(names) - MAX_SAID) > 0:
        print(f"and {n_more} more cases, see {FINDINGS_TABLE} in the folder of each")


def in_folder(n_cases: int, out: Path) -> str:
    """How many cases are done, and what to do next with their folder."""
    done = f"{count(n_cases, 'case')} in {out}"
    return f"{done}; {to_look_at(out)}" if n_cases else done


def to_look_at(out: Path) -> str:
    """What to do next with a folder of results."""
    return f"to look at every case: anomap report {shlex.quote(str(out))}"


def complain(message: str) -> None:
    """Print a line to standard error, whatever the message holds."""
    print(f"{_painted('anomap:', RED, sys.stderr)} {one_line(message)}", file=sys.stderr)


def _painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, on a terminal that has not asked for none (no-color.org)."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{colour}m{text}\033[0m"


class ToStandardError(logging.Handler):
    """Prints what the package logs for people, to the standard error of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        print(one_line(record.getMessage()), file=sys.stderr)
