"""What counts as written by us: by the list of a folder, or by a record of a former version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import former_records
import pytest
from folders import all_names_in

from pipeline.errors import InputError
from pipeline.files.folder.lock import locked
from pipeline.files.folder.ownership import OF_A_RUN, OF_SCORES, claim, is_ours, note
from pipeline.files.names import IN_USE, LEDGER


def test_names_are_listed_one_a_line_and_once(tmp_path: Path) -> None:
    for name in ("a", "b\nc", "a", "\udce9"):
        note(tmp_path / name)
    text = (tmp_path / LEDGER).read_text(encoding="ascii")
    assert text == '"a"\n"b\\nc"\n"\\udce9"\n'
    assert is_ours(tmp_path / "b\nc")
    assert not is_ours(tmp_path / "b")


@pytest.mark.parametrize("torn", ['"mask.ni', '"', "\0\0\0", '"mask.nii.gz'])
def test_a_torn_line_is_none_and_does_not_tear_the_next(torn: str, tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text('"a"\n' + torn)
    assert is_ours(tmp_path / "a")
    assert not is_ours(tmp_path / "mask.ni")
    assert not is_ours(tmp_path / "mask.nii.gz")
    note(tmp_path / "b")
    assert is_ours(tmp_path / "a")
    assert is_ours(tmp_path / "b")


def test_a_claim_is_refused_for_what_another_wrote_and_leaves_nothing(tmp_path: Path) -> None:
    claim(tmp_path / "new" / "folder", ["mask.nii.gz"])
    assert all_names_in(tmp_path) == set()
    (tmp_path / "mask.nii.gz").write_text("theirs")
    with pytest.raises(InputError, match="anomap did not write; move it away or give another"):
        claim(tmp_path, ["result.json", "mask.nii.gz"])
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="link: there is a file"):
        claim(tmp_path, ["link"])
    assert all_names_in(tmp_path) == {"link", "mask.nii.gz"}


@pytest.mark.parametrize(
    ("there", "wanted"), [("config.yaml", OF_SCORES), ("summary.json", OF_A_RUN)]
)
def test_a_run_and_tables_do_not_share_a_folder_as_both_have_a_datalist(
    there: str, wanted: tuple[str, ...], tmp_path: Path
) -> None:
    for name in (there, "datalist.json"):
        note(tmp_path / name)
        (tmp_path / name).write_text("ours")
    with pytest.raises(InputError, match=f"{there}.*give another output folder"):
        claim(tmp_path, wanted)
    claim(tmp_path, ["report.html"])


def test_a_link_in_place_of_the_list_leads_nowhere(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("theirs")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in (LEDGER, IN_USE):
        (folder / name).symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"):
        note(folder / "a")
    with pytest.raises(InputError, match="cannot be written"), locked(folder):
        pass
    (folder / LEDGER).unlink()
    with locked(folder):
        pass
    assert precious.read_text() == "theirs"


def write_json(path: Path, tree: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))


def test_a_former_result_accounts_for_its_files_and_no_others(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", former_records.result())
    assert is_ours(tmp_path / "result.json")
    assert is_ours(tmp_path / "mask.nii.gz")
    assert not is_ours(tmp_path / "pseudo_healthy.nii.gz")
    files = [{"name": "mask.nii.gz", "bytes": 1, "sha256": "ab" * 32}]  # as of today
    write_json(tmp_path / "result.json", former_records.result(files=files))
    assert is_ours(tmp_path / "mask.nii.gz")
    write_json(tmp_path / "result.json", {"threshold": {"value": 1}, "files": ["mask.nii.gz"]})
    assert not is_ours(tmp_path / "mask.nii.gz")
    assert not is_ours(tmp_path / "result.json")


def test_a_former_run_accounts_for_its_files(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", former_records.SOFTWARE)
    assert not is_ours(tmp_path / "model.pt")
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    assert is_ours(tmp_path / "model.pt")
    assert is_ours(tmp_path / "last.pt")
    write_json(tmp_path / "cache/1234.npy", None)
    assert is_ours(tmp_path / "cache/1234.npy")
    assert not is_ours(tmp_path / "notes.txt")


def test_former_scores_cohorts_pages_and_figures_account_for_theirs(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", former_records.summary())
    assert is_ours(tmp_path / "table.md")
    write_json(tmp_path / "cohort.json", {"arguments": {}, "cases": {}})
    image = tmp_path / "healthy/h0/h0_flair.nii.gz"
    write_json(image, None)
    write_json(image.with_name("mine.nii.gz"), None)
    assert is_ours(tmp_path / "cohort.json")
    assert is_ours(image)
    assert not is_ours(image.with_name("mine.nii.gz"))
    (tmp_path / "report.html").write_text("<title>brains · anomap</title>")
    assert is_ours(tmp_path / "report.html")
    (tmp_path / "report.html").write_text("<title>brains</title>")
    assert not is_ours(tmp_path / "report.html")
    (tmp_path / "captions.md").write_text("# Figures\n\n## noise\n\n![noise](noise.png)\n")
    assert is_ours(tmp_path / "noise.pdf")
    assert not is_ours(tmp_path / "other.pdf")
