"""``cases.csv``: what is written is what is read, and what is not such a file is refused."""

import csv
import math
from pathlib import Path

import pytest
from scored import scores_of

from pipeline.errors import InputError
from pipeline.scores.case_metrics import METRICS
from pipeline.scores.case_rows import (
    MEASURED,
    STATED,
    CaseRow,
    csv_text,
    read_rows,
    rows_of,
    write_rows,
)
from pipeline.scores.evaluate import MethodScores


def test_rows_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    numbers = {"score": 0.25, "dice_oracle": 0.5, "seconds": 2.0}
    rows = [
        CaseRow("anomap", "a, b", "a", healthy=False, numbers=numbers),
        CaseRow("anomap", 'a "c"', "c", healthy=True, numbers={"healthy_fp_ml": 1.5}),
        CaseRow("anomap", "d", error="no map,\nrun the method first"),
    ]
    write_rows(tmp_path, rows)
    assert read_rows(tmp_path) == rows


NAMES = ["=1+1", "+a", "-a", "@sum(a)", "\t=a", "\r=a", "\n=a", "'a", "'=a", "''-a", "a\r\nb"]


def test_no_cell_of_text_is_a_formula_and_all_come_back(tmp_path: Path) -> None:
    rows = [
        CaseRow(f"=m{name}", f'{name},"x"', name, healthy=True, numbers={"score": -1.0}, error=name)
        for name in NAMES
    ]
    write_rows(tmp_path, rows)
    assert read_rows(tmp_path) == rows
    with (tmp_path / "cases.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for line in list(csv.reader(file))[1:] for cell in line if cell != "-1"]
    assert len(cells) > 4 * len(NAMES)
    assert not [cell for cell in cells if cell.startswith((*"=+-@\t\r\n", "\uff1d"))]


def test_the_reason_of_a_failure_names_no_folder() -> None:
    scores = MethodScores("m", (), failures={"a": "/data/jane doe/a.nii.gz: torn"})
    assert [row.error for row in rows_of("m", scores)] == ["a.nii.gz: torn"]


def test_a_table_that_a_spreadsheet_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_bytes(b"\xef\xbb\xbfmethod,case,auroc\r\nm,a,0.5\r\n")
    assert read_rows(tmp_path) == [CaseRow("m", "a", numbers={"auroc": 0.5})]


def test_a_row_holds_every_number_that_is_known(cohort) -> None:
    out, cases = cohort
    (out / "case1" / "anomaly.nii.gz").unlink()
    scores = scores_of(out, cases)
    tumour, _, healthy, _, failed = rows_of("ours", scores)
    assert [row.case for row in rows_of("ours", scores)] == [
        *("case0", "case2", "case3", "case4"),
        "case1",
    ]
    assert (tumour.method, tumour.healthy, healthy.healthy, failed.healthy) == (
        *("ours", False, True),
        None,
    )
    assert set(tumour.numbers) <= {*MEASURED, *METRICS, *STATED}
    assert tumour.numbers["auroc"] == scores.cases[0].values["auroc"]
    assert tumour.numbers["seconds"] == 2
    assert math.isnan(scores.cases[2].values["auroc"])
    assert "auroc" not in healthy.numbers
    assert "no such map" in failed.error
    assert failed.numbers == {}


def test_six_digits_are_kept_and_what_is_no_number_is_empty() -> None:
    rows = [{"a": 1 / 3, "b": math.nan, "c": None}, {"a": 123456789.0, "b": "x"}]
    assert csv_text(("a", "b", "c"), rows).splitlines() == ["a,b,c", "0.333333,,", "1.23457e+08,x,"]


def test_a_file_of_fewer_columns_is_read(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("method,case,healthy,auroc,error\nm,a,True,,\nm,b,,,why\n")
    assert read_rows(tmp_path) == [
        CaseRow("m", "a", healthy=True),
        CaseRow("m", "b", error="why"),
    ]


def test_no_file_is_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("method,healthy\nm,True\n", "no column 'case'"),
        ("method,case,healthy\nm,a,yes\n", "expected True or False, got 'yes'"),
        ("method,case,auroc\nm,a,much\n", "could not convert"),
        ("method,case\nm,a,1,2\n", "cases.csv"),
        ("method,case,auroc\nm,a," + "x" * 999 + "\n", "..."),
        ("method,case\nm," + "x" * 200_000 + "\n", "field larger than field limit"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_name(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=r"cases.csv: not the scores of cases") as caught:
        read_rows(tmp_path)
    assert reason in str(caught.value)
    assert "x" * 81 not in str(caught.value)
