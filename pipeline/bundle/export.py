"""Run folder <-> MONAI bundle: a bundle's ``models`` is a run folder, less the people in it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pipeline.detection.detector import make_network_detector
from pipeline.detection.methods.table import OURS
from pipeline.errors import InputError, printable
from pipeline.files.folder.disk import check_rights, check_room
from pipeline.files.folder.parts import clear_parts_of, held
from pipeline.files.names import (
    BUNDLE_CARD,
    BUNDLE_METADATA,
    CALIBRATION,
    COMMIT,
    CONFIG,
    RUN_RECORD,
)
from pipeline.files.provenance import PACKAGE, software
from pipeline.files.record.calibration import Calibration
from pipeline.files.record.datalist import Datalist
from pipeline.files.record.run import RunRecord
from pipeline.files.record.stored import StoredFile
from pipeline.files.record.summary import Summary
from pipeline.files.texts import markdown_cell
from pipeline.files.writing import write_atomically, write_files, write_folder
from pipeline.run.config import RunConfig
from pipeline.run.finished import FINISHED, calibration_of
from pipeline.run.locate import CARRIED, MODELS, bundle_dir, run_folder
from pipeline.run.model import Model, load_model
from pipeline.run.words import NAMED, SHIPPED
from pipeline.scores.tables import format_table
from pipeline.study.people import seen_images

MODEL, TERMS = f"{MODELS}/{CONFIG}", "docs/data_license.txt"
REQUIRED = (
    *("einops", "fire", "nibabel", "opensimplex", "pillow", "pydantic", "pytorch-ignite"),
    *("pyyaml", "scikit-learn", "scipy", "tensorboard", "tqdm"),
)
"""What a bundle needs beside MONAI, PyTorch and NumPy."""

UNTOLD = (
    "The data that these weights were trained on, and its terms, are not described here. Whoever "
    "passes the bundle on says so in this place first.\n"
)


def template_dir() -> Path:
    """The bundle whose configs and texts every export starts from."""
    return bundle_dir(SHIPPED["flair"])


# --- run -> bundle --------------------------------------------------------------------------------


def export(
    run: Path | str,
    out: Path | str,
    *,
    benchmarks: Mapping[str, Path] | None = None,
    with_source: bool = True,
) -> None:
    """Write a run as a MONAI bundle that needs no anomap.

    What all bundles have in common (license, configs) comes from `template_dir`, so a bundle of
    ours that repeats none of it becomes a whole one.

    Texts (model card, terms of the data, metadata) are those of ``run`` where it is a bundle, else
    of ``out`` where that is one, else a frame that its owner completes.

    Args:
        run: a calibrated run, or a bundle's folder.
        out: a folder, or a ``.zip``.
        benchmarks: name of a cohort to the folder of its `anomap benchmark`, for card and metadata.
        with_source: carry the source of `pipeline`; without it the bundle needs anomap installed.

    Raises:
        InputError: ``run`` cannot detect, ``out`` holds something else, or a benchmark is not one.
    """
    run, out = Path(run), Path(out)
    if run.is_file():
        raise InputError(
            f"{run}: a file; give a run's folder (a zipped bundle is exported already: unzip it)"
        )
    if not _can_be_written(out):
        raise InputError(f"{out}: is something else than a bundle of anomap; give another -o")
    check_rights(out.parent if _is_zip(out) else out)
    run_dir = run_folder(run)
    model = load_model(run_dir, torch.device("cpu"))
    calibration = calibration_of(run_dir)
    make_network_detector(OURS, model, calibration)
    files = _texts(run, out) | _model_files(run_dir, calibration)
    summaries = {name: _summary(folder) for name, folder in (benchmarks or {}).items()}
    files[BUNDLE_METADATA] = _metadata(files[BUNDLE_METADATA], model.config, summaries)
    files[BUNDLE_CARD] = _card(files[BUNDLE_CARD], run_dir, model, summaries)
    if with_source:
        files |= _source()
    elif out.resolve() in _further_bundles():
        files = _own(files)
    check_room(out.parent, sum(map(len, files.values())) // 4)
    _write(out, files)


def _can_be_written(out: Path) -> bool:
    """Whether a bundle may go there: where nothing is, or another bundle of ours."""
    if not os.path.lexists(out) or _is_new_folder(out):
        return True
    if not _is_zip(out):
        return is_bundle(out) and (out / MODEL).is_file()
    try:
        with zipfile.ZipFile(out) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return all(any(name.endswith(f"/{end}") for name in names) for end in (BUNDLE_METADATA, MODEL))


def _is_new_folder(out: Path) -> bool:
    return out.is_dir() and not any(out.iterdir())


def _is_zip(out: Path) -> bool:
    return out.suffix == ".zip"


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """A zip or a new folder appears when it is whole; of a bundle that is there, file by file."""
    clear_parts_of(out)
    if _is_zip(out):
        write = functools.partial(_write_zip, name=printable(out.stem), files=files)
        write_atomically(out, write, may_replace=True)
        return
    if not is_bundle(out):
        write_folder(out, files)
        return
    with held(out):
        write_files(out, files)


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like a MONAI bundle."""
    return (folder / BUNDLE_METADATA).is_file()


def _texts(run: Path, out: Path) -> dict[str, bytes]:
    """License, configs and docs, by their path in the bundle; configs are those of this anomap."""
    files = _files_of(template_dir())
    told = [folder for folder in (run, out) if folder.is_dir() and is_bundle(folder)]
    if not told:
        return _untold(files)
    words = _files_of(told[0])
    return files | {
        name: words[name] for name in (BUNDLE_METADATA, BUNDLE_CARD, TERMS) if name in words
    }


def _further_bundles() -> list[Path]:
    """Bundles of ours that lie beside the template and repeat nothing of it."""
    folders = [bundle_dir(name).resolve() for name in NAMED.values()]
    return [folder for folder in folders if folder != template_dir().resolve()]


def _own(files: dict[str, bytes]) -> dict[str, bytes]:
    """What differs from the files of the template."""
    common = _files_of(template_dir())
    return {name: content for name, content in files.items() if common.get(name) != content}


def _files_of(folder: Path) -> dict[str, bytes]:
    paths = [folder / "LICENSE", *(folder / "configs").glob("*"), *(folder / "docs").glob("*")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(paths) if p.is_file()}


def _untold(files: dict[str, bytes]) -> dict[str, bytes]:
    """The frame for another's weights: nothing of what is said about ours holds for them."""
    metadata = json.loads(files[BUNDLE_METADATA])
    release = metadata["version"]
    metadata |= {
        "changelog": {release: "exported from a run of anomap"},
        "authors": "whoever exported this run",
        "copyright": "of the weights: theirs; of the code: Copyright (c) The anomap authors",
        "data_source": "not described; see docs/data_license.txt",
        "eval_metrics": {},
    }
    card = files[BUNDLE_CARD].decode()
    for section, told in (
        ("run", "Not told.\n"),
        ("data", UNTOLD),
        ("performance", "Not measured.\n"),
    ):
        card = _filled(card, section, told)
    return files | {
        BUNDLE_METADATA: json.dumps(metadata).encode(),
        BUNDLE_CARD: card.encode(),
        TERMS: UNTOLD.encode(),
    }


def _model_files(run_dir: Path, calibration: Calibration) -> dict[str, bytes]:
    paths = [run_dir / name for name in CARRIED]
    files = {f"{MODELS}/{p.name}": p.read_bytes() for p in paths if p.is_file()}
    files[f"{MODELS}/{CALIBRATION}"] = _nameless(calibration).text().encode()
    if (record := RunRecord.of(run_dir)) is not None:
        # A command names folders, and people where some are left out.
        images = seen_images(run_dir) or record.images
        told = {"command": None, "files": _hashes(files), "images": images}
        nameless = record.model_copy(update=told)
        files[f"{MODELS}/{RUN_RECORD}"] = nameless.text().encode()
    return files


def _hashes(files: Mapping[str, bytes]) -> dict[str, StoredFile]:
    """What the files of a finished run are, without times: a copy has others."""
    finished = {name: files[f"{MODELS}/{name}"] for name in FINISHED if f"{MODELS}/{name}" in files}
    return {
        name: StoredFile(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        for name, content in finished.items()
    }


def _nameless(calibration: Calibration) -> Calibration:
    """The same thresholds without the names of people; the same people get the same numbers."""
    if all(name.startswith("held-out-") for name in calibration.cases):
        return calibration
    digest = hashlib.sha256("\n".join(calibration.cases).encode()).hexdigest()[:8]
    numbers = range(1, len(calibration.cases) + 1)
    names = tuple(f"held-out-{digest}-{i}" for i in numbers)
    return calibration.model_copy(update={"cases": names})


CARRIED_DATA = ("*.py", "*.pt", "*.npz", "*.nii.gz", "README*")
"""Of the package: modules, the weights and atlases that come with it, what is said of those."""


def _source() -> dict[str, bytes]:
    """The package, and the commit that it is of."""
    found = {path for pattern in CARRIED_DATA for path in PACKAGE.rglob(pattern)}
    inner = {path.relative_to(PACKAGE): path for path in found}
    # An installed package holds the bundles themselves.
    files = {
        f"{PACKAGE.name}/{name.as_posix()}": path.read_bytes()
        for name, path in sorted(inner.items())
        if name.parts[0] != "bundle_files"
    }
    return files | {f"{PACKAGE.name}/{COMMIT}": f"{software().commit or ''}\n".encode()}


def _write_zip(path: Path, name: str, files: Mapping[str, bytes]) -> None:
    """The same files give the same bytes: the members carry no date."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in sorted(files.items()):
            info = zipfile.ZipInfo(f"{name}/{member}")
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)


# --- what a bundle says about itself --------------------------------------------------------------


def _summary(folder: Path) -> Summary:
    summary = Summary.of(folder)
    if summary is None or OURS not in summary.methods:
        raise InputError(f"{folder}: no result of `anomap benchmark` with {OURS}")
    return summary


def _metadata(text: bytes, config: RunConfig, summaries: Mapping[str, Summary]) -> bytes:
    """metadata.json with everything that follows from the run and the installed software."""
    metadata = json.loads(text)
    metadata["monai_version"] = version("monai")
    metadata["pytorch_version"] = version("torch").split("+")[0]
    metadata["numpy_version"] = version("numpy")
    metadata["required_packages_version"] = {name: version(name) for name in REQUIRED}
    modalities = ", ".join(config.modalities)
    metadata["image_classes"] = f"{modalities}; brain voxels in [-1, 1], background exactly -1"
    metadata["network_data_format"] = _network_format(config)
    metadata["volume_data_format"] = _volume_format(config)
    if summaries:
        metadata["eval_metrics"] = {name: _metrics(s) for name, s in summaries.items()}
    return (json.dumps(metadata, indent=4, ensure_ascii=False) + "\n").encode()


def _metrics(summary: Summary) -> dict[str, Any]:
    ours = summary.methods[OURS].means
    names = ("auroc", "auprc", "dice_oracle", "dice_at_threshold")
    means = {name: ours[name].mean for name in names}
    return {"n_cases": summary.n_cases} | {
        name: None if value is None else round(value, 4) for name, value in means.items()
    }


def _tensor(
    config: RunConfig, kind: str, shape: Sequence[int | str], **more: Any
) -> dict[str, Any]:
    return {
        "type": kind,
        "format": "magnitude",
        "modality": "MR",
        "num_channels": len(config.modalities),
        "spatial_shape": list(shape),
        "dtype": "float32",
        "value_range": [-1, 1],
        "is_patch_data": False,
        "channel_def": dict(enumerate(config.modalities)),
    } | more


LABELS = {"0": "background", "1": "anomaly"}


def _network_format(config: RunConfig) -> dict[str, Any]:
    """A slice in, its noise out; the labels are those of the mask that the bundle ends in."""
    size = [config.grid.size] * 2
    last = config.diffusion.num_train_timesteps - 1
    timesteps = {"format": "timesteps", "modality": "n/a", "num_channels": 1, "dtype": "int64"}
    return {
        "inputs": {
            "image": _tensor(config, "image", size),
            "timesteps": _tensor(config, "tuples", [1], **timesteps)
            | {"value_range": [0, last], "channel_def": {"0": "timestep"}},
        },
        "outputs": {
            "pred": _tensor(config, "noise", size, value_range=[], channel_def=LABELS),
        },
    }


def _volume_format(config: RunConfig) -> dict[str, Any]:
    """A scan in, on any grid; mask and map out, on the same grid."""
    shape = ["*", "*", "*"]
    one = {"num_channels": 1}
    mask = {"format": "segmentation", "dtype": "uint8", "value_range": [0, 1]}
    anomaly = {"value_range": [], "channel_def": {"0": "anomaly map, higher is more anomalous"}}
    return {
        "inputs": {"image": _tensor(config, "image", shape, value_range=[])},
        "outputs": {
            "pred": _tensor(config, "image", shape, **one, **mask, channel_def=LABELS),
            "anomaly": _tensor(config, "image", shape, **one, **anomaly),
        },
    }


def _card(text: bytes, run_dir: Path, model: Model, summaries: Mapping[str, Summary]) -> bytes:
    card = text.decode()
    if (people := Datalist.of(run_dir)) is not None:
        card = _filled(card, "run", _run_facts(people, model))
    if summaries:
        tables = [f"{markdown_cell(name)}:\n\n{format_table(s)}" for name, s in summaries.items()]
        card = _filled(card, "performance", "\n".join(tables))
    return card.encode()


def _filled(card: str, section: str, content: str) -> str:
    """The card with what stands between the marks of a section replaced."""
    first, last = f"<!-- {section} -->", f"<!-- /{section} -->"
    before, found, rest = card.partition(first)
    _, end, after = rest.partition(last)
    if not found or not end:
        raise InputError(f"{BUNDLE_CARD}: lacks the marks {first} and {last}; put them back")
    return f"{before}{first}\n{content}{last}{after}"


def _run_facts(people: Datalist, model: Model) -> str:
    """A markdown list of what the weights are."""
    config = model.config
    counts = {name: len(people[name]) for name in ("training", "validation", "test")}
    grid = config.grid
    facts = {
        "modalities": ", ".join(config.modalities),
        "healthy brains": f"{counts['training']} trained on, {counts['validation']} for validation "
        f"and thresholds, {counts['test']} not touched",
        "network": f"{config.network}, "
        f"{sum(p.numel() for p in model.network.parameters()) / 1e6:.1f} M parameters",
        "working grid": f"{grid.size} x {grid.size} pixels of {grid.spacing_mm:g} mm, slices every "
        f"{grid.slice_spacing_mm:g} mm",
        "training": f"{config.training.epochs} epochs, batches of {config.training.batch_size}, "
        f"peak learning rate {config.training.learning_rate:g}, seed {config.seed}",
        "weights (SHA-256)": f"`{model.weights_sha256}`",
    }
    lines = "".join(f"- {name}: {value}\n" for name, value in facts.items())
    return (
        f"{lines}\nAll settings stand in `models/config.yaml`, the losses in `models/loss.csv`.\n"
    )
