"""anomap: unsupervised detection of brain tumours with simplex-noise diffusion models.

Everything that the commands do is a function here, imported when it is first used::

    from pipeline import Selection, detect
    detect("patient_flair.nii.gz", "out", selection=Selection(modalities=("flair",)))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.bundle.export import export
    from pipeline.cases.find import find_cases
    from pipeline.cases.loop import Execution
    from pipeline.cases.several import Selection, find_all
    from pipeline.detection.fusion import FusionSettings, fuse
    from pipeline.errors import InputError
    from pipeline.figures.paper import write_figures
    from pipeline.report.page import write_report
    from pipeline.run.model import load_model
    from pipeline.study.benchmark import BenchmarkOptions, benchmark
    from pipeline.study.demo import demo
    from pipeline.study.detect import DetectOptions, detect
    from pipeline.study.evaluate import EvaluateOptions, evaluate
    from pipeline.study.train import TrainOptions, train

__version__ = "0.1.0"

_HOMES = {
    "BenchmarkOptions": "study.benchmark",
    "DetectOptions": "study.detect",
    "EvaluateOptions": "study.evaluate",
    "Execution": "cases.loop",
    "FusionSettings": "detection.fusion",
    "InputError": "errors",
    "Selection": "cases.several",
    "TrainOptions": "study.train",
    "benchmark": "study.benchmark",
    "demo": "study.demo",
    "detect": "study.detect",
    "evaluate": "study.evaluate",
    "export": "bundle.export",
    "find_all": "cases.several",
    "find_cases": "cases.find",
    "fuse": "detection.fusion",
    "load_model": "run.model",
    "train": "study.train",
    "write_figures": "figures.paper",
    "write_report": "report.page",
}
"""Public name -> the module that it lives in."""

__all__ = [
    "BenchmarkOptions",
    "DetectOptions",
    "EvaluateOptions",
    "Execution",
    "FusionSettings",
    "InputError",
    "Selection",
    "TrainOptions",
    "__version__",
    "benchmark",
    "demo",
    "detect",
    "evaluate",
    "export",
    "find_all",
    "find_cases",
    "fuse",
    "load_model",
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
