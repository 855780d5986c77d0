"""What the command line says, to whom, and that it only parses."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import main, parser

WRONG = ["report", "nowhere"]


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command by name."""
    (action,) = (
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(action.choices)


COMMANDS = commands()


def test_every_command_is_there() -> None:
    assert set(COMMANDS) == {
        *("cases", "convert", "phantom", "train", "detect", "fuse", "evaluate", "benchmark"),
        *("export", "report", "figures", "app", "demo", "pacs", "findings", "models", "calibrate"),
        *("compare", "bids"),
    }


def test_help_shows_every_command_and_examples() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "--help"], capture_output=True, check=True
    )
    text = done.stdout.decode()
    for name in COMMANDS:
        assert f"\n    {name} " in text or f"\n    {name}\n" in text
    assert "examples:\n  anomap demo" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "example:\n  anomap " in printed
    assert f"\n  anomap {name} " in printed


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_says_what_it_is(name: str) -> None:
    for action in COMMANDS[name]._actions:
        assert action.help, f"{name} {action.option_strings or action.dest}"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_example_parses(name: str) -> None:
    lines = str(COMMANDS[name].epilog).splitlines()
    examples = [line.strip() for line in lines if line.strip().startswith("anomap ")]
    assert examples
    for example in examples:
        words = shlex.split(example)[1:]
        assert parser().parse_args(words).command == words[0]


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
    assert capsys.readouterr().err.startswith("anomap: nowhere: no such file or folder")
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


def test_a_path_that_is_not_there_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for words in (
        ["detect", missing, "-o", "out"],
        ["train", missing, "--modality", "flair", "-o", "run"],
        ["benchmark", missing, "--modality", "flair", "-o", "out"],
        ["evaluate", "out", "--labels", missing],
        ["cases", missing],
        ["fuse", missing, missing, "-o", "out"],
    ):
        code = (
            "import sys; from pipeline.cli.main import main; "
            f"status = main({words!r}); print(status, 'torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.decode().split() == ["2", "False"]
        assert done.stderr.decode() == f"anomap: {missing}: no such file or folder\n"


def test_what_the_package_logs_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        main(WRONG)
    capsys.readouterr()
    logging.getLogger("pipeline.study.selection").warning("note: %s", "for people")
    assert capsys.readouterr().err == "note: for people\n"


def test_a_negative_number_of_failures_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cases", str(Path(__file__).parent), "--max-failures", "-1"]) == 2
    assert "no case" in capsys.readouterr().err
    words = ["detect", str(Path(__file__).parent), "-o", "out", "--max-failures", "-1"]
    assert main(words) == 2
    assert "--max-failures -1: expected 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["detect", "x", "-o", "y", "--modalty", "t1"], "(did you mean --modality?)"),
        (
            ["train", "x", "-o", "y", "--modality", "t1", "--hold-ot=3"],
            "(did you mean --hold-out?)",
        ),
        (["detct", "x"], "(did you mean detect?)"),
        (["report", "x", "--zzzzzz"], "unrecognized arguments: --zzzzzz\n"),
    ],
)
def test_a_misspelt_word_is_told_with_what_was_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert words[0] not in COMMANDS or f"usage: anomap {words[0]}" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_says_what_it_does(name: str) -> None:
    silent = [
        action.option_strings or action.dest
        for action in COMMANDS[name]._actions
        if not action.help
    ]
    assert silent == []


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_commands_options_and_choices(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--print-completion", shell])
    assert stopped.value.code == 0
    script = capsys.readouterr().out
    assert "--false-positive-rate" in script
    assert "picture" in script
    if shell == "bash":
        (tmp_path / "script").write_text(script)
        (tmp_path / "scans").mkdir()
        ask = (
            f"source {tmp_path / 'script'}; cd {tmp_path}; COMP_WORDS=(anomap {{}}); "
            "COMP_CWORD={}; _shtab_anomap; echo ${{COMPREPLY[@]}}"
        )

        def completed(words: str) -> list[str]:
            n = len(words.split())
            done = subprocess.run(
                ["bash", "-c", ask.format(words, n)], capture_output=True, text=True, check=True
            )
            return done.stdout.split()

        assert completed("ben") == ["benchmark"]
        assert "--any-scan" in completed("detect --any")
        assert completed("train --preset pic") == ["picture"]
        assert "scans" in completed("detect sca")
