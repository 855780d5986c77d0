"""A real archive on this machine: Debian's Orthanc, started by the test that needs it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

AET = "ARCHIVE"


@dataclass(frozen=True)
class Archive:
    """Where it listens, and what it holds."""

    dicom_port: int
    http_port: int

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.dicom_port}"

    def ask(self, path: str, data: bytes | None = None) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def upload(self, folder: Path) -> None:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.ask("/instances", path.read_bytes())

    def content(self, instance: str) -> bytes:
        url = f"http://127.0.0.1:{self.http_port}/instances/{instance}/file"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bytes(answer.read())

    def instances(self, sop_class: str = "") -> list[str]:
        """Identities of all instances, of one SOP class alone if asked."""
        found = self.ask("/instances")
        if not sop_class:
            return list(found)
        metadata = "/instances/{}/metadata?expand"
        return [i for i in found if self.ask(metadata.format(i)).get("SopClassUid") == sop_class]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Archive]:
    program = shutil.which("Orthanc")
    if program is None:
        if os.environ.get("ANOMAP_REQUIRE_HOSPITAL"):
            pytest.fail("Orthanc is not installed")
        pytest.skip("Orthanc is not installed (Debian's package orthanc)")
    archive = Archive(_free_port(), _free_port())
    settings = {
        "Name": "tests",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": archive.http_port,
        "DicomPort": archive.dicom_port,
        "DicomAet": AET,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OverwriteInstances": False,
        "Plugins": [],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
        try:
            _wait(archive, process, folder)
            yield archive
        finally:
            process.kill()
            process.wait()


def _wait(archive: Archive, process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, (folder / "orthanc.log").read_text()
        try:
            archive.ask("/system")
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("Orthanc did not start")
