"""Tumours that are put into a run's own validation brains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trainings import WatchedRun, rows_of, train_quietly

from pipeline.cases.case import Case
from pipeline.cases.find import find_cases
from pipeline.cases.transforms import CaseTransforms
from pipeline.files.images.nifti import write_volume
from pipeline.files.names import PROBES
from pipeline.run.config import RunConfig
from pipeline.training import probes


def test_looking_for_tumours_does_not_change_the_training(
    watched: WatchedRun,
    phantoms: list[Case],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probes, "N_PROBES", 0)
    train_quietly(phantoms, watched.config, tmp_path)
    assert not (tmp_path / PROBES).exists()
    with_probes, without = (
        torch.load(folder / "model.pt", weights_only=True) for folder in (watched.path, tmp_path)
    )
    assert all(torch.equal(with_probes[key], without[key]) for key in with_probes)
    assert rows_of(watched.path) == rows_of(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert not any(tag.startswith("phantoms") for tag in events.Tags()["scalars"])


def test_a_probe_depends_on_seed_case_and_index_and_its_tumour_lies_in_the_brain(
    phantoms: list[Case], config: RunConfig
) -> None:
    first, again, other = (probes.make_probe(phantoms[0], config, i) for i in (0, 0, 1))
    assert torch.equal(first.slices, again.slices)
    assert torch.equal(first.lesion, again.lesion)
    assert not torch.equal(first.lesion, other.lesion)
    assert (first.brain | ~first.lesion).all()
    plain = CaseTransforms(config.modalities, config.grid)(phantoms[0])
    assert torch.equal(plain.brain, first.brain)
    changed = (plain.slices - first.slices).abs()
    assert changed[first.lesion].mean() > 5 * changed[first.brain & ~first.lesion].mean()


def test_what_cannot_take_a_tumour_is_left_out(
    config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_volume(tmp_path / "part_flair.nii.gz", np.ones((9, 9, 9), np.float32), np.eye(4))
    cases = find_cases(tmp_path, modalities=["flair"], healthy=True).cases
    probes.write_probes(cases, config, tmp_path / "run")
    assert probes.read_probes(tmp_path / "run") == []
    assert "no synthetic tumour in part: " in caplog.text


def test_probes_are_read_as_they_were_made(
    phantoms: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    probes.write_probes(phantoms[:1], config, tmp_path)
    made = probes.make_probe(phantoms[0], config, 0)
    read = probes.read_probes(tmp_path)[0]
    holds_brain = made.brain.flatten(1).any(1)
    assert read.name == made.name
    for part in ("slices", "brain", "lesion"):
        assert torch.equal(getattr(read, part), getattr(made, part)[holds_brain])


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04torn"])
def test_a_torn_file_of_probes_does_no_harm(
    content: bytes,
    phantoms: list[Case],
    config: RunConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / PROBES
    path.parent.mkdir()
    path.write_bytes(content)
    assert probes.read_probes(tmp_path) == []
    assert str(path) in caplog.text
    probes.write_probes(phantoms[:1], config, tmp_path)
    assert len(probes.read_probes(tmp_path)) == 3


def test_probes_of_other_brains_are_made_anew(
    phantoms: list[Case], config: RunConfig, tmp_path: Path
) -> None:
    probes.write_probes(phantoms[:1], config, tmp_path)
    before = probes.read_probes(tmp_path)[0]
    written = (tmp_path / PROBES).stat().st_mtime_ns
    probes.write_probes(phantoms[:1], config, tmp_path)
    assert (tmp_path / PROBES).stat().st_mtime_ns == written
    replaced = replace(phantoms[1], name=phantoms[0].name)
    probes.write_probes([replaced], config, tmp_path)
    assert not torch.equal(probes.read_probes(tmp_path)[0].slices, before.slices)


def test_a_probe_does_not_depend_on_the_name(phantoms: list[Case], config: RunConfig) -> None:
    first = probes.make_probe(phantoms[0], config, 0)
    renamed = probes.make_probe(replace(phantoms[0], name="x"), config, 0)
    assert torch.equal(first.slices, renamed.slices)
