"""The bill of materials and the hashes are those of the versions that are pinned."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pins
import pytest

ROOT = Path(__file__).parents[1]
PINNED = pins.pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))


def test_the_bill_of_materials_is_that_of_the_pins() -> None:
    bill = json.loads((ROOT / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert len(PINNED) > 100
    lines = "\n".join(f"{part['name']}=={part['version']}" for part in bill["components"])
    assert pins.pins(lines) == PINNED, "make sbom"
    assert not {"serialNumber", "timestamp"} & {*bill, *bill["metadata"]}


def test_the_bill_of_materials_is_made_the_same_again() -> None:
    pytest.importorskip("cyclonedx")
    made = pins.bill_of_materials(ROOT)
    stored = json.loads((ROOT / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert json.loads(made)["components"] == stored["components"], "make sbom"
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made) is None


def test_every_pin_has_its_hashes() -> None:
    text = (ROOT / "requirements-hashed.txt").read_text(encoding="utf-8")
    blocks = pins.blocks_of(text)
    wanted = {pin for pin in PINNED.items() if pin[0] not in pins.WITHOUT_HASHES}
    assert set(blocks) == wanted, "make hashes"
    for pin, block in blocks.items():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), pin
    assert "://" not in text
    assert pins.hashed(ROOT) == text  # nothing new, so nobody is asked


@pytest.mark.slow
@pytest.mark.skipif("ANOMAP_FULL" not in os.environ, reason="asks the package index")
def test_pip_takes_the_hashes(tmp_path: Path) -> None:
    words = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--require-hashes"]
    command = [sys.executable, "-m", "pip", *words, "-r", ROOT / "requirements-hashed.txt"]
    subprocess.run(command, check=True, cwd=tmp_path)
