"""Splits, and what a run folder holds."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL.Image import DecompressionBombError
from trainings import QUIET_CPU, train_quietly

from pipeline.cases.case import Case, ImageFile
from pipeline.cases.transforms import LoadCased
from pipeline.errors import InputError
from pipeline.files.record.datalist import Datalist
from pipeline.run.config import RunConfig
from pipeline.training.data import HealthyCases, prepare, split_healthy


def test_a_run_folder_says_who_was_used_for_what(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    train_quietly(controls, replace(config, hold_out=1), tmp_path / "run")
    datalist = json.loads((tmp_path / "run" / "datalist.json").read_text())
    sizes = {name: len(entries) for name, entries in datalist.items() if isinstance(entries, list)}
    assert sizes == {"training": 3, "validation": 1, "test": 1}
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_another_run_in_the_folder_is_not_overwritten(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    train_quietly(controls, config, tmp_path)
    with pytest.raises(InputError, match="--resume"):
        train_quietly(controls, config, tmp_path)
    with pytest.raises(InputError, match="differs"):
        train_quietly(controls, replace(config, seed=9), tmp_path, resume=True)


def test_too_few_subjects_are_refused_before_any_work(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="too few"):
        train_quietly(controls[:1], config, tmp_path)
    assert not list(tmp_path.iterdir())


def broken(case: Case, folder: Path) -> Case:
    """The case with a file that holds no image."""
    path = folder / f"{case.name}_flair.nii.gz"
    path.write_bytes(b"torn")
    return replace(case, images={"flair": ImageFile(path)})


def parts_of(run_dir: Path) -> dict[str, list[str]]:
    datalist = Datalist.read(run_dir / "datalist.json")
    return {name: [entry.name for entry in part] for name, part in datalist.sections.items()}


@pytest.mark.parametrize("section", ["training", "validation"])
def test_a_case_that_cannot_be_read_is_in_no_part_wherever_it_would_have_been(
    section: str, controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    """One validates: if it cannot be read, another one does."""
    bad = getattr(split_healthy(HealthyCases(controls), config), section)[0].name
    cases = [broken(case, tmp_path) if case.name == bad else case for case in controls]
    data = prepare(HealthyCases(cases), config, tmp_path / "run", execution=QUIET_CPU)
    assert list(data.failed) == [bad]
    assert f"{bad}_flair.nii.gz" in data.failed[bad]
    assert len(data.training) > 0
    assert len(data.validation) > 0
    parts = parts_of(tmp_path / "run")
    assert parts["unusable"] == [bad]
    assert [len(parts[name]) for name in ("training", "validation")] == [3, 1]
    resumed = prepare(HealthyCases(controls), config, tmp_path / "run", resume=True)
    assert parts_of(tmp_path / "run") == parts
    assert "begun without it" in resumed.failed[bad]


@pytest.mark.parametrize("error", [MemoryError, RecursionError, DecompressionBombError, KeyError])
def test_no_error_in_one_case_ends_the_others(
    error: type[Exception],
    controls: list[Case],
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(self: LoadCased, data: Any) -> Any:
        if data["case"].name == "c0":
            raise error("too much")
        return read(self, data)

    read = LoadCased.__call__
    monkeypatch.setattr(LoadCased, "__call__", load)
    data = prepare(HealthyCases(controls), config, tmp_path, execution=QUIET_CPU)
    assert list(data.failed) == ["c0"]
    told = "not enough memory" if error is MemoryError else "too much"
    assert told in data.failed["c0"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_that_a_user_wants_goes_through(
    error: type[BaseException],
    controls: list[Case],
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(self: LoadCased, data: Any) -> Any:
        raise error

    monkeypatch.setattr(LoadCased, "__call__", load)
    with pytest.raises(error):
        prepare(HealthyCases(controls), config, tmp_path, execution=QUIET_CPU)


def with_field_of_view(config: RunConfig, field_mm: float) -> RunConfig:
    return replace(config, grid=replace(config.grid, spacing_mm=field_mm / config.grid.size))


def test_without_a_slice_of_enough_brain_nothing_is_trained(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    """Brains of 12 cm in a field of view of 160 cm are 0.5 % of it."""
    with pytest.raises(InputError, match=r"no slice holds enough brain.*2 %.*1600 mm") as caught:
        prepare(HealthyCases(controls), with_field_of_view(config, 1600), tmp_path)
    assert "\n" not in str(caught.value)


def test_extra_cases_of_which_none_can_be_read_are_an_error(
    controls: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    cases, (extra,) = controls[:4], controls[4:]
    healthy = HealthyCases(cases, [broken(extra, tmp_path)])
    with pytest.raises(InputError, match=r"no extra case can be used: .*c4_flair"):
        prepare(healthy, config, tmp_path / "run", execution=QUIET_CPU)


def test_a_training_does_not_go_on_with_other_images(
    controls: list[Case], config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a checkpoint there is nothing to go on with: it begins anew, and says so."""
    cases = []
    for case in controls:
        path = tmp_path / case.images["flair"].path.name
        path.write_bytes(case.images["flair"].path.read_bytes())
        cases.append(replace(case, images={"flair": ImageFile(path)}))
    run = tmp_path / "run"
    train_quietly(cases, config, run)
    first = (run / "model.pt").read_bytes()
    one, two = (case.images["flair"].path for case in cases[:2])
    before = one.stat()
    one.write_bytes(two.read_bytes())
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputError, match=rf"the files of 1 case \({cases[0].name}, .*put those"):
        train_quietly(cases, config, run, resume=True)
    (run / "last.pt").unlink()
    train_quietly(cases, config, run, resume=True)
    assert "so it begins anew" in caplog.text
    assert (run / "model.pt").read_bytes() != first
    caplog.clear()
    train_quietly(cases, config, run, resume=True)
    assert caplog.text == ""
