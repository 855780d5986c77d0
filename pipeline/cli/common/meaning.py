"""What the options that several commands share mean to the functions they call."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pipeline.cli.common.parsers import (
    names_of,
)

if TYPE_CHECKING:
    from pipeline.cases.loop import Execution
    from pipeline.cases.several import Selection
    from pipeline.study.detect import DetectOptions


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


def execution_of(arguments: argparse.Namespace) -> Execution:
    """How the work is done, from `common_options` and `add_overwrite`."""
    from pipeline.cases.loop import Execution
    from pipeline.workers.crew import Crew

    return Execution(
        progress=not arguments.quiet,
        overwrite=getattr(arguments, "overwrite", False),
        max_failures=arguments.max_failures,
        device=arguments.device,
        lines=arguments.lines,
        crew=Crew(getattr(arguments, "workers", 1), getattr(arguments, "cluster", None)),
    )


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
