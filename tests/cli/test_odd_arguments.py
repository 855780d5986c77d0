"""Odd arguments of every command: refused in one line that can be read, and never as our error."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from pipeline.cli.main import main
from pipeline.errors import MAX_LENGTH

COMMANDS = {
    "cases": "cases {odd}",
    "detect": "detect {odd} --model {run} -o {out}",
    "detect with": "detect {scan} --model {odd} -o {out}",
    "train": "train {odd} --modality flair -o {out}",
    "benchmark": "benchmark {odd} --modality flair --model {run} -o {out}",
    "evaluate": "evaluate {odd} --labels {scan}",
    "fuse": "fuse {odd} {out} -o {out}",
    "report": "report {odd}",
    "export": "export {odd} -o {out}",
    "phantom": "phantom {out} --on {odd} --modality flair",
}
PATHS = {
    "nothing": "",
    "a space": " ",
    "missing": "nowhere/at/all",
    "an empty folder": "empty",
    "a text": "text",
    "below a file": "text/x",
    "a pipe": "pipe.nii.gz",
    "a pipe of JSON": "pipe.json",
    "no image": "torn.nii.gz",
    "a folder named as an image": "folder.nii.gz",
    "a folder named as a datalist": "folder.json",
    "an empty datalist": "empty.json",
    "a list as datalist": "list.json",
    "deep JSON": "deep.json",
    "no zip": "torn.zip",
    "a loop": "loop",
    "a dead link": "dead.nii.gz",
    "a device": "/dev/null",
    "a link to a device": "null.nii.gz",
    "memory": "/proc/self/mem",
    "a long name": "x" * 300,
    "a deep folder": "a/" * 3000,
    "no UTF-8": "\udce9.nii.gz",
    "a line break": "a\nb",
    "an escape": "\x1b[2J",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what is no data."""
    folder = tmp_path_factory.mktemp("odd")
    for name in ("empty", "folder.nii.gz", "folder.json"):
        (folder / name).mkdir()
    texts = {"text": "x", "torn.nii.gz": "x", "torn.zip": "x", "empty.json": "{}"}
    for name, text in {**texts, "list.json": "[]", "deep.json": "[" * 100_000}.items():
        (folder / name).write_text(text)
    os.mkfifo(folder / "pipe.nii.gz")
    os.mkfifo(folder / "pipe.json")
    links = {"loop": "loop", "dead.nii.gz": "nowhere", "null.nii.gz": "/dev/null"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    return folder


def assert_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that fails because of what it was given."""
    try:
        status = main(words)
    except SystemExit as stopped:  # argparse ends so
        status = int(str(stopped.code))
    message = capsys.readouterr().err
    assert status in (1, 2)
    assert "an error of our own" not in message
    assert "Traceback" not in message
    last = message.strip().splitlines()[-1]
    assert 10 < len(last) <= MAX_LENGTH + len("anomap benchmark: error: ")
    assert last.isprintable()
    return last


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_odd_path_is_refused(
    command: str,
    path: str,
    odd: Path,
    made_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(odd)
    words = [
        word.format(odd=path, run=made_run, out=tmp_path / "out", scan="torn.nii.gz")
        for word in command.split()
    ]
    assert_refused(words, capsys)


SETTINGS = {
    "no value": "training.epochs",
    "no key": "=1",
    "an unknown key": "training.x=1",
    "half a list": "seed=[",
    "deep lists": "seed=" + "[" * 1000,
    "an object": "seed=!!python/object:os.system x",
    "a null character": "seed=\0",
    "no UTF-8": "seed=\udce9",
    "an anchor in itself": "seed=&a [*a]",
    "no date": "seed=2020-99-99",
    "not a number": "training.learning_rate=.nan",
    "infinite": "training.epochs=.inf",
    "negative": "training.epochs=-1",
    "huge": f"training.batch_size={2**70}",
    "a truth": "training.epochs=true",
    "a table": "modalities={a: b}",
    "an empty list": "detection.timesteps=[]",
    "a list for a name": "diffusion.noise=[simplex]",
    "a long key": "x" * 5000 + "=1",
    "a long value": "preset=" + "x" * 5000,
}
ODD_WORDS = {
    **{f"--set, {name}": ["--set", text] for name, text in SETTINGS.items()},
    **{
        f"{option} {value[:12]}": [option, value]
        for option, values in {
            "--seed": ["-1", str(2**70), "nan", "", "1.5", "9" * 5000],
            "--epochs": ["0", "-1", "nan", ""],
            "--hold-out": ["-1", str(10**30), "x"],
            "--max-failures": ["-1", "nan"],
            "--preset": ["", "x", "../tiny", "\x1b[2J", "a\nb"],
            "--modality": ["", ",", "x", "\udce9", "flair,flair"],
            "--device": ["", "x", "meta", "cuda:99", "cuda:-1", "9" * 30, "\udce9"],
            "--leave-out": ["nobody", "a\nb"],
        }.items()
        for value in values
    },
}


@pytest.mark.parametrize("words", ODD_WORDS.values(), ids=map(ascii, ODD_WORDS))
def test_an_odd_option_of_a_training_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / f"data/{name}_flair.nii.gz").touch()
    data = ["train", str(tmp_path / "data"), "--modality", "flair", "--healthy"]
    assert_refused([*data, "-o", str(tmp_path / "run"), *words], capsys)


OUTPUTS = ["text", "text/x", "/dev/null", "/dev/null/x", "/proc/x", "loop", "pipe.json"]


@pytest.mark.parametrize("out", [*OUTPUTS, "x" * 300], ids=ascii)
def test_results_that_cannot_lie_there_are_refused(
    out: str,
    odd: Path,
    made_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(
        odd, tmp_path / "odd", symlinks=True, ignore=lambda *_: ["pipe.nii.gz", "pipe.json"]
    )
    monkeypatch.chdir(tmp_path / "odd")
    os.mkfifo("pipe.json")
    phantom = ["--modality", "flair", "--healthy", "1", "--tumour", "0", "--spacing", "9"]
    assert_refused(["phantom", out, *phantom], capsys)
    assert_refused(["export", str(made_run), "-o", out], capsys)
    assert_refused(["detect", "torn.nii.gz", "--model", str(made_run), "-o", out], capsys)


def test_a_demo_of_no_epoch_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(["demo", "-o", str(tmp_path / "demo"), "--epochs", "0"], capsys)
    assert not (tmp_path / "demo").exists()


def test_a_bundle_may_have_a_name_that_is_not_utf_8(made_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "b\udce9.zip"
    assert main(["export", str(made_run), "-o", str(out), "--no-source"]) == 0
    with zipfile.ZipFile(out) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"b\\udce9"}
