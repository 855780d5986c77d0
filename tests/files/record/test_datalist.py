"""datalist.json: sections, paths, and what other readers make of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from monai.data import load_decathlon_datalist
from records import EXAMPLES

from pipeline.files.images.nifti import write_volume
from pipeline.files.record.datalist import CaseEntry, ChannelOf, Datalist


def example() -> Datalist:
    record = EXAMPLES[Datalist]
    assert isinstance(record, Datalist)
    return record


def test_sections_are_those_of_the_file_in_its_order(tmp_path: Path) -> None:
    example().write(tmp_path / "datalist.json")
    read = Datalist.read(tmp_path / "datalist.json")
    assert list(read.sections) == ["training", "test"]
    assert [entry.name for entry in read["training"]] == ["c1", "c2"]
    assert read["validation"] == ()
    assert [entry.name for entry in read.entries("test", "extra", "training")] == ["p1", "c1", "c2"]


def test_what_an_entry_does_not_have_is_left_out() -> None:
    tree = example().to_json()
    assert set(tree["training"][0]) == {"name", "subject", "image", "healthy", "label_scheme"}
    assert tree["test"][0]["label"] == {"path": "p1.nii.gz", "channel": 2}


def test_paths_are_relative_to_the_folder(tmp_path: Path) -> None:
    entry = CaseEntry(
        name="c", image={"t1": "a.nii.gz", "t2": ChannelOf(path="/data/b.nii.gz", channel=0)}
    )
    assert entry.image_paths(tmp_path) == [
        (tmp_path / "a.nii.gz").resolve(),
        Path("/data/b.nii.gz"),
    ]


def test_monai_reads_it_as_a_datalist(tmp_path: Path) -> None:
    write_volume(tmp_path / "c1_t1.nii.gz", np.ones((2, 2, 2), np.float32), np.eye(4))
    entry = CaseEntry(name="c1", image={"t1": "c1_t1.nii.gz"}, healthy=True)
    Datalist(training=(entry,)).write(tmp_path / "datalist.json")
    items = load_decathlon_datalist(
        str(tmp_path / "datalist.json"), is_segmentation=False, data_list_key="training"
    )
    assert [item["name"] for item in items] == ["c1"]


def test_what_is_no_section_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "datalist.json"
    entry = {"name": "a", "image": {"flair": "a.nii.gz"}}
    path.write_text(json.dumps({"description": "mine", "test": None, "training": [entry]}))
    assert list(Datalist.read(path).sections) == ["training"]
