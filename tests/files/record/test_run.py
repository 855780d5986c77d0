"""run.json: as release 0.1.0 shipped it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.files.record.run import RunRecord

BUNDLES = sorted((Path(__file__).parents[3] / "bundles").glob("*/models/run.json"))


def test_there_are_bundles_to_look_at() -> None:
    assert len(BUNDLES) == 5


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.parts[-3])
def test_the_record_of_a_bundle_reads(path: Path) -> None:
    record = RunRecord.read(path)
    assert record.software.anomap == "0.1.0"
    assert record.command is None
    assert all(n > 0 for n in record.people.values())  # none in former ones


def test_anything_is_not_the_software_of_version_1() -> None:
    with pytest.raises(InputError, match=r"run.json: not the record of a run \(anomap: field req"):
        RunRecord.parse('{"torch": "2.13.0"}', Path("run.json"))
