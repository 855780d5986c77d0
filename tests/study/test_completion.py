"""What follows a training, and thresholds that a run lacks."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.bundle.export import export
from pipeline.cases.case import ImageFile
from pipeline.cases.loop import QUIET
from pipeline.cases.transforms import CaseTransforms
from pipeline.errors import InputError
from pipeline.files.identity import content_hash
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.run import RunRecord
from pipeline.run.finished import record_files
from pipeline.run.model import load_model
from pipeline.study.completion import complete_calibration, complete_run, is_complete
from pipeline.study.people import cases_of_run, seen_before


def test_a_run_without_atlases_and_thresholds_gets_them(run: Path) -> None:
    (run / "atlases.npz").unlink()
    (run / "calibration.json").unlink()
    completed = complete_run(run, execution=QUIET)
    assert completed.failed == {}
    assert set(completed.model.atlases) == {"intensity", "residual"}
    calibration = Calibration.of(run)
    assert calibration.cases == ("phantom_h001",)
    assert {"anomap", "intensity", "normative", "brain_damage"} <= set(calibration.methods)
    before = [(run / name).stat().st_mtime_ns for name in ("atlases.npz", "calibration.json")]
    complete_run(run, execution=QUIET)
    after = [(run / name).stat().st_mtime_ns for name in ("atlases.npz", "calibration.json")]
    assert after == before
    assert set(RunRecord.read(run / "run.json").files) == {
        "model.pt",
        "atlases.npz",
        "calibration.json",
    }


def test_a_run_is_complete_as_long_as_its_files_are_those_for_its_recipe(run: Path) -> None:
    for name in ("atlases.npz", "calibration.json"):
        (run / name).unlink()
        assert not is_complete(run)
    complete_run(run, execution=QUIET)
    assert is_complete(run)
    for name in ("model.pt", "atlases.npz", "calibration.json"):
        good = (run / name).read_bytes()
        (run / name).write_bytes(good[:-100])
        assert not is_complete(run)
        (run / name).write_bytes(good)
        assert is_complete(run)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("residual: positive", "residual: absolute"))
    assert not is_complete(run)  # the thresholds are those of another recipe
    complete_run(run, execution=QUIET)
    assert is_complete(run)


def test_other_files_in_place_of_a_run_s_people_are_noticed(run: Path, brains: Path) -> None:
    model = load_model(run)
    tree = json.loads((run / "datalist.json").read_text())
    image = Path(tree["validation"][0]["image"]["flair"])
    tree["validation"][0]["sha256"] = {"flair": content_hash(image)}
    (run / "datalist.json").write_text(json.dumps(tree))
    assert [case.name for case in cases_of_run(model, "validation")] == ["phantom_h001"]
    tree["validation"][0]["sha256"] = {"flair": "0" * 64}
    (run / "datalist.json").write_text(json.dumps(tree))
    with pytest.raises(InputError, match="the files of phantom_h001 are not those"):
        cases_of_run(model, "validation")


def test_an_unforeseen_error_in_one_case_does_not_end_a_completion(
    run: Path, monkeypatch: pytest.MonkeyPatch, brains: Path
) -> None:
    tree = json.loads((run / "datalist.json").read_text())
    tree["validation"] += [{**tree["training"][0], "name": "again"}]
    tree["training"] = tree["training"][:1]
    (run / "datalist.json").write_text(json.dumps(tree))
    (run / "calibration.json").unlink()
    prepare = CaseTransforms.__call__

    def break_one(self: CaseTransforms, case):  # type: ignore[no-untyped-def]
        if case.name == "again":
            raise ZeroDivisionError("of our own")
        return prepare(self, case)

    monkeypatch.setattr(CaseTransforms, "__call__", break_one)
    completed = complete_run(run, execution=QUIET)
    assert completed.failed == {"again": "ZeroDivisionError: of our own"}
    assert Calibration.of(run).cases == ("phantom_h001",)


def test_a_method_that_a_run_lacks_is_calibrated_on_its_own_people(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(run)
    transforms = CaseTransforms(model.config.modalities, model.config.grid)
    models = {model.noise: model}
    stored = Calibration.of(run)
    found = complete_calibration(models, ["anomap", "intensity"], transforms, execution=QUIET)
    assert found.methods["anomap"] == stored.methods["anomap"]
    assert set(found.methods) == {"anomap", "intensity"}
    assert Calibration.of(run) == stored  # the file stays
    (run / "datalist.json").unlink()
    with caplog.at_level(logging.WARNING):
        found = complete_calibration(models, ["intensity"], transforms, execution=QUIET)
    assert set(found.methods) == {"anomap"}


def test_cases_that_a_run_used_are_known(run: Path) -> None:
    model = load_model(run)
    cases = [*cases_of_run(model, "training"), *cases_of_run(model, "validation")]
    assert [case.name for case in cases] == ["phantom_h000", "phantom_h001"]
    assert seen_before(cases, {model.noise: model}) == ["phantom_h000", "phantom_h001"]
    copied = run.parent / "copied.nii.gz"
    copied.write_bytes(cases[0].images["flair"].path.read_bytes())
    renamed = replace(cases[0], name="other", images={"flair": ImageFile(copied)})
    assert seen_before([renamed], {model.noise: model}) == ["other"]
    record_files(run)
    export(run, run.parent / "bundle", with_source=False)
    travelled = load_model(run.parent / "bundle")
    assert seen_before([renamed], {model.noise: travelled}) == ["other"]
    assert "phantom_h000" not in (run.parent / "bundle/models/run.json").read_text()
    (run / "datalist.json").unlink()
    assert seen_before(cases, {model.noise: model}) == []
