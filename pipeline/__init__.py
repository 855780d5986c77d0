"""anomap: unsupervised detection of brain tumours with simplex-noise diffusion models.

Everything that the commands do is a function here, imported when it is first used::

    from pipeline import detect
    detect("patient_flair.nii.gz", "out")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.bundle.export import export
    from pipeline.cases.loop import Execution
    from pipeline.cases.several import Selection, find_all
    from pipeline.detection.fusion import FusionOptions, fuse
    from pipeline.errors import InputError, TooManyFailuresError
    from pipeline.figures.paper import FigureOptions, write_figures
    from pipeline.report.page import ViewOptions, write_report
    from pipeline.run.model import load_model
    from pipeline.study.benchmark import BenchmarkOptions, benchmark
    from pipeline.study.demo import demo
    from pipeline.study.detect import DetectOptions, detect, detect_with
    from pipeline.study.evaluate import EvaluateOptions, evaluate
    from pipeline.study.follow.compare import Compared, compare
    from pipeline.study.follow.findings import remake_findings
    from pipeline.study.follow.own_site import FittedRun, calibrate_run
    from pipeline.study.phantoms import PhantomOptions, make_phantoms
    from pipeline.study.train import TrainOptions, train

__version__ = "0.1.0"

_HOMES = {
    "BenchmarkOptions": "study.benchmark",
    "Compared": "study.follow.compare",
    "DetectOptions": "study.detect",
    "EvaluateOptions": "study.evaluate",
    "Execution": "cases.loop",
    "FigureOptions": "figures.paper",
    "FittedRun": "study.follow.own_site",
    "FusionOptions": "detection.fusion",
    "InputError": "errors",
    "PhantomOptions": "study.phantoms",
    "Selection": "cases.several",
    "TooManyFailuresError": "errors",
    "TrainOptions": "study.train",
    "ViewOptions": "report.page",
    "benchmark": "study.benchmark",
    "calibrate_run": "study.follow.own_site",
    "compare": "study.follow.compare",
    "convert": "study.intake",
    "demo": "study.demo",
    "detect": "study.detect",
    "detect_with": "study.detect",
    "evaluate": "study.evaluate",
    "export": "bundle.export",
    "find_all": "cases.several",
    "fuse": "detection.fusion",
    "load_model": "run.model",
    "make_phantoms": "study.phantoms",
    "remake_findings": "study.follow.findings",
    "train": "study.train",
    "write_figures": "figures.paper",
    "write_report": "report.page",
}
"""Public name -> the module that it lives in."""

__all__ = [
    "BenchmarkOptions",
    "Compared",
    "DetectOptions",
    "EvaluateOptions",
    "Execution",
    "FigureOptions",
    "FittedRun",
    "FusionOptions",
    "InputError",
    "PhantomOptions",
    "Selection",
    "TooManyFailuresError",
    "TrainOptions",
    "ViewOptions",
    "__version__",
    "benchmark",
    "calibrate_run",
    "compare",
    "convert",
    "demo",
    "detect",
    "detect_with",
    "evaluate",
    "export",
    "find_all",
    "fuse",
    "load_model",
    "make_phantoms",
    "remake_findings",
    "train",
    "write_figures",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
