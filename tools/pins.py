"""What is made of ``constraints.txt``: the bill of materials, and the hashes of every package.

``make sbom`` writes ``sbom.cdx.json`` (CycloneDX). ``make hashes`` brings
``requirements-hashed.txt`` up to date, and asks the index for what is new in the pins alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONSTRAINTS, SBOM, HASHED = "constraints.txt", "sbom.cdx.json", "requirements-hashed.txt"
WITHOUT_HASHES = ("torch",)
"""Another wheel on each index, one for each kind of GPU: whoever installs it chooses."""
HEADING = """\
# Made by `make hashes` of constraints.txt: every file of each version that is pinned there, for all
# platforms, less PyTorch, whose wheel differs by index (docs/security.md). After PyTorch:
#   pip install --no-deps --require-hashes -r requirements-hashed.txt
"""
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def pins(text: str) -> dict[str, str]:
    """Name, as package indexes compare it, to version."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PIN.findall(text)}


def bill_of_materials(root: Path) -> str:
    """The content of the bill: one component a pin, without times, places or line numbers."""
    words = ["requirements", "--output-reproducible", "--of", "JSON", "--sv", "1.6"]
    words += ["--pyproject", str(root / "pyproject.toml"), str(root / CONSTRAINTS)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", *words],
        check=True,
        capture_output=True,
        text=True,
    )
    bill: dict[str, Any] = json.loads(done.stdout)
    for component in bill["components"]:
        # Where a pin stands in the file, and which index one might take, are no facts about it.
        component.pop("externalReferences", None)
        component.pop("description", None)
        component["bom-ref"] = component["purl"]
    bill["components"].sort(key=lambda component: component["purl"])
    bill.pop("dependencies", None)
    for tool in bill["metadata"].get("tools", {}).get("components", []):
        tool.pop("externalReferences", None)
    return json.dumps(bill, indent=1, sort_keys=True) + "\n"


def hashed(root: Path) -> str:
    """The requirements with their hashes; the index is asked for those that are not there yet.

    Raises:
        SystemExit: there are new ones, and pip-tools is not installed.
    """
    wanted = pins((root / CONSTRAINTS).read_text(encoding="utf-8"))
    wanted = {name: version for name, version in wanted.items() if name not in WITHOUT_HASHES}
    path = root / HASHED
    blocks = blocks_of(path.read_text(encoding="utf-8")) if path.is_file() else {}
    new = {pin for pin in wanted.items() if pin not in blocks}
    blocks |= blocks_of(_asked(dict(new))) if new else {}
    return HEADING + "".join(f"{blocks[pin]}\n" for pin in sorted(wanted.items()))


def blocks_of(text: str) -> dict[tuple[str, str], str]:
    """Name and version to the lines of a pin with its hashes."""
    blocks = re.findall(r"^[^\s#].*(?:\n[ \t]+\S.*)*", text, re.MULTILINE)
    return {next(iter(pins(block).items())): block for block in blocks}


def _asked(wanted: dict[str, str]) -> str:
    """What pip-tools finds; more than was asked for, since packages need each other."""
    if importlib.util.find_spec("piptools") is None:
        raise SystemExit("new pins need pip-tools: pip install pip-tools")
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "asked.in", Path(folder) / "answer.txt"
        asked.write_text("".join(f"{name}=={version}\n" for name, version in wanted.items()))
        words = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
        words += ["--no-emit-find-links", "--allow-unsafe", "--strip-extras", "--quiet"]
        command = [sys.executable, "-m", "piptools", "compile", *words, "-o", answer, asked]
        subprocess.run(command, check=True)
        return answer.read_text(encoding="utf-8")


def main() -> None:
    """Write one of the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("sbom", "hashes"))
    if parser.parse_args().what == "sbom":
        (ROOT / SBOM).write_text(bill_of_materials(ROOT), encoding="utf-8")
    else:
        (ROOT / HASHED).write_text(hashed(ROOT), encoding="utf-8")


if __name__ == "__main__":
    main()
