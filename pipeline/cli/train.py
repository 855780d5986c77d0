"""``anomap train`` and ``anomap demo``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import entry_points
from pipeline.cli.common.checks import check_model, check_out, check_there
from pipeline.cli.common.ending import finish
from pipeline.cli.common.meaning import execution_of, selection_of
from pipeline.cli.common.parsers import (
    Commands,
    add_command,
    add_crew,
    add_modality,
    add_selection,
    meant,
)
from pipeline.errors import InputError
from pipeline.files.limits import MAX_QUOTED
from pipeline.files.texts import cut, quoted
from pipeline.run.words import (
    DEGRADATIONS,
    NOISES,
    PRESETS,
    SETTINGS,
    degradation_settings,
    is_setting,
)
from pipeline.stages import stage


def add_train(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap train``."""
    parser = add_command(
        commands,
        common,
        "train",
        "train on healthy cases, then calibrate on held-out healthy ones",
        "anomap train IXI/ --modality t1 --healthy -o runs/t1 --preset small",
    )
    parser.add_argument(
        "data", type=Path, nargs="+", metavar="DATA", help="folders or datalists of healthy scans"
    )
    add_modality(parser, required=False)
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="RUN", help="folder of the run"
    )
    parser.add_argument(
        "--preset",
        default="tiny",
        choices=PRESETS,
        help="tiny (default), small, base; paper, anoddpm, dae as published; picture; see README",
    )
    parser.add_argument("--resume", action="store_true", help="continue a broken-off training")
    parser.add_argument(
        "--noise",
        choices=_KnownNoises(),
        help="that is added in training (default: simplex); installed packages add others",
    )
    parser.add_argument(
        "--degradation",
        choices=DEGRADATIONS,
        help="what the network learns to undo: noise (default), painted lesions (anomaly: no noise "
        "is added to a scan either), or both",
    )
    parser.add_argument("--epochs", type=int, help="passes (default: the preset's)")
    parser.add_argument("--hold-out", type=int, default=0, help="subjects not to touch at all")
    _add_further(parser)
    add_selection(parser)
    add_crew(parser)
    parser.set_defaults(run=_run_train)


class _KnownNoises:
    """Names of noises; those of installed packages are looked for only if others are asked for."""

    def __contains__(self, name: object) -> bool:
        return name in NOISES or name in tuple(self)

    def __iter__(self) -> Iterator[str]:
        yield from NOISES
        yield from entry_points.names_of_group(entry_points.NOISES)


def _add_further(parser: argparse.ArgumentParser) -> None:
    """``--extra`` and ``--set``."""
    parser.add_argument(
        "--extra",
        type=Path,
        action="append",
        default=[],
        metavar="DATA",
        help="healthy cases that are only trained on, as phantoms: no atlas, no threshold of them",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting of config.yaml, as training.batch_size=8",
    )


def _run_train(arguments: argparse.Namespace) -> int:
    check_there(arguments.data)
    for path in arguments.extra:
        check_there([path])
    check_out(arguments.out)
    settings = _settings(arguments)
    from pipeline.study.train import TrainOptions, train

    options = TrainOptions(
        preset=arguments.preset,
        settings=settings,
        extra=tuple(arguments.extra),
        brain_extraction=arguments.brain_extraction,
        resume=arguments.resume,
    )
    run = train(
        arguments.data,
        arguments.out,
        options=options,
        selection=selection_of(arguments),
        execution=execution_of(arguments),
    )
    if run.was_finished:
        return finish({}, f"already finished: run in {run.path}")
    return finish(
        run.failed, f"run in {run.path}; look at it with: tensorboard --logdir {run.path}"
    )


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Dotted key to value, of all options that are settings of a run."""
    values: dict[str, Any] = {"hold_out": arguments.hold_out}
    if arguments.seed is not None:
        values["seed"] = arguments.seed
    if arguments.noise:
        values["diffusion.noise"] = arguments.noise
    if arguments.degradation:
        values |= degradation_settings(arguments.degradation)
    if arguments.epochs is not None:
        values["training.epochs"] = arguments.epochs
    return values | dict(map(_assigned, arguments.set))


def _assigned(assignment: str) -> tuple[str, Any]:
    """Key and value of a ``--set``."""
    from pipeline.run.strict_yaml import parse_yaml

    key, separator, text = assignment.partition("=")
    if not separator:
        raise InputError(f"--set {cut(assignment, MAX_QUOTED)}: expected KEY=VALUE")
    if not is_setting(key):
        names = [f"{part}.{name}".lstrip(".") for part, all_ in SETTINGS.items() for name in all_]
        raise InputError(
            f"there is no setting {quoted(key)}{meant(key, names)}; `config.yaml` of a run "
            "lists all"
        )
    try:
        return key, parse_yaml(text)
    except ValueError as error:
        raise InputError(f"--set {key}: not a value ({error})") from error


def add_calibrate(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap calibrate``."""
    parser = add_command(
        commands,
        common,
        "calibrate",
        "fit weights to one's own scanner: atlas and thresholds from ten or more healthy scans, "
        "without training",
        "anomap calibrate t1 MY_CONTROLS -o runs/t1_here\n"
        "  anomap detect patient_t1.nii.gz --model runs/t1_here -o out",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a run, a bundle, or a name such as flair or t1"
    )
    parser.add_argument(
        "data", type=Path, nargs="+", metavar="DATA", help="scans of people without a lesion"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="RUN", help="folder of the new run"
    )
    add_selection(parser)
    add_crew(parser)
    parser.set_defaults(run=_run_calibrate, brain_extraction="auto")


def _run_calibrate(arguments: argparse.Namespace) -> int:
    check_model(arguments.model, "")
    check_there(arguments.data)
    check_out(arguments.out)
    with stage("start"):
        from pipeline.study.follow.own_site import ADVISED, calibrate_run

    fitted = calibrate_run(
        arguments.model,
        arguments.data,
        arguments.out,
        brain_extraction=arguments.brain_extraction,
        selection=selection_of(arguments),
        execution=execution_of(arguments),
    )
    for rates in fitted.rates:
        print(
            f"of {100 * rates.stated:g} % stated, {100 * rates.after:.2g} % of a healthy brain are "
            f"marked on average (before: {100 * rates.before:.2g} %), each person by the others"
        )
    if len(fitted.cases) < ADVISED:
        print(f"note: of {len(fitted.cases)} people; from {ADVISED} on this can be relied on more")
    return finish(fitted.failed, f"run of {len(fitted.cases)} people in {fitted.path}")


def add_demo(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap demo``."""
    parser = add_command(
        commands,
        common,
        "demo",
        "all of it on synthetic brains: cohort, training, detection, table, pictures, report",
        "anomap demo -o demo/",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="OUT",
        help="folder of everything (default demo)",
    )
    parser.add_argument("--epochs", type=int, help="of the training (default: some minutes' worth)")
    parser.set_defaults(run=_run_demo)


def _run_demo(arguments: argparse.Namespace) -> int:
    check_out(arguments.out)
    from pipeline.study.demo import demo

    made = demo(
        arguments.out,
        seed=arguments.seed,
        epochs=arguments.epochs,
        execution=execution_of(arguments),
    )
    print(made.table)
    return finish({}, f"pictures in {made.pictures}\nreport in {made.report}; open it in a browser")
