"""Methods of a benchmark: those that there are, and one's own."""

from __future__ import annotations

from pipeline.detection.methods.own import MapMaker
from pipeline.detection.methods.own import register_method as register
from pipeline.detection.methods.table import METHODS

__all__ = ["METHODS", "MapMaker", "register"]
