"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.files.paths import is_file, is_folder, located


def test_every_spelling_of_a_path_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "P7" / "results"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located(".") == place
    assert located("..") == located("../") == located("~/P7") == tmp_path / "P7"
    assert located("../x.nii.gz") == located("./../../P7/x.nii.gz") == tmp_path / "P7" / "x.nii.gz"
    assert located("x", tmp_path) == tmp_path / "x"
    assert located("~nobody7/x") == place / "~nobody7" / "x"


def test_a_link_keeps_its_name_and_dots_are_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "healthy").symlink_to(tmp_path / "real/inner")
    assert located(tmp_path / "healthy" / "x") == tmp_path / "healthy" / "x"
    assert located(tmp_path / "healthy/../x") == tmp_path / "real" / "x"


@pytest.mark.parametrize("path", ["/d/M\udcfc/a.nii", "/d/a\0b.nii"])
def test_a_path_that_no_record_holds_is_refused(path: str) -> None:
    with pytest.raises(InputError, match=r"/d/\w+\\") as error:
        located(path)
    str(error.value).encode()


def test_a_name_that_is_too_long_is_nothing() -> None:
    assert not is_file(Path("/", "a" * 300))
    assert not is_folder(Path("/", "a" * 300))
