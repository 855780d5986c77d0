"""Standard streams that are closed, full or unread: the exit status is that of the work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from pipeline.cli import main as command
from pipeline.cli.main import main
from pipeline.cli.streams import ForgivingStream, forgiving_streams


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What a line of bash leaves; ``$A`` is the command, words are ``$1`` ..."""
    environment = os.environ | {"A": f"{sys.executable} -m pipeline"}
    return subprocess.run(
        ["bash", "-c", line, "bash", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize(
    "redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| true", "2>&1 | true"]
)
def test_a_stream_that_is_closed_or_unread_changes_nothing(redirection: str) -> None:
    for words, status in (("--help", 0), ("cases nowhere", 2)):
        done = shell(f"$A {words} {redirection}; exit ${{PIPESTATUS[0]}}")
        assert done.returncode == status
        assert "our own" not in done.stderr
        assert "Exception" not in done.stderr
        assert "Broken pipe" not in done.stderr


def test_a_file_that_is_opened_does_not_become_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pipeline.cli.streams import forgiving_streams\n"
        "with forgiving_streams():\n"
        "    file = open(sys.argv[1], 'w')\n"
        "    os.write(1, b'from C')\n    print('printed')\n    file.write('content')\n"
    )
    path = tmp_path / "file"
    shell(f'{sys.executable} -c "$1" "$2" >&-', code, str(path))
    assert path.read_text() == "content"


def reader_left() -> Any:
    """A stream into a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


def test_bars_and_prints_go_on_where_the_reader_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, reader_left())
    with forgiving_streams() as output:
        for _ in tqdm(range(3), mininterval=0):
            print("x" * 100_000)
    assert output.error is None


def test_a_full_disk_is_remembered_and_what_follows_is_dropped() -> None:
    with Path("/dev/full").open("w") as full:
        stream = ForgivingStream(full)
        for _ in range(3):
            print("x" * 100_000, file=stream)  # type: ignore[call-overload]
        assert stream.error is not None
        assert stream.error.strerror == "No space left on device"


def test_what_an_encoding_lacks_is_written_as_its_code(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        print("glioma é \udce9", file=ForgivingStream(file))  # type: ignore[call-overload]
    assert (tmp_path / "out").read_text() == "glioma \\xe9 \\udce9\n"


@pytest.mark.parametrize(("prints_all", "status"), [(True, 2), (False, 0)])
def test_a_full_disk_fails_only_what_is_printed_and_not_what_is_in_files(
    prints_all: bool,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Parser:
        def parse_args(self, argv: object) -> Any:
            return command.argparse.Namespace(
                run=lambda _: print("a table") or 0,
                prints_all=prints_all,
                log_json=None,
                command="x",
                quiet=True,
                debug=False,
            )

    monkeypatch.setattr(command, "parser", Parser)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([]) == status
    expected = "anomap: standard output: cannot be written to (No space left on device)\n"
    assert capsys.readouterr().err == expected


def test_help_that_nobody_gets_has_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as end:
            main(["--version"])
    assert end.value.code == 2
    assert "standard output: cannot be written to" in capsys.readouterr().err


def test_a_working_directory_that_is_gone_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert main(["report", "/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("anomap: the working directory is gone")
