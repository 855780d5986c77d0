"""What the tests of `pipeline.study` share beside their fixtures."""

from __future__ import annotations

from pipeline.cases.several import Selection

FLAIR = Selection(modalities=("flair",))
