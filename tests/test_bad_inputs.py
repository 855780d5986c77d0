"""Every input is read, or refused in one line that names it; nothing else happens.

The same inputs by the thousand: `python tests/benchmarks/bad_inputs.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from foreign.attempts import REFUSED, Attempt, Fault, outcome_of
from foreign.kinds import KINDS, Kind
from hypothesis import given
from strategies import TEXTS, quick, sources

from pipeline.errors import InputError
from pipeline.files.case_name import case_folder

CAMPAIGN = Path(__file__).parent / "benchmarks" / "bad_inputs.py"


def fresh(folder: Path) -> Path:
    """An empty folder, in place of the one before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_input_is_read_or_refused_in_one_line(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    # What made a fault lies in the folder then; a smaller input would take minutes to find.
    @quick(25, shrinks=False)
    @given(source=sources())
    def check(source: Random) -> None:
        outcome_of(kind.make(source, fresh(tmp_path / "input")))

    check()


@quick(100)
@given(name=TEXTS)
def test_any_name_is_refused_or_that_of_a_folder(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = fresh(tmp_path_factory.getbasetemp() / "names")
    try:
        folder = case_folder(out, name)
    except InputError:
        return
    folder.mkdir()
    assert [path.name for path in out.iterdir()] == [name]
    assert folder.resolve().parent == out.resolve()


# --- that faults are seen -------------------------------------------------------------------------


def attempt(use: object, folder: Path) -> Attempt:
    return Attempt(use, ("x.nii",), 10, folder)  # type: ignore[arg-type]


def refuse(message: str) -> object:
    def use() -> None:
        error = InputError("")
        error.args = (message,)  # as if it did not see to its message itself
        raise error

    return use


def test_a_good_refusal_is_no_fault(tmp_path: Path) -> None:
    assert outcome_of(attempt(refuse("x.nii: empty"), tmp_path)).what == REFUSED


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("x.nii: two\nlines", "one line"),
        ("empty", "names its file"),
        ("x.nii: \x1b[31m", "terminals"),
        ("x.nii: \udcff", "terminals"),
        ("x.nii: " + "x" * 1000, "of 1002 characters"),
    ],
)
def test_a_bad_refusal_is_a_fault(message: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=fault):
        outcome_of(attempt(refuse(message), tmp_path))


def test_other_exceptions_writes_memory_and_time_are_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.nii").write_bytes(b"0123456789")
    with pytest.raises(Fault, match="ZeroDivisionError"):
        outcome_of(attempt(lambda: 1 / 0, tmp_path))
    with pytest.raises(Fault, match="wrote beside"):
        outcome_of(attempt(lambda: (tmp_path / "x.nii").write_bytes(b"9876543210a"), tmp_path))
    with pytest.raises(Fault, match="MiB for 10 bytes"):
        outcome_of(attempt(lambda: len(bytearray(b"x" * (1 << 28))), tmp_path))
    monkeypatch.setattr("foreign.attempts.LONGEST_SECONDS", 0.05)
    with pytest.raises(Fault, match="took more than"):
        outcome_of(attempt(lambda: [None for _ in iter(int, 1)], tmp_path))


@pytest.mark.slow
def test_the_campaign_prints_a_table_and_finds_no_fault(tmp_path: Path) -> None:
    options = ["--inputs", "2000", "--seed", "7", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(
        [sys.executable, CAMPAIGN, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line[:1] == "|"]
    assert rows[2:] == [kind.name for kind in KINDS]
    assert not (tmp_path / "kept").exists()
