"""What may be a name, and where its folder lies."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from pipeline.errors import InputError, printable
from pipeline.files.case_name import CaseName, case_folder, checked_subject, folder_key

BAD = {
    "": "is empty",
    "..": "begins with a dot",
    ".hidden": "begins with a dot",
    "a/b": "separator",
    "..\\b": "separator",
    "a\nb": "cannot be seen",
    "a\x1b[2J": "cannot be seen",
    "\u202eabc": "cannot be seen",
    "M\udcfcller": r"'M\\udcfcller' is not UTF-8",
    "é" * 101: "202 bytes",
    " a": "space",
}


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_no_folders_is_refused_on_one_line_that_prints(name: str) -> None:
    with pytest.raises(InputError, match=BAD[name]) as error:
        case_folder(Path("out"), name)
    assert str(error.value).isprintable()
    str(error.value).encode()


def test_a_case_lies_directly_in_its_folder() -> None:
    for name in ("Müller 1", "sub-01_ses-1", "a" * 200, "CON", "-rf"):
        assert case_folder(Path("out"), name).parent == Path("out")


def test_a_checked_name_is_a_text_as_any() -> None:
    name = CaseName("a")
    assert copy.deepcopy(name) == pickle.loads(pickle.dumps(name)) == name == "a"
    assert json.dumps([name]) == '["a"]'


def test_a_subject_may_hold_what_a_folder_may_not() -> None:
    assert checked_subject("site/7") == "site/7"
    assert checked_subject("") == ""
    with pytest.raises(InputError, match="subject 'a"):
        checked_subject("a\udcfc")


def test_what_cannot_be_seen_is_written_as_its_code() -> None:
    assert printable("Müller\udcfc\n\x1b") == "Müller\\udcfc\\n\\x1b"


def test_names_that_some_file_systems_take_for_one() -> None:
    assert folder_key("Case1") == folder_key("case1")
    assert folder_key("e\u0301") == folder_key("\u00c9")
