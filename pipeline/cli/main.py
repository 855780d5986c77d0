"""The command line: parses, calls one function, prints where the result lies."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipeline import __version__
from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.cases.cohort import Case
    from pipeline.cases.loop import Execution
    from pipeline.run.config import RunConfig

RED, GREEN = "31", "32"
EPILOG = """\
examples:
  anomap demo                                       all of it on synthetic brains, six minutes
  anomap train IXI/ --modality t1 --healthy -o runs/t1
  anomap detect patient_t1.nii.gz --model runs/t1 -o out/
  anomap report out/                                a page to look at

Research only; not a medical device."""
DONE, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
FINISHED = ("model.pt", "atlases.npz", "calibration.json")
"""Files of a run that needs no more training."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``anomap``; returns 0 done, 1 cases failed (the others are done), 2 wrong usage."""
    _share_the_cores()
    arguments = _parser().parse_args(argv)
    arguments.quiet |= not sys.stderr.isatty()  # a bar in a log file is a line a step
    if arguments.debug:
        logging.basicConfig()
        logging.getLogger("pipeline").setLevel(logging.DEBUG)
    else:
        warnings.filterwarnings("ignore")
        logging.getLogger("ignite").setLevel(logging.CRITICAL)
        logging.getLogger("nibabel").setLevel(logging.CRITICAL)
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
    try:
        return int(arguments.run(arguments))
    except InputError as error:
        if arguments.debug:
            raise
        _complain(str(error))
        return WRONG_USAGE
    except KeyboardInterrupt:
        _complain(
            "stopped; what is finished stays: repeat the command to go on (train: with --resume)"
        )
        return INTERRUPTED
    except Exception as error:
        if arguments.debug:
            raise
        _complain(
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


def _complain(message: str) -> None:
    print(f"{_painted('anomap:', RED, sys.stderr)} {message}", file=sys.stderr)


def _painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, on a terminal that has not asked for none (no-color.org)."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{colour}m{text}\033[0m"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomap",
        description="Finds brain tumours without having seen one: learns healthy brains, shows "
        "what it cannot restore.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"anomap {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("common")
    group.add_argument("--seed", type=int, default=0, help="of everything drawn (default 0)")
    group.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: CUDA where there is one)")
    group.add_argument("--quiet", action="store_true", help="no progress bars (nor in a log)")
    group.add_argument("--debug", action="store_true", help="tracebacks and warnings")
    for add in (
        *(_add_cases, _add_phantom, _add_train, _add_detect, _add_fuse, _add_evaluate),
        *(_add_benchmark, _add_export, _add_report, _add_figures, _add_app, _add_demo),
    ):
        add(commands, common)
    return parser


def _command(
    commands: Any, common: argparse.ArgumentParser, name: str, text: str, example: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        parents=[common],
        help=text,
        description=text,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--healthy", action="store_true", help="all cases of DATA are people without a lesion"
    )
    parser.add_argument("--section", help="the key of a datalist to read (default: all)")
    parser.add_argument(
        "--label-scheme",
        choices=("auto", "brats2018", "brats2023", "msd", "binary"),
        help="what label values mean (default: by name and value)",
    )
    parser.add_argument(
        "--leave-out", default="", metavar="NAMES", help="cases not to use, separated by commas"
    )
    parser.add_argument(
        "--brain-extraction",
        choices=("deepbet",),
        help="for heads that are not skull-stripped and have no mask (T1w)",
    )


def _modalities(text: str) -> tuple[str, ...]:
    from pipeline.cases.layouts import canonical_modality

    return tuple(canonical_modality(part.strip()) for part in text.split(",") if part.strip())


def _add_modality(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--modality",
        type=_modalities,
        required=required,
        help="flair, t1, t1ce, t2; several separated by commas become channels",
    )


# --- cases -------------------------------------------------------------------------------------


def _add_cases(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "cases",
        "list the cases found in a folder, and why other files were left out",
        "anomap cases BraTS2021/ --modality flair",
    )
    parser.add_argument("data", type=Path, metavar="DATA")
    _add_modality(parser, required=False)
    _add_data_options(parser)
    parser.set_defaults(run=_run_cases)


def _run_cases(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from pipeline.cases.cohort import find_cases, format_cohort

    cohort = find_cases(
        arguments.data,
        modalities=arguments.modality,
        healthy=True if arguments.healthy else None,
        section=arguments.section,
        label_scheme=arguments.label_scheme,
    )
    wanted = _less(arguments, {case.name: case for case in cohort.cases}, arguments.data)
    print(format_cohort(replace(cohort, cases=tuple(wanted))))
    return DONE


def _less(arguments: argparse.Namespace, found: dict[str, Case], where: Path) -> list[Case]:
    """The cases without those of ``--leave-out``."""
    unwanted = {name for name in arguments.leave_out.split(",") if name}
    if unknown := sorted(unwanted - set(found)):
        raise InputError(f"--leave-out {unknown[0]}: no case of that name in {where}")
    return [case for name, case in found.items() if name not in unwanted]


def _find(
    arguments: argparse.Namespace,
    paths: Sequence[Path],
    modalities: Any,
    failed: dict[str, str] | None = None,
) -> list[Case]:
    """The cases of several paths, with names that differ, less those to leave out.

    Args:
        failed: gets the paths without a case, and the cases that lack a modality; None raises on a
            bad path and only prints the latter.
    """
    from pipeline.cases.cohort import find_cases

    found: dict[str, Case] = {}
    for path in paths:
        try:
            cohort = find_cases(
                path,
                modalities=modalities,
                healthy=True if arguments.healthy else None,
                section=arguments.section,
                label_scheme=arguments.label_scheme,
            )
        except InputError as error:
            if failed is None or len(paths) == 1:
                raise
            failed[str(path)] = str(error)
            # At the end it is said again; hours before, it can still be mended.
            print(f"not used: {error}", file=sys.stderr)
            continue
        for name, reason in cohort.incomplete.items():
            if failed is not None:
                failed[name] = reason
            else:
                print(f"not used: {name}: {reason}", file=sys.stderr)
        for case in cohort.cases:
            if case.name in found:
                raise InputError(
                    f"{path}: a case named {case.name!r} was already found elsewhere; give the "
                    "folders in separate commands, or rename one"
                )
            found[case.name] = case
        for note in cohort.notes:
            print(f"note: {note}", file=sys.stderr)
    if not found and failed:
        raise InputError(next(iter(failed.values())))
    return _less(arguments, found, paths[0])


# --- phantom -----------------------------------------------------------------------------------


def _add_phantom(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "phantom",
        "make a cohort of synthetic brains, or insert tumours into real healthy ones (--on)",
        "anomap phantom cohort/ --healthy 20 --tumour 10 --modality flair --seed 0\n"
        "  anomap phantom inserted/ --on RUN/datalist.json --section test --modality t1",
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--healthy", dest="n_healthy", type=int, help="number of healthy cases")
    parser.add_argument("--tumour", dest="n_tumour", type=int, help="number of cases with a tumour")
    _add_modality(parser, required=True)
    parser.add_argument("--spacing", type=float, default=1.0, help="voxel size in mm (default 1)")
    parser.add_argument(
        "--contrast",
        default="mixed",
        choices=("mixed", "bright", "dark", "iso"),
        help="tumours against the tissue around them (default mixed)",
    )
    parser.add_argument("--on", type=Path, metavar="DATA", help="healthy brains to put tumours in")
    parser.add_argument("--section", help="of a datalist given with --on")
    parser.add_argument("--leave-out", default="", help="cases of --on not to use")
    parser.add_argument("--brain-extraction", choices=("deepbet",), help="for --on")
    parser.set_defaults(run=_run_phantom, label_scheme=None, healthy=True)


def _run_phantom(arguments: argparse.Namespace) -> int:
    from pipeline.cases.cohort import Cohort, healthy_for_training
    from pipeline.phantom.cohort import write_cohort, write_inserted_cohort

    for name, count in (("--healthy", arguments.n_healthy), ("--tumour", arguments.n_tumour)):
        if count is not None and count < 0:
            raise InputError(f"{name} {count}: expected a number of cases, 0 or more")

    options: dict[str, Any] = {
        "seed": arguments.seed,
        "contrast": arguments.contrast,
        "progress": not arguments.quiet,
    }
    if arguments.on is None:
        write_cohort(
            arguments.out,
            arguments.modality,
            n_healthy=10 if arguments.n_healthy is None else arguments.n_healthy,
            n_tumour=10 if arguments.n_tumour is None else arguments.n_tumour,
            spacing_mm=arguments.spacing,
            **options,
        )
        return _finish({}, f"cohort in {arguments.out}")
    from pipeline.cases.brain_extraction import make_extractor
    from pipeline.cases.loading import load_brain

    extractor = make_extractor(arguments.brain_extraction)
    _check_section(arguments.on, arguments.section)
    cases = _find(arguments, [arguments.on], arguments.modality)
    healthy, refused = healthy_for_training(Cohort(arguments.on, tuple(cases)))
    for name, reason in refused.items():
        print(f"not used: {name}: {reason}", file=sys.stderr)
    write_inserted_cohort(
        arguments.out,
        healthy,
        arguments.modality,
        n_healthy=arguments.n_healthy,
        n_tumour=arguments.n_tumour,
        load_brain=lambda case: load_brain(case, arguments.modality, extractor),
        **options,
    )
    record = json.loads((arguments.out / "cohort.json").read_text(encoding="utf-8"))
    return _finish(record.get("failed", {}), f"cohort in {arguments.out}")


def _check_section(path: Path, section: str | None) -> None:
    """A run's datalist holds people that the model has seen: which are meant must be said."""
    if path.suffix.lower() == ".json" and section is None:
        raise InputError(
            f"{path}: say which part is meant with --section; tumours belong into people that the "
            "model was neither trained nor calibrated on (a run's --section test, see --hold-out)"
        )


# --- train -------------------------------------------------------------------------------------


def _add_train(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "train",
        "train on healthy cases, then calibrate on held-out healthy ones",
        "anomap train IXI/ --modality t1 --healthy -o runs/t1 --preset small",
    )
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA")
    _add_modality(parser, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="RUN")
    parser.add_argument(
        "--preset", default="tiny", help="tiny (default), small, base or paper; see README"
    )
    parser.add_argument("--resume", action="store_true", help="continue a broken-off training")
    parser.add_argument("--noise", choices=("simplex", "gaussian", "coarse", "mixed"))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--hold-out", type=int, default=0, help="subjects not to touch at all")
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
    _add_data_options(parser)
    parser.set_defaults(run=_run_train)


def _run_train(arguments: argparse.Namespace) -> int:
    from pipeline.cases.brain_extraction import make_extractor
    from pipeline.cases.cohort import Cohort, healthy_for_training
    from pipeline.run.config import load_config
    from pipeline.study.benchmark import complete_run
    from pipeline.training.engine import train

    config = _run_config(arguments)
    finished = all((arguments.out / n).is_file() for n in FINISHED)
    if arguments.resume and finished and load_config(arguments.out / "config.yaml") == config:
        return _finish({}, f"already finished: run in {arguments.out}")
    extractor = make_extractor(arguments.brain_extraction)
    cases = _find(arguments, arguments.data, config.modalities)
    extra = _find_extra(arguments, {case.name for case in cases}, config.modalities)
    healthy, refused = healthy_for_training(Cohort(arguments.data[0], tuple(cases)))
    if extra:
        extra, unusable = healthy_for_training(Cohort(arguments.extra[0], tuple(extra)))
        refused |= unusable
    for name, reason in refused.items():
        print(f"not used: {name}: {reason}", file=sys.stderr)
    failed = train(
        healthy,
        config,
        arguments.out,
        extra=extra,
        resume=arguments.resume,
        extract_brain=extractor,
        device=_device(arguments),
        progress=not arguments.quiet,
    )
    complete_run(
        arguments.out,
        device=_device(arguments),
        extract_brain=extractor,
        execution=_execution(arguments),
    )
    return _finish(
        failed, f"run in {arguments.out}; look at it with: tensorboard --logdir {arguments.out}"
    )


def _find_extra(
    arguments: argparse.Namespace, taken: set[str], modalities: tuple[str, ...]
) -> list[Case]:
    """The cases of ``--extra``.

    Raises:
        InputError: one has the name of a case of DATA.
    """
    from pipeline.cases.cohort import find_cases

    healthy = True if arguments.healthy else None
    found = [
        case
        for path in arguments.extra
        for case in find_cases(path, modalities=modalities, healthy=healthy).cases
    ]
    names = [case.name for case in found]
    for i, name in enumerate(names):
        if name in taken or name in names[:i]:
            raise InputError(f"--extra: a case named {name!r} was already found elsewhere")
    return found


def _run_config(arguments: argparse.Namespace) -> RunConfig:
    import yaml

    from pipeline.run.config import override, preset_config

    values: dict[str, Any] = {"seed": arguments.seed, "hold_out": arguments.hold_out}
    if arguments.noise:
        values["diffusion.noise"] = arguments.noise
    if arguments.epochs is not None:
        values["training.epochs"] = arguments.epochs
    for assignment in arguments.set:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise InputError(f"--set {assignment}: expected KEY=VALUE")
        values[key] = yaml.safe_load(text)
    return override(preset_config(arguments.preset, arguments.modality), values)


def _execution(arguments: argparse.Namespace) -> Execution:
    from pipeline.cases.loop import Execution

    return Execution(progress=not arguments.quiet, overwrite=getattr(arguments, "overwrite", False))


def _device(arguments: argparse.Namespace) -> Any:
    from pipeline.run.model import usable_device

    return usable_device(arguments.device)


# --- detect ------------------------------------------------------------------------------------


def _add_detect(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "detect",
        "anomaly map, mask and pseudo-healthy image of each case, on its own grid",
        "anomap detect patient_flair.nii.gz -o out/\n"
        "  anomap detect patient_flair.nii.gz --model runs/flair -o out/",
    )
    parser.add_argument("data", type=Path, nargs="+", metavar="IN")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN_OR_BUNDLE",
        help="a zipped bundle fits too; or phantom: weights of synthetic FLAIR alone (default: "
        "weights that come with anomap, for FLAIR and T1)",
    )
    parser.add_argument(
        "--modality",
        type=_modalities,
        help="where no name of a file says it, and no --model is given: flair or t1",
    )
    parser.add_argument(
        "--any-scan",
        action="store_true",
        help="do not refuse scans that look unlike what the shipped weights were made for",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT")
    parser.add_argument("--false-positive-rate", type=float, help="of the threshold (default 0.01)")
    parser.add_argument("--overwrite", action="store_true", help="do finished cases again")
    _add_data_options(parser)
    parser.set_defaults(run=_run_detect)


def _run_detect(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from pipeline.cases.brain_extraction import make_extractor
    from pipeline.cases.transforms import CaseTransforms
    from pipeline.detection.detect import detect_cases, make_detector
    from pipeline.detection.fitness import check_for_shipped
    from pipeline.files.record.calibration import Calibration
    from pipeline.run.locate import is_shipped, run_folder
    from pipeline.run.model import load_model

    run_dir = run_folder(arguments.model) if arguments.model else _shipped(arguments)
    model = load_model(run_dir, _device(arguments))
    failed: dict[str, str] = {}
    cases = _find(arguments, arguments.data, model.config.modalities, failed)
    detector = make_detector(
        "anomap",
        model,
        Calibration.of(run_dir),
        false_positive_rate=arguments.false_positive_rate,
        seed=arguments.seed,
    )
    if is_shipped(run_dir) and not arguments.any_scan:
        check = check_for_shipped(model, "--any-scan detects all the same")
        detector = replace(detector, check=check)
    extractor = make_extractor(arguments.brain_extraction)
    failed |= detect_cases(
        cases,
        {"anomap": detector},
        CaseTransforms(model.config.modalities, model.config.grid, extractor),
        {"anomap": arguments.out},
        execution=_execution(arguments),
    )
    n_done = sum(case.name not in failed for case in cases)
    return _finish(failed, f"{n_done} cases in {arguments.out}; {_next(arguments.out)}")


def _shipped(arguments: argparse.Namespace) -> Path:
    """The weights that come with anomap for a modality that all cases of IN have.

    Raises:
        InputError: there are none, or the cases have no modality in common.
    """
    from pipeline.cases.cohort import find_cases
    from pipeline.run.locate import shipped_run

    if arguments.modality:
        return shipped_run(arguments.modality)
    common: set[str] | None = None
    for path in arguments.data:
        for case in find_cases(path, section=arguments.section).cases:
            common = set(case.images) if common is None else common & set(case.images)
    if common == set():
        raise InputError(
            "the cases have no modality in common: say which with --modality, or give them in "
            "separate commands"
        )
    return shipped_run(sorted(common or ()))


# --- fuse --------------------------------------------------------------------------------------


def _add_fuse(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "fuse",
        "results of several modalities or weights to one map and mask of each case",
        "anomap detect patients/ --modality flair -o out_flair/\n"
        "  anomap detect patients/ --modality t1 -o out_t1/\n"
        "  anomap fuse out_flair/ out_t1/ -o out/",
    )
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULTS", help="of detect or benchmark"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT")
    parser.add_argument(
        "--rule",
        default="any",
        help="any: one scan that shows it is enough; mean: all of them count (default any)",
    )
    parser.add_argument(
        "--false-positive-rate",
        type=float,
        default=0.01,
        help="of the threshold, at most (default 0.01)",
    )
    parser.add_argument("--overwrite", action="store_true", help="do finished cases again")
    parser.set_defaults(run=_run_fuse)


def _run_fuse(arguments: argparse.Namespace) -> int:
    from pipeline.detection.fusion import fuse_folders

    done, failed = fuse_folders(
        arguments.results,
        arguments.out,
        rule=arguments.rule,
        false_positive_rate=arguments.false_positive_rate,
        execution=_execution(arguments),
    )
    return _finish(failed, f"{len(done)} cases in {arguments.out}; {_next(arguments.out)}")


# --- evaluate and benchmark --------------------------------------------------------------------


def _add_evaluate(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "evaluate",
        "score maps, from any method, against labels",
        "anomap evaluate out/ --labels BraTS2021/",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="holds <case>/anomaly.nii.gz")
    parser.add_argument("--labels", type=Path, required=True, metavar="DATA")
    parser.add_argument("--method", help="name in the table (default: as the maps say)")
    parser.add_argument("--threshold", type=float, help="instead of that in result.json")
    _add_modality(parser, required=False)
    _add_data_options(parser)
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(arguments: argparse.Namespace) -> int:
    from pipeline.cases.brain_extraction import make_extractor
    from pipeline.cases.loading import load_brain
    from pipeline.files.nifti import make_folder
    from pipeline.files.record.result import Threshold
    from pipeline.scores.evaluation import evaluate_folder, format_table, method_of, write_results

    extractor = make_extractor(arguments.brain_extraction)
    if not arguments.out.is_dir():
        raise InputError(f"{arguments.out}: no such folder; it should hold <case>/anomaly.nii.gz")
    make_folder(arguments.out)
    cases = _find(arguments, [arguments.labels], arguments.modality)
    threshold: Any = None
    method = arguments.method or method_of(arguments.out)
    if arguments.threshold is not None:
        if not math.isfinite(arguments.threshold):
            raise InputError(f"--threshold {arguments.threshold}: expected a finite number")
        threshold = Threshold(value=arguments.threshold, rule="given on the command line")
    scores = evaluate_folder(
        arguments.out,
        cases,
        method=method,
        threshold=threshold,
        brain_mask_of=lambda case: load_brain(case, tuple(case.images)[:1], extractor)[1],
        execution=_execution(arguments),
        seed=arguments.seed,
    )
    if not scores.cases:
        first = next(iter(scores.failures.values()))
        raise InputError(f"no case of {arguments.labels} could be scored; the first: {first}")
    summary = write_results(arguments.out, {method: scores}, str(arguments.labels), cases)
    print(format_table(summary))
    table = arguments.out / "table.md"
    return _finish(dict(scores.failures), f"table in {table}; {_next(arguments.out)}")


def _add_benchmark(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "benchmark",
        "our method and the baselines on the same cases, in one table",
        "anomap benchmark BraTS2021/ --modality flair --model runs/flair -o out/",
    )
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA")
    _add_modality(parser, required=True)
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        metavar="RUN_OR_BUNDLE",
        help="repeat it for runs with other noises, as gaussian_one_shot needs (default: weights "
        "that come with anomap)",
    )
    parser.add_argument(
        "--methods",
        help="names separated by commas, all (default: all but the chain), or ladder (an ablation: "
        "from brain_damage to the recipe of the run, one lever at a time): anomap, intensity, "
        "intensity_dark, intensity_median, normative, blur_residual, brain_damage, "
        "gaussian_one_shot, dae, anoddpm_chain",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT")
    parser.add_argument(
        "--calibrate-on",
        type=Path,
        metavar="DATA",
        help="healthy cases for all thresholds, instead of those that the run kept for it",
    )
    parser.add_argument("--overwrite", action="store_true", help="do finished cases again")
    parser.add_argument("--false-positive-rate", type=float, help="of the threshold (default 0.01)")
    _add_data_options(parser)
    parser.set_defaults(run=_run_benchmark)


def _run_benchmark(arguments: argparse.Namespace) -> int:
    from pipeline.cases.brain_extraction import make_extractor
    from pipeline.cases.cohort import find_cases, healthy_for_training
    from pipeline.cases.transforms import CaseTransforms
    from pipeline.detection.methods import runnable, select_methods
    from pipeline.figures.panels import benchmark_figures
    from pipeline.run.locate import run_folder, shipped_run
    from pipeline.run.model import load_model
    from pipeline.scores.evaluation import format_table
    from pipeline.study.benchmark import (
        benchmark,
        complete_calibration,
        models_by_noise,
        seen_before,
    )

    names = select_methods(arguments.methods)
    runs = arguments.model or []
    folders = [run_folder(path) for path in runs] or [shipped_run(arguments.modality)]
    models = models_by_noise([load_model(folder, _device(arguments)) for folder in folders])
    names, left_out = runnable(names, models)
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    if not names:
        raise InputError("no method is left to run")
    config = next(iter(models.values())).config
    _check_modality(config, arguments.modality, folders[0])
    incomplete: dict[str, str] = {}
    cases = _find(arguments, arguments.data, arguments.modality, incomplete)
    if seen := seen_before(cases, models):
        print(
            f"warning: {len(seen)} of {len(cases)} cases were used to train or calibrate a model "
            f"({', '.join(seen[:3])}, ...): their numbers say nothing about new people",
            file=sys.stderr,
        )
    extractor = make_extractor(arguments.brain_extraction)
    healthy = None
    if arguments.calibrate_on:
        cohort = find_cases(arguments.calibrate_on, modalities=config.modalities, healthy=True)
        healthy = healthy_for_training(cohort)[0]
    options: dict[str, Any] = {"seed": arguments.seed, "execution": _execution(arguments)}
    calibration = complete_calibration(
        models,
        names,
        CaseTransforms(config.modalities, config.grid, extractor),
        healthy=healthy,
        **options,
    )
    summary, failed = benchmark(
        cases,
        names,
        models,
        calibration,
        config,
        arguments.out,
        cohort_name=", ".join(str(path) for path in arguments.data),
        false_positive_rate=arguments.false_positive_rate,
        extract_brain=extractor,
        **options,
    )
    page = benchmark_figures(arguments.out, [c for c in cases if c.name not in failed])
    print(format_table(summary))
    return _finish(incomplete | failed, f"pictures in {page}; {_next(arguments.out)}")


def _check_modality(config: RunConfig, modality: tuple[str, ...], run: Path) -> None:
    if modality != config.modalities:
        trained, asked = ", ".join(config.modalities), ", ".join(modality)
        raise InputError(f"{run}: trained on {trained}, but {asked} is asked for")


# --- export ------------------------------------------------------------------------------------


def _add_export(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "export",
        "a run as a MONAI bundle that works where anomap is not installed",
        "anomap export runs/flair -o flair_anomalies.zip --benchmark 'BraTS 2021'=bench/",
    )
    parser.add_argument("model", type=Path, metavar="RUN")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR_OR_ZIP")
    parser.add_argument(
        "--benchmark",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="cohort and folder of `anomap benchmark`, for the model card; may be repeated",
    )
    parser.add_argument(
        "--no-source", action="store_true", help="leave the source out: needs anomap installed"
    )
    parser.set_defaults(run=_run_export)


def _run_export(arguments: argparse.Namespace) -> int:
    from pipeline.bundle.export import export

    benchmarks: dict[str, Path] = {}
    for text in arguments.benchmark:
        name, separator, folder = text.rpartition("=")
        if not separator or not name:
            raise InputError(f"--benchmark {text}: expected NAME=DIR")
        benchmarks[name] = Path(folder)
    export(
        arguments.model,
        arguments.out,
        benchmarks=benchmarks,
        with_source=not arguments.no_source,
    )
    return _finish({}, f"bundle in {arguments.out}")


# --- report ------------------------------------------------------------------------------------


def _add_report(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "report",
        "one web page with scores, curves and a viewer, from what the other commands left",
        "anomap report out/\n  anomap report out/ --labels BraTS2021/ --cases 50\n"
        "  anomap report bench/ --compare intensity,dae",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="of detect, evaluate or benchmark")
    parser.add_argument("--method", help="of a benchmark to look at (default: anomap)")
    parser.add_argument(
        "--compare",
        metavar="METHODS",
        help="that the viewer switches to, separated by commas, or none (default: the three with "
        "the highest AUPRC)",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="DATA", help="images and labels, if OUT does not say where"
    )
    parser.add_argument(
        "--cases", type=int, default=20, help="with a viewer, at most (default 20, some 25 MB)"
    )
    parser.set_defaults(run=_run_report)


def _run_report(arguments: argparse.Namespace) -> int:
    from pipeline.report.page import write_report

    if arguments.cases < 1:
        raise InputError(f"--cases {arguments.cases}: expected 1 or more")
    words = (arguments.compare or "").split(",")
    compare = [word.strip() for word in words if word.strip() and word.strip() != "none"]
    page = write_report(
        arguments.out,
        labels=arguments.labels,
        method=arguments.method,
        compare=None if arguments.compare is None else compare,
        max_views=arguments.cases,
        execution=_execution(arguments),
    )
    return _finish({}, f"report in {page}; open it in a browser")


# --- figures -----------------------------------------------------------------------------------


def _add_figures(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "figures",
        "figures for a paper, PDF and PNG: noise and its spectra, the forward process; of results, "
        "panels of cases and bars of scores",
        "anomap figures -o figures/\n  anomap figures bench/ ablation/ -o figures/",
    )
    parser.add_argument(
        "results", type=Path, nargs="*", metavar="RESULTS", help="of detect, evaluate or benchmark"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT")
    parser.add_argument(
        "--scan", type=Path, help="whose slice noise is added to (default: a synthetic brain)"
    )
    parser.add_argument("--method", help="of a benchmark whose maps are shown (default: anomap)")
    parser.add_argument(
        "--labels", type=Path, metavar="DATA", help="images and labels, if RESULTS do not say where"
    )
    parser.set_defaults(run=_run_figures)


def _run_figures(arguments: argparse.Namespace) -> int:
    from pipeline.figures.plates import CAPTIONS, write_figures

    n_figures, failed = write_figures(
        arguments.out,
        arguments.results,
        scan=arguments.scan,
        labels=arguments.labels,
        method=arguments.method,
        seed=arguments.seed,
        progress=not arguments.quiet,
    )
    return _finish(failed, f"{n_figures} figures; look at {arguments.out / CAPTIONS}")


# --- app ---------------------------------------------------------------------------------------


def _add_app(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "app",
        "pages in a browser, on this machine alone: what noise does, and detection of one scan",
        "anomap app --model runs/flair",
    )
    parser.add_argument(
        "--model", type=Path, metavar="RUN", help="that the Detect page begins with"
    )
    parser.add_argument("--port", type=int, default=8501, help="of localhost (default 8501)")
    parser.add_argument("--no-browser", action="store_true", help="do not open one")
    parser.set_defaults(run=_run_app)


def _run_app(arguments: argparse.Namespace) -> int:
    from pipeline.app.serve import serve

    serve(
        model=arguments.model,
        port=arguments.port,
        browser=not arguments.no_browser,
        seed=arguments.seed,
    )


# --- demo --------------------------------------------------------------------------------------


def _add_demo(commands: Any, common: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        common,
        "demo",
        "all of it on synthetic brains: cohort, training, detection, table, pictures, report",
        "anomap demo -o demo/",
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("demo"), metavar="OUT")
    parser.add_argument("--epochs", type=int, help="of the training (default: some minutes' worth)")
    parser.set_defaults(run=_run_demo)


def _run_demo(arguments: argparse.Namespace) -> int:
    from pipeline.study.demo import demo

    table, pictures, page = demo(
        arguments.out,
        seed=arguments.seed,
        epochs=arguments.epochs,
        device=_device(arguments),
        progress=not arguments.quiet,
    )
    print(table)
    return _finish({}, f"pictures in {pictures}\nreport in {page}; open it in a browser")


def _next(out: Path) -> str:
    return f"to look at every case: anomap report {shlex.quote(str(out))}"


def _finish(failed: dict[str, str], message: str) -> int:
    """Print the failures and where the result lies; the exit status."""
    for name, reason in failed.items():
        _complain(f"{name} failed: {reason}")
    print(_painted(message, GREEN, sys.stdout))
    return SOME_FAILED if failed else DONE
