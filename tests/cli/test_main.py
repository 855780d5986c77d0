"""What the command line says, and how fast it says it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from pipeline.cli.main import main

COMMANDS = (
    *(
        "cases",
        "phantom",
        "train",
        "detect",
        "evaluate",
        "benchmark",
        "report",
        "figures",
        "app",
        "demo",
    ),
)
WRONG = ["report", "nowhere"]


def help_of(*words: str) -> tuple[str, float]:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words, "--help"], capture_output=True, check=True
    )
    return done.stdout.decode(), time.monotonic() - start


def test_help_comes_at_once_and_shows_examples() -> None:
    answers = [help_of() for _ in range(3)]
    assert min(seconds for _, seconds in answers) < 0.5
    for name in COMMANDS:
        assert f"\n    {name} " in answers[0][0] or f"\n    {name}\n" in answers[0][0]
    assert "examples:\n  anomap demo" in answers[0][0]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"example:\n  anomap {name} " in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'monai', 'numpy', 'streamlit', 'matplotlib', 'nibabel'}"
    program = (
        "import sys, pipeline.cli.main as c\ntry: c.main(['--help'])\n"
        f"except SystemExit: print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr.decode().strip() == "[]"


def test_colours_are_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(WRONG) == 2
    assert capsys.readouterr().err.startswith("anomap: nowhere: no such folder")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(WRONG) == 2
    assert capsys.readouterr().err.startswith("\033[31manomap:\033[0m nowhere")
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(WRONG) == 2
    assert capsys.readouterr().err.startswith("anomap: nowhere")


def test_every_noise_can_be_trained_with(capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.noise.noises import NOISES

    for name in NOISES:
        words = ["train", "nowhere", "--modality", "flair", "-o", "run", "--noise", name]
        assert main(words) == 2
        assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
    ],
)
def test_threads_wait_asleep_unless_the_user_says_how(
    monkeypatch: pytest.MonkeyPatch, before: dict[str, str], after: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert os.environ.get("GOMP_SPINCOUNT") == after


def test_torch_is_loaded_after_the_choice_how_threads_wait() -> None:
    code = "import sys, pipeline.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
