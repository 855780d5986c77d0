"""Records of any values: what is written reads as the same, and is one line less where torn."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import EXAMPLES
from strategies import quick, records

from pipeline.errors import InputError
from pipeline.files.record.base import FileRecord

each_record = pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.FILE)


@each_record
def test_a_record_of_any_values_reads_as_it_was_written(
    kind: type[FileRecord], tmp_path: Path
) -> None:
    path = tmp_path / kind.FILE

    @quick(25)
    @given(record=records(kind))
    def check(record: FileRecord) -> None:
        path.write_text(record.text(), encoding="utf-8")
        read = kind.read(path)
        assert read == record
        assert read.text() == record.text()

    check()


@each_record
def test_a_record_that_is_cut_short_is_refused(kind: type[FileRecord], tmp_path: Path) -> None:
    path = tmp_path / kind.FILE
    whole = EXAMPLES[kind].text().rstrip().encode()

    @quick(25)
    @given(length=st.integers(0, len(whole) - 1))
    def check(length: int) -> None:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not "):
            kind.read(path)

    check()
