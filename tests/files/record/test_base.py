"""What all records share: a round trip, versions, and one line for every file that is none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import names_in
from make_records import file_records
from pydantic import ValidationError
from records import EXAMPLES, FORMER

from pipeline.errors import InputError
from pipeline.files.record.base import FileRecord
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.result import CaseResult
from pipeline.files.record.summary import Summary

STRICT = [record for record in EXAMPLES if record is not CaseResult]
each_record = pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: record.FILE)


def refusal(record: type[FileRecord], path: Path) -> str:
    """The line that says why a file is refused."""
    with pytest.raises(InputError) as caught:
        record.read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    return line


def test_every_record_has_an_example_and_a_former_shape() -> None:
    assert set(EXAMPLES) == set(FORMER) == set(file_records())


@each_record
def test_what_is_written_reads_as_the_same(record: type[FileRecord], tmp_path: Path) -> None:
    path = tmp_path / record.FILE
    EXAMPLES[record].write(path)
    assert record.read(path) == EXAMPLES[record]
    assert json.loads(path.read_text())["schema_version"] == record.version()


@each_record
def test_a_record_is_found_in_its_folder(record: type[FileRecord], tmp_path: Path) -> None:
    if record is not Calibration:  # a run that is not calibrated is an error
        assert record.of(tmp_path) is None
    EXAMPLES[record].write(tmp_path / record.FILE)
    assert record.of(tmp_path) == EXAMPLES[record]


@each_record
def test_version_1_reads_and_is_written_as_today(record: type[FileRecord], tmp_path: Path) -> None:
    former, path = tmp_path / "former.json", tmp_path / record.FILE
    former.write_text(json.dumps(FORMER[record]))
    read = record.read(former)
    read.write(path)
    assert json.loads(path.read_text())["schema_version"] == record.version()
    assert record.read(path) == read


@each_record
def test_a_later_version_is_refused(record: type[FileRecord], tmp_path: Path) -> None:
    path = tmp_path / record.FILE
    path.write_text(json.dumps(EXAMPLES[record].to_json() | {"schema_version": 99, "new": 1}))
    line = refusal(record, path)
    assert f"{record.WHAT} of version 99" in line
    assert "use a later one" in line


@each_record
@pytest.mark.parametrize("version", [0, -1, "2", True, 1.5, None])
def test_a_version_that_is_none_is_refused(
    record: type[FileRecord], version: object, tmp_path: Path
) -> None:
    path = tmp_path / record.FILE
    path.write_text(json.dumps(EXAMPLES[record].to_json() | {"schema_version": version}))
    assert f"schema_version: expected a whole number from 1, got {version!r}" in refusal(
        record, path
    )


@each_record
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"case": "p', "Unterminated string"),
        (b"\x89PNG\r\n\x1a\n\x00", "can't decode byte 0x89"),
        (b"[1, 2]", "expected a JSON object, got list"),
        (b"null", "expected a JSON object, got NoneType"),
        (b"[" * 100_000, "more than 32 deep"),
        (b'{"a": ' * 40 + b"1" + b"}" * 40, "more than 32 deep"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice"),
        (b'{"a": 1e400}', "the number 1e400 is too large"),
        (b'{"a": -' + b"9" * 5000 + b"}", "the number -9999999999999999... is too large"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        ('{"case": "ä"}'.encode("utf-16"), "can't decode byte"),
    ],
)
def test_torn_and_foreign_files_are_refused(
    record: type[FileRecord], content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / record.FILE
    path.write_bytes(content)
    line = refusal(record, path)
    assert f"not {record.WHAT}" in line
    assert reason in line
    assert line.endswith("delete or redo it")


def hostile(tree: object) -> Iterator[object]:
    """The same with one value after the other of another kind."""
    yield from (10**29, -1.5, "x" * 200, "\ud800", [], [[[]]], {}, {"\x1b": None}, True, None)
    if isinstance(tree, dict):
        for key in tree:
            yield from ({**tree, key: value} for value in hostile(tree[key]))
    elif isinstance(tree, list) and tree:
        yield from ([value, *tree[1:]] for value in hostile(tree[0]))


@each_record
def test_edited_values_are_read_or_refused_in_one_short_line(
    record: type[FileRecord], tmp_path: Path
) -> None:
    path = tmp_path / record.FILE
    trees = list(hostile(EXAMPLES[record].to_json()))
    assert len(trees) > 50
    for tree in trees:
        path.write_text(json.dumps(tree))
        try:
            record.read(path).text()
        except InputError as error:
            line = str(error)
            assert line.startswith(f"{path}: ")
            assert record.WHAT in line
            assert line.isprintable()
            assert "x" * 80 not in line


def test_a_file_that_is_too_long_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.files.record.base.MAX_RECORD_BYTES", 100)
    path = tmp_path / "result.json"
    path.write_text('{"case": "' + "x" * 100 + '"}')
    assert "more than 100 bytes" in refusal(CaseResult, path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"case": "ä"}', encoding="utf-8-sig")
    assert CaseResult.read(path).case == "ä"


@each_record
def test_missing_files_and_folders_are_refused(record: type[FileRecord], tmp_path: Path) -> None:
    assert f"no such file; expected {record.WHAT}" in refusal(record, tmp_path / "none.json")
    assert f"not {record.WHAT}" in refusal(record, tmp_path)


@pytest.mark.parametrize("record", STRICT, ids=lambda record: record.FILE)
def test_another_record_is_refused(record: type[FileRecord], tmp_path: Path) -> None:
    others = [other for other in EXAMPLES if other is not record]
    assert len(others) == len(EXAMPLES) - 1
    for other in others:
        tree = EXAMPLES[other].to_json() | {"schema_version": record.version()}
        (tmp_path / "x.json").write_text(json.dumps(tree))
        assert f"not {record.WHAT} (" in refusal(record, tmp_path / "x.json")


def test_a_typo_in_a_key_is_refused_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    tree = EXAMPLES[Calibration].to_json()
    tree["methods"]["anomap"]["scroes"] = []
    path.write_text(json.dumps(tree))
    assert "(methods.anomap.scroes: extra inputs are not permitted)" in refusal(Calibration, path)


def test_a_value_of_another_type_is_refused_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"score": "high"}')
    assert "(score: input should be a valid number, got 'high')" in refusal(CaseResult, path)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_hold_are_null(number: float, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    CaseResult(case="p1", score=number, healthy_thresholds={"0.1": 1.0}).write(path)
    tree = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert tree["score"] is None
    assert CaseResult.read(path).score is None


def test_numbers_that_version_1_wrote_as_nan_read_as_null(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"score": NaN, "cut": Infinity, "provenance": {"settings": {"x": NaN}}}')
    read = CaseResult.read(path)
    assert (read.score, read.cut) == (None, None)
    assert read.provenance is not None
    assert read.provenance.settings == {"x": None}


def test_a_record_does_not_change() -> None:
    with pytest.raises(ValidationError):
        EXAMPLES[Summary].n_cases = 2  # type: ignore[attr-defined]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    CaseResult(case="before").write(path)
    with pytest.raises(InputError):
        CaseResult(case="after").write(path / "no_folder" / "result.json")
    assert CaseResult.read(path).case == "before"
    assert names_in(tmp_path) == {"result.json"}
