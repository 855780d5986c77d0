"""``anomap evaluate`` and ``anomap benchmark``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.common.checks import (
    check_methods,
    check_model,
    check_out,
    check_rate,
    check_there,
)
from pipeline.cli.common.ending import finish, to_look_at
from pipeline.cli.common.meaning import execution_of, selection_of
from pipeline.cli.common.parsers import (
    Commands,
    add_command,
    add_crew,
    add_modality,
    add_overwrite,
    add_selection,
)
from pipeline.files.names import TABLE

METHODS_HELP = (
    "names separated by commas, all (default: all but the chain), raw (without the steps that all "
    "methods share: filter, level of the case, half height ...), or ladder (an ablation: to the "
    "recipe of the run, one lever at a time, what its network adds last): anomap, no_network, "
    "atlas_ssim, intensity, intensity_dark, normative, blur_residual, brain_damage, "
    "gaussian_one_shot, dae, anoddpm_chain"
)


def add_evaluate(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap evaluate``."""
    parser = add_command(
        commands,
        common,
        "evaluate",
        "score maps, from any method, against labels",
        "anomap evaluate out/ --labels BraTS2021/",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="holds <case>/anomaly.nii.gz")
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="DATA", help="cases with lesion labels"
    )
    parser.add_argument("--method", help="name in the table (default: as the maps say)")
    parser.add_argument("--threshold", type=float, help="instead of that in result.json")
    add_modality(parser, required=False)
    add_selection(parser)
    add_crew(parser)
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(arguments: argparse.Namespace) -> int:
    check_there([arguments.labels])
    check_there([arguments.out])
    from pipeline.scores.tables import format_table
    from pipeline.study.evaluate import EvaluateOptions, evaluate

    options = EvaluateOptions(
        method=arguments.method,
        threshold=arguments.threshold,
        brain_extraction=arguments.brain_extraction,
        seed=arguments.seed,
    )
    scored = evaluate(
        arguments.out,
        arguments.labels,
        options=options,
        selection=selection_of(arguments),
        execution=execution_of(arguments),
    )
    print(format_table(scored.summary))
    table = arguments.out / TABLE
    return finish(scored.failed, f"table in {table}; {to_look_at(arguments.out)}")


def add_benchmark(commands: Commands, common: argparse.ArgumentParser) -> None:
    """``anomap benchmark``."""
    parser = add_command(
        commands,
        common,
        "benchmark",
        "our method and the baselines on the same cases, in one table",
        "anomap benchmark BraTS2021/ --modality flair --model runs/flair -o out/",
    )
    parser.add_argument(
        "data", type=Path, nargs="+", metavar="DATA", help="cases with lesion labels, or healthy"
    )
    add_modality(parser, required=False)
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        metavar="RUN_OR_BUNDLE",
        help="repeat it for runs with other noises, as gaussian_one_shot needs (default: weights "
        "that come with anomap)",
    )
    parser.add_argument("--methods", help=METHODS_HELP)
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="gets maps, tables, pictures"
    )
    parser.add_argument(
        "--calibrate-on",
        type=Path,
        metavar="DATA",
        help="healthy cases for all thresholds, instead of those that the run kept for it",
    )
    add_overwrite(parser)
    parser.add_argument("--false-positive-rate", type=float, help="of the threshold (default 0.01)")
    add_selection(parser)
    add_crew(parser)
    parser.set_defaults(run=_run_benchmark)


def _run_benchmark(arguments: argparse.Namespace) -> int:
    check_there(arguments.data)
    for model in arguments.model:
        check_model(model)
    if arguments.calibrate_on is not None:
        check_there([arguments.calibrate_on])
    check_methods(arguments.methods)
    check_rate(arguments.false_positive_rate)
    check_out(arguments.out)
    from pipeline.scores.tables import format_table
    from pipeline.study.benchmark import BenchmarkOptions, benchmark

    options = BenchmarkOptions(
        models=tuple(arguments.model),
        methods=arguments.methods,
        calibrate_on=arguments.calibrate_on,
        false_positive_rate=arguments.false_positive_rate,
        brain_extraction=arguments.brain_extraction,
        seed=arguments.seed,
    )
    compared = benchmark(
        arguments.data,
        arguments.out,
        options=options,
        selection=selection_of(arguments),
        execution=execution_of(arguments),
    )
    print(format_table(compared.summary))
    pictures = f"pictures in {compared.pictures}; " if compared.pictures else ""
    return finish(compared.failed, f"{pictures}{to_look_at(arguments.out)}")
