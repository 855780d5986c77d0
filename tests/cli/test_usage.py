"""A user's mistake in the arguments is said before anything slow is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys
from pipeline.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
print(json.dumps([status, sorted({"torch", "monai", "nibabel"} & set(sys.modules))]))
"""
WRONG = [
    ("cases nope", "no such file"),
    ("convert nope -o out", "no such file"),
    ("convert here -o a_file", "is a file"),
    ("detect nope -o out", "no such file"),
    ("detect empty -o out", "an empty folder"),
    ("train empty --modality t1 -o out", "an empty folder"),
    ("benchmark empty --modality t1 -o out", "an empty folder"),
    ("calibrate t1 empty -o out", "an empty folder"),
    ("calibrate t8 here -o out", "no such run or bundle"),
    ("report empty", "an empty folder"),
    ("detect here -o out --model nope", "no such run or bundle"),
    ("detect here -o out --model flaire", "did you mean flair?"),
    ("detect here -o a_file", "is a file"),
    ("detect here -o out --modality swi", "weights come with anomap for flair"),
    ("detect here -o out --false-positive-rate 7", "is calibrated"),
    ("detect here -o out --device quantum", "expected cpu, cuda"),
    ("detect here -o out --seed -1", "expected 0 to"),
    ("fuse nope -o out", "no such file"),
    ("fuse here -o a_file", "is a file"),
    ("pacs --server x:1 --called Y -o a_file --push", "is a file"),
    ("bids nope out participant", "no such file"),
    ("bids here a_file participant", "is a file"),
    ("findings nope", "no such file"),
    ("compare nope here -o out", "no such file"),
    ("compare here nope -o out", "no such file"),
    ("evaluate nope --labels here", "no such file"),
    ("evaluate here --labels nope", "no such file"),
    ("benchmark nope --modality flair -o out", "no such file"),
    ("benchmark here --modality flair -o out --model nope", "no such run or bundle"),
    ("benchmark here --modality flair -o out --methods intensty", "did you mean intensity?"),
    ("benchmark here --modality flair -o out --calibrate-on nope", "no such file"),
    ("benchmark here --modality flair -o a_file", "is a file"),
    ("export nope -o out", "no such run or bundle"),
    ("export phantom -o out --benchmark x", "expected NAME=DIR"),
    ("export phantom -o out --benchmark x=nope", "no such file"),
    ("report nope", "no such file"),
    ("report here --cases 0", "expected 1 or more"),
    ("figures nope -o out", "no such file"),
    ("figures -o a_file", "is a file"),
    ("figures -o out --scan nope", "no such file"),
    ("app --model nope", "no such run or bundle"),
    ("train nope --modality t1 -o out", "no such file"),
    ("train here --modality t1 -o a_file", "is a file"),
    ("train here --modality t1 -o out --preset huge", "invalid choice"),
    ("train here --modality t1 -o out --noise pink", "invalid choice"),
    ("train here --modality t1 -o out --set training.epoch=3", "did you mean training.epochs?"),
    ("train here --modality t1 -o out --set training.epochs", "expected KEY=VALUE"),
    ("train here --modality t1 -o out --extra nope", "no such file"),
    ("phantom a_file --modality flair", "is a file"),
    ("demo -o a_file", "is a file"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[words for words, _ in WRONG])
def test_a_mistake_is_said_at_once(words: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "scan_flair.nii.gz").touch()
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "a_file").write_text("mine")
    command = [sys.executable, "-c", CODE, *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    status, imported = json.loads(done.stdout.splitlines()[-1])
    assert status == 2
    assert said in done.stderr
    assert imported == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_file", "empty", "here"]
    assert (tmp_path / "a_file").read_text() == "mine"
