"""The exported bundle among strangers: fresh environments, MONAI Label, the model zoo's own check.

These install packages, so they run only when asked for: ``make test-bundle`` (some minutes).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commands import build_wheel, run
from metadata_schema import SCHEMA

from pipeline.bundle.export import export
from pipeline.cli.main import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("ANOMAP_FULL"),
        reason="installs packages into environments of its own; ANOMAP_FULL=1 asks for it",
    ),
]

MICRO = "{'training.slices_per_epoch': 16, 'training.batch_size': 4}"
MONAI_LABEL = (
    *("itk", "torchvision", "pynrrd", "pydantic", "pydantic-settings", "python-dotenv", "shapely"),
    *("requests", "requests-toolbelt", "cachetools", "expiring_dict", "expiringdict"),
    "scikit-image",
)
"""What its BundleInferTask imports; all of its requirements cannot be built everywhere."""


def pinned(bundle: Path) -> list[str]:
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    first = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    versions = {name: metadata[key] for name, key in first.items()}
    versions |= metadata["required_packages_version"]
    return [f"{name}=={version}" for name, version in versions.items()]


def environment(folder: Path, *requirements: str, complete: bool = True) -> Path:
    """The Python of a new environment with these packages; skips where they cannot be had."""
    if not (folder / "bin/python").exists():
        venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += [] if complete else ["--no-deps"]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"packages cannot be had: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.fixture(scope="module")
def world(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bundle``, unzipped; ``ph``, phantoms; ``maps``, what `anomap detect` finds in them."""
    root = tmp_path_factory.mktemp("alone")
    export(made_run, root / "simplex_ddpm_brain.zip")
    run(["unzip", "-q", "simplex_ddpm_brain.zip"], root)
    (root / "simplex_ddpm_brain").rename(root / "bundle")
    for words in (
        f"phantom {root}/ph --healthy 4 --tumour 1 --spacing 4 --modality flair --quiet",
        f"detect {root}/ph --model {root}/simplex_ddpm_brain.zip -o {root}/maps --quiet",
    ):
        assert main([*shlex.split(words), "--device", "cpu"]) == 0
    return root


@pytest.fixture(scope="module")
def python(world: Path) -> Path:
    return environment(world / "venv", *pinned(world / "bundle"))


def test_the_environment_has_no_anomap(python: Path, world: Path) -> None:
    told = run([python, "-c", "import importlib.util as u; print(u.find_spec('pipeline'))"], world)
    assert told.strip() == "None"


def test_every_command_of_the_card_works_and_maps_equal_those_of_detect(
    python: Path, world: Path
) -> None:
    card = (world / "bundle/docs/README.md").read_text()
    commands = re.findall(r"^(?:python -m monai\.bundle run|torchrun) .*", card, re.MULTILINE)
    assert len(commands) == 5
    for i, command in enumerate(commands):
        for name in ("SCANS", "LABELLED"):
            command = command.replace(name, str(world / "ph"))
        command = command.replace("HEALTHY", str(world / "ph/healthy"))
        words = shlex.split(command.replace("--run_dir run", f"--run_dir {world}/run{i // 4}"))
        words[0] = str(python.with_name(words[0]))
        if "configs/train.yaml" in command:
            words += ["--settings", MICRO, "--train#trainer#max_epochs", "1"]
        run(words, world / "bundle")
        if i == 0:
            assert_same_maps(world / "bundle/maps", world / "maps")
    assert (world / "bundle/maps/table.md").is_file()


def test_the_checks_of_monai_that_the_card_names_pass(python: Path, world: Path) -> None:
    card = (world / "bundle/docs/README.md").read_text()
    commands = re.findall(r"^python -m monai\.bundle verify_.*", card, re.MULTILINE)
    (packages,) = re.findall(r"MONAI's checks, .* `pip install (.*)`", card)
    environment(python.parents[1], *packages.split())
    schema = world / "bundle/eval/schema.json"
    schema.parent.mkdir(exist_ok=True)
    schema.write_text(json.dumps(SCHEMA))
    assert len(commands) == 2
    for command in commands:
        run([python, *shlex.split(command)[1:]], world / "bundle")


def assert_same_maps(ours: Path, theirs: Path) -> None:
    paths = sorted(theirs.glob("*/*.nii.gz"))
    assert len(paths) == 20
    for path in paths:
        a, b = (nib.load(p) for p in (ours / path.relative_to(theirs), path))
        np.testing.assert_array_equal(np.asarray(a.dataobj), np.asarray(b.dataobj))
        np.testing.assert_array_equal(a.affine, b.affine)


def test_an_installed_anomap_brings_what_export_starts_from(
    python: Path, made_run: Path, world: Path
) -> None:
    made = build_wheel(Path(__file__).parents[2], world / "wheel")
    run(["unzip", "-q", made, "-d", "installed"], world)
    command = [python, "-m", "pipeline", "export", made_run, "-o", "again.zip"]
    run(command, world, PYTHONPATH=str(world / "installed"))
    again = zipfile.ZipFile(world / "again.zip").namelist()
    assert "again/configs/inference.yaml" in again
    assert "again/models/model.pt" in again


@pytest.mark.parametrize("version", ["1.5.1", "1.3.2"])
def test_an_older_monai_is_one_line(version: str, python: Path, world: Path) -> None:
    old = world / f"monai-{version}"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", old, f"monai=={version}"]
    if subprocess.run([python, *install], capture_output=True).returncode:
        pytest.skip(f"MONAI {version} cannot be had")
    command = [python, "-m", "monai.bundle", "run", "--config_file", "configs/inference.yaml"]
    done = subprocess.run(
        command,
        cwd=world / "bundle",
        env=os.environ | {"PYTHONPATH": str(old)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"anomap: MONAI {version} is installed; this bundle needs" in done.stderr


LABEL_SCRIPT = """
import json, sys, torch
try:
    import torchvision
except RuntimeError:  # its wheel's compiled operators need another build of PyTorch; none is used
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from monailabel.tasks.infer.bundle import BundleInferTask
task = BundleInferTask(sys.argv[1], {})
assert task.is_valid()
path, _ = task({"image": sys.argv[2], "device": "cpu"})
print(json.dumps({"path": path, "labels": task.info()["labels"], "type": str(task.type)}))
"""


def test_monai_label_serves_the_bundle(world: Path) -> None:
    environment(world / "label", "monailabel==0.8.5", complete=False)
    python = environment(world / "label", *pinned(world / "bundle"), *MONAI_LABEL)
    scan = next((world / "ph/tumour").rglob("*_flair.nii.gz"))
    told = run([python, "-c", LABEL_SCRIPT, world / "bundle", scan], world).splitlines()[-1]
    answer = json.loads(told)
    assert answer["labels"] == {"anomaly": 1}
    served = nib.load(answer["path"])
    mask = nib.load(world / "maps" / scan.parent.name / "mask.nii.gz")
    assert served.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(served.dataobj), np.asarray(mask.dataobj))
    np.testing.assert_allclose(served.affine, mask.affine, atol=1e-4)


ZOO_SCRIPT = """
import sys
sys.path.insert(0, "ci")
import bundle_custom_data
bundle_custom_data.exclude_verify_torchscript_list.append("simplex_ddpm_brain")
import verify_bundle
verify_bundle.verify("simplex_ddpm_brain", "models", "full")
"""
"""Every diffusion bundle of the zoo stands in that list: the network is not scriptable."""


def test_the_check_of_the_model_zoo_passes(world: Path) -> None:
    zoo = os.environ.get("ANOMAP_ZOO")
    if not zoo:
        pytest.skip("ANOMAP_ZOO names no checkout of Project-MONAI/model-zoo")
    home = world / "zoo"
    (home / "models").mkdir(parents=True)
    (home / "ci").symlink_to(Path(zoo) / "ci")
    (home / "models/model_info.json").write_text("{}")
    run(["cp", "-r", world / "bundle", home / "models/simplex_ddpm_brain"], world)
    schema = home / "models/simplex_ddpm_brain/eval/schema.json"
    schema.parent.mkdir(exist_ok=True)
    schema.write_text(json.dumps(SCHEMA))
    check = ["ci/verify_bundle.py", "-b", "simplex_ddpm_brain", "-m", "min"]
    told = run([sys.executable, *check], home, PYTHONPATH="ci")
    assert "metadata format is verified correctly." in told
    told = run([sys.executable, "-c", ZOO_SCRIPT], home)
    assert "data shape is verified correctly." in told
