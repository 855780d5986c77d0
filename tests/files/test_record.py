"""The page and the schemas of the records: up to date, true of real files, and of no others."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest
from make_records import PAGE, SCHEMAS, file_records, nested, page, schema_path, written
from records import EXAMPLES, FORMER

from pipeline.cli.main import main
from pipeline.files.record.base import FileRecord, Record
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.datalist import Datalist
from pipeline.files.record.findings import Findings
from pipeline.files.record.result import CaseResult
from pipeline.files.record.summary import Curves, MethodSummary, Summary

ROOT = Path(__file__).parents[2]
each_record = pytest.mark.parametrize("record", file_records(), ids=lambda record: record.FILE)


def validator(record: type[FileRecord]) -> jsonschema.Draft202012Validator:
    schema = json.loads(schema_path(record).read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


def described(record: type[Record]) -> Iterator[tuple[str, str | None]]:
    """Every record in a record, and their fields, with what is said of them."""
    for one in (record, *nested(record)):
        yield one.__name__, one.__doc__
        for name, field in one.model_fields.items():
            yield f"{one.__name__}.{name}", field.description


def test_every_file_has_a_record() -> None:
    names = [record.FILE for record in file_records()]
    assert len(names) == len(set(names)) >= 6


def test_page_and_schemas_are_up_to_date() -> None:
    for path, text in written().items():
        assert path.is_file(), f"{path}: run: python docs/make_records.py"
        assert path.read_text(encoding="utf-8") == text, "run: python docs/make_records.py"
    there = set(SCHEMAS.glob("*.json"))
    assert there == {schema_path(record) for record in file_records()}


@each_record
def test_every_field_says_what_it_means(record: type[FileRecord]) -> None:
    fields = list(described(record))
    assert len(fields) > len(record.model_fields)
    assert [name for name, text in fields if not text] == []


@each_record
def test_the_page_shows_every_key(record: type[FileRecord]) -> None:
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {record.FILE}\n")[1].split("\n## ")[0]
    for key in record.model_fields:
        assert f"\n| `{key}` | " in section


def test_links_of_the_page_lead_to_its_headings() -> None:
    headings = re.findall(r"^#+ (.*)$", page(), re.MULTILINE)
    anchors = {heading.lower().replace(".", "").replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]*)\)", page())
    assert len(links) > 20
    assert set(links) <= anchors
    assert len(headings) == len(set(headings))


@each_record
def test_a_schema_is_one(record: type[FileRecord]) -> None:
    jsonschema.Draft202012Validator.check_schema(validator(record).schema)


@each_record
def test_a_schema_comes_with_the_package(record: type[FileRecord]) -> None:
    name = schema_path(record).name
    assert (files("pipeline.files.record") / "schemas" / name).is_file()
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]
    assert "pipeline.files.record" in setuptools["packages"]
    assert setuptools["package-data"]["pipeline.files.record"] == ["schemas/*.json"]


@each_record
def test_a_schema_takes_its_file_and_no_other(record: type[FileRecord]) -> None:
    schema = validator(record)
    schema.validate(EXAMPLES[record].to_json())
    others = [example for other, example in EXAMPLES.items() if other is not record]
    if record is CaseResult:  # it may say anything else
        others = []
        assert not schema.is_valid({"score": "high"})
        assert not schema.is_valid({"threshold": {"rule": "chosen"}})
        assert schema.is_valid({"further": 1})
    for other in others:
        assert not schema.is_valid(other.to_json()), other
    for wrong in ([], "text", EXAMPLES[record].to_json() | {"schema_version": 99}):
        assert not schema.is_valid(wrong)


@each_record
def test_a_former_file_that_was_read_and_written_validates(
    record: type[FileRecord], tmp_path: Path
) -> None:
    former, path = tmp_path / "former.json", tmp_path / record.FILE
    former.write_text(json.dumps(FORMER[record]))
    record.read(former).write(path)
    validator(record).validate(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def world(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``run``, ``out`` and ``fused`` of a case, and its scores in ``out``."""
    root = tmp_path_factory.mktemp("records")
    shutil.copytree(made_run, root / "run")
    voxels = np.indices((24, 24, 24)).astype(np.float32)
    brain = ((voxels - 11.5) ** 2).sum(axis=0) < 100
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    image = np.where(brain, 100 + 5 * np.sin(voxels).sum(axis=0), 0).astype(np.float32)
    label = brain & (((voxels - 11.5) ** 2).sum(axis=0) < 9)
    (root / "data/p1").mkdir(parents=True)
    nib.save(nib.Nifti1Image(image, affine), root / "data/p1/p1_flair.nii.gz")
    nib.save(nib.Nifti1Image(label.astype(np.uint8), affine), root / "data/p1/p1_seg.nii.gz")
    for words in (
        f"detect {root}/data --model {root}/run -o {root}/out --device cpu --quiet",
        f"detect {root}/data --model {root}/run -o {root}/again --seed 1 --device cpu --quiet",
        f"fuse {root}/out {root}/again -o {root}/fused --quiet",
        f"evaluate {root}/out --labels {root}/data --quiet",
    ):
        assert main(words.split()) == 0
    return root


REAL: dict[str, type[FileRecord]] = {
    "run/calibration.json": Calibration,
    "run/datalist.json": Datalist,
    "out/p1/result.json": CaseResult,
    "fused/p1/result.json": CaseResult,
    "out/p1/findings.json": Findings,
    "fused/p1/findings.json": Findings,
    "out/summary.json": Summary,
    "out/curves.json": Curves,
    "out/datalist.json": Datalist,
}


@pytest.mark.parametrize("name", REAL)
def test_a_file_that_a_command_left_validates(world: Path, name: str) -> None:
    tree = json.loads((world / name).read_text(encoding="utf-8"))
    validator(REAL[name]).validate(tree)
    assert REAL[name].read(world / name).to_json() == tree


def test_every_json_file_that_a_command_left_has_a_record(world: Path) -> None:
    found = [p for p in world.rglob("*.json") if not p.is_relative_to(world / "again")]
    assert {path.relative_to(world).as_posix() for path in found} == set(REAL)


def test_the_page_tells_every_metric_of_a_summary(world: Path) -> None:
    means = Summary.read(world / "out/summary.json").methods["anomap"].means
    assert len(means) > 8
    told = MethodSummary.__doc__ or ""
    assert [name for name in means if f"``{name}``" not in told] == []


def test_a_typo_in_a_real_file_does_not_validate(world: Path) -> None:
    tree = json.loads((world / "out/summary.json").read_text(encoding="utf-8"))
    tree["methods"]["anomap"]["pooled"]["auprcc"] = 0.5
    assert not validator(Summary).is_valid(tree)
