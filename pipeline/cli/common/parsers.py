"""Parsers, and options that several commands share."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import one_line
from pipeline.files.texts import quoted

LABEL_SCHEMES = ("auto", "brats2018", "brats2023", "msd", "binary")


Commands = Any
"""What `add_subparsers` returns; argparse has no public name for it."""


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


def common_options(seed: int | None = 0) -> argparse.ArgumentParser:
    """Options of every command, as a parent of its parser.

    Args:
        seed: where none is said; None leaves it to the preset.
    """
    default = "the preset's, mostly 0" if seed is None else str(seed)
    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("common")
    group.add_argument(
        "--seed", type=_seed, default=seed, help=f"of everything drawn (default {default})"
    )
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


def add_crew(parser: argparse.ArgumentParser) -> None:
    """``--workers`` and ``--cluster``; see `pipeline.workers.crew`."""
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="cases that are worked on side by side, each in a process of its own (default 1); "
        "the cores are shared among them",
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="workers of a Dask cluster do it: the address of its scheduler, as tcp://HOST:8786, "
        "or local, which starts one here with --workers processes",
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """``--overwrite``."""
    parser.add_argument("--overwrite", action="store_true", help="do finished cases again")


def _device(text: str) -> str:
    if re.fullmatch(r"(cpu|cuda|mps|xpu|hpu)(:\d+)?", text) is None:
        raise argparse.ArgumentTypeError(f"expected cpu, cuda, cuda:1 ...; got {quoted(text)}")
    return text


def names_of(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
