"""What stands in messages, tables and pages."""

from __future__ import annotations

import time

import pytest

from pipeline.files.texts import brief, markdown_cell, quoted, without_folders


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/jane doe/brain scan.nii.gz: no such file", "brain scan.nii.gz: no such file"),
        ("'/a/b/c d.nii.gz' and /e/f.nii (/g/h/i)", "'c d.nii.gz' and f.nii (i)"),
        ("cohort/patients/jane/x.nii.gz: bad", "x.nii.gz: bad"),
        ("../jane/x.nii and ~/jane/y.nii and ~jane/data/z", "x.nii and y.nii and z"),
        ("file:///data/jane/x and C:\\\\Users\\jane\\x", "x and x"),
        ("shape (3, 4) / 2, and/or 1/2 of FLAIR/T1", "shape (3, 4) / 2, and/or 1/2 of FLAIR/T1"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("", ""),
    ],
)
def test_of_a_path_its_last_part_is_left(text: str, left: str) -> None:
    assert without_folders(text) == left


def test_known_folders_go_whatever_is_in_their_names() -> None:
    assert without_folders("/a: (b), c/d, e.nii is torn", ["/a: (b), c", "/a"]) == (
        "d, e.nii is torn"
    )


def test_a_long_text_takes_no_long_time() -> None:
    start = time.monotonic()
    for text in ("/a " * 100_000, "a/" * 100_000, "/" * 100_000, "a " * 100_000):
        without_folders(text)
    assert time.monotonic() - start < 5


def test_values_are_cut_and_their_ends_kept_on_one_line() -> None:
    assert quoted("x") == "'x'"
    assert quoted(12) == "12"
    assert quoted([{"a": [1]}]) == "[{'a': [1]}]"
    deep = [[[[[["x"] * 50] * 50] * 50] * 50] * 50] * 50
    for value in ("x" * 10**6, 10**5000, [10**5000], deep, {"a\n": "\x1b" * 999}):
        assert len(quoted(value)) <= 80
        assert quoted(value).isprintable()
    assert brief(ValueError("a\nb  c\x1b" + "d" * 999)).isprintable()
    assert len(brief(["word"] * 999)) <= 300


def test_a_name_is_no_markup() -> None:
    assert markdown_cell("simplex_ddpm") == "simplex_ddpm"
    assert markdown_cell("a|b\n<i> *c*") == r"a\|b &lt;i&gt; \*c\*"
