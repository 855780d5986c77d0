"""The Detect page: one scan in, its anomaly map in the viewer; nothing stays on disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st

from pipeline.cases.loop import QUIET
from pipeline.detection.methods.table import NETWORK_METHODS, OURS
from pipeline.errors import InputError, reason_of
from pipeline.files.case_name import case_folder
from pipeline.files.identity import content_hash
from pipeline.files.images.formats import NIFTI_SUFFIXES, ONE_FILE_SUFFIXES
from pipeline.files.images.reading import read_header
from pipeline.files.limits import MAX_UPLOAD_VOXELS
from pipeline.files.names import RESULT
from pipeline.files.record.calibration import LEAST_FOR_P
from pipeline.files.record.result import CaseResult
from pipeline.files.scratch import remove_scratch, scratch_folder
from pipeline.files.texts import without_folders
from pipeline.report.page import render_viewer
from pipeline.run.locate import CARRIED, run_folder
from pipeline.run.model import Model, load_model
from pipeline.run.words import NAMED
from pipeline.study.detect import DetectOptions, detect_with

CASE = "upload"
ANY_SCAN = "Scans that look unfit, too"
Say = Callable[[str], object]


@dataclass(frozen=True)
class Detected:
    """What the page shows of a scan, all of it in memory.

    Attributes:
        result: the content of ``result.json``.
        viewer: a page of its own.
        files: name to content of what can be downloaded.
    """

    result: CaseResult
    viewer: str
    files: Mapping[str, bytes]


def choose_model(asked: str) -> Path:
    """The run folder to detect with: of a run, a bundle, or a modality that weights come for.

    Raises:
        InputError: none is named.
    """
    name = asked.strip()
    if not name:
        raise InputError(
            f"name weights that come with anomap ({' or '.join(NAMED)}), or the "
            "folder of a run: what `anomap train ... -o RUN` left"
        )
    return run_folder(Path(name).expanduser())


def detect_upload(
    uploads: Mapping[str, tuple[str, bytes]],
    model: Model,
    *,
    brain_extraction: str | None = "auto",
    any_scan: bool = False,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Detected:
    """Detect in a temporary folder that is gone when this returns.

    Args:
        uploads: modality -> name of the file and its content.
        any_scan: detect too where a scan does not look like what shipped weights were made for.
        say: told what is being done.

    Raises:
        InputError: a file cannot be used, or is refused; the message names it as the user did.
    """
    options = DetectOptions(
        any_scan=any_scan,
        any_scan_hint=f"Tick “{ANY_SCAN}” to detect all the same.",
        brain_extraction=brain_extraction,
        seed=seed,
    )
    folder = scratch_folder()
    try:
        return _detect_in(folder, uploads, model, options, say)
    finally:
        remove_scratch(folder)


def _detect_in(
    folder: Path,
    uploads: Mapping[str, tuple[str, bytes]],
    model: Model,
    options: DetectOptions,
    say: Say,
) -> Detected:
    names = {modality: name for modality, (name, _) in uploads.items()}
    try:
        say("Reading the scan")
        for modality, (name, content) in uploads.items():
            _write_upload(folder, modality, name, content)
        detected = _detect(folder, ", ".join(names.values()), model, options, say)
    except InputError as error:
        raise InputError(_as_uploaded(str(error), folder, names)) from error
    record = _as_uploaded(detected.files[RESULT].decode(), folder, names)
    return replace(detected, files={**detected.files, RESULT: record.encode()})


def _write_upload(folder: Path, modality: str, name: str, content: bytes) -> None:
    suffix = next((one for one in ONE_FILE_SUFFIXES if name.lower().endswith(one)), None)
    if suffix is None:
        raise InputError(f"{name}: expected an image in one file: {', '.join(ONE_FILE_SUFFIXES)}")
    if suffix in NIFTI_SUFFIXES:
        # It may be compressed or not, whatever its name says.
        suffix = ".nii.gz" if content[:2] == b"\x1f\x8b" else ".nii"
    path = folder / "in" / f"{CASE}_{modality}{suffix}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    shape = read_header(path).shape
    if np.prod(shape, dtype=float) > MAX_UPLOAD_VOXELS:
        raise InputError(
            f"{name}: {shape} voxels are more than the {MAX_UPLOAD_VOXELS:,} that fit here"
        )


def _as_uploaded(text: str, folder: Path, names: Mapping[str, str]) -> str:
    """A message or record with the user's file names for ours."""
    for modality, name in names.items():
        for suffix in ONE_FILE_SUFFIXES:
            text = text.replace(str(folder / "in" / f"{CASE}_{modality}{suffix}"), name)
    return text.replace(f"{folder}/", "")


def _detect(folder: Path, title: str, model: Model, options: DetectOptions, say: Say) -> Detected:
    say("Restoring what a healthy brain would look like; this takes some seconds to a minute")
    out = folder / "out"
    found = detect_with(model, folder / "in", out, options=options, execution=QUIET)
    if found.failed:
        raise InputError(next(iter(found.failed.values())))
    say("Preparing the viewer")
    done = case_folder(out, found.done[0])
    result = CaseResult.read(done / RESULT)
    files = {name: (done / name).read_bytes() for name in [*result.file_names, RESULT]}
    return Detected(result, render_viewer(done, result, title), files)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """All files in one archive; they are compressed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# --- the page ------------------------------------------------------------------------------------


@st.cache_resource(show_spinner="Loading the model …", max_entries=2)
def _load(path: Path, content: tuple[str, ...]) -> Model:
    """The model of a folder, made anew where ``content`` changed: the hashes of its files."""
    return load_model(path)


def _model(default: Path | None) -> Model | None:
    own = [] if default is None else [str(default)]
    asked = st.sidebar.selectbox(
        "Weights",
        [*own, *NAMED],
        accept_new_options=True,
        help="that come with anomap, by modality (phantom: of synthetic FLAIR alone); or write the "
        "folder of a run, or of a bundle",
    )
    try:
        path = choose_model(asked)
        files = (path / name for name in CARRIED)
        model = _load(path, tuple(content_hash(file) for file in files if file.is_file()))
    except Exception as error:
        st.info(without_folders(reason_of(error)))
        return None
    if model.noise != NETWORK_METHODS[OURS].noise:
        st.error(
            f"{Path(asked).name}: trained with {model.noise} noise; detection needs a simplex run."
        )
        return None
    return model


def _size(volume_ml: float | None, n_pixels: int | None, decimals: int) -> str:
    """A volume, or pixels of a picture."""
    if n_pixels is not None:
        return f"{n_pixels:,} pixels"
    return "-" if volume_ml is None else f"{volume_ml:.{decimals}f} mL"


def _show(detected: Detected) -> None:
    result = detected.result
    called, score, brain_ml = result.anomalous_ml, result.score, result.brain_ml
    columns = st.columns(4)
    columns[0].metric(
        "Score", "-" if score is None else f"{score:.3g}", help="mean of the highest 1 % of the map"
    )
    columns[1].metric("Marked as anomalous", _size(called, result.anomalous_pixels, 1))
    columns[2].metric("Brain", _size(brain_ml, result.brain_pixels, 0))
    p_value, n_healthy = result.p_value, result.healthy_cases
    columns[3].metric(
        "p, if healthy",
        "-" if p_value is None else f"{p_value:.2g}",
        help=f"share of {n_healthy} healthy cases, and this one, that score as high; none is given "
        f"from fewer than {LEAST_FOR_P}, nor for a scan that does not look like theirs",
    )
    for note in result.notes:
        st.warning(note)
    st.iframe(detected.viewer, height="content", alt="Viewer of the scan and its anomaly map")
    st.download_button(
        "Download all volumes and result.json",
        zipped(detected.files),
        "anomap.zip",
        on_click="ignore",
    )
    for name, content in detected.files.items():
        st.download_button(name, content, name, on_click="ignore", key=name)


def _uploads(modalities: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    """Name and content of the files that were given, by modality."""
    uploads = {}
    for modality in modalities:
        file = st.file_uploader(
            f"{modality.upper()} image (NIfTI, MGH, NRRD or MetaImage)",
            key=modality,
            type=sorted({one.rsplit(".", 1)[1] for one in ONE_FILE_SUFFIXES}),
        )
        if file is not None:
            uploads[modality] = (file.name, file.getvalue())
    return uploads


def page(model_path: Path | None, seed: int) -> None:
    """The page."""
    st.title("Detect")
    st.write(
        "A scan, skull-stripped or a whole head. It is read on this machine, and nothing of it is "
        "kept. "
        "Research only; not a medical device."
    )
    model = _model(model_path)
    if model is None:
        return
    uploads = _uploads(model.config.modalities)
    any_scan = st.sidebar.checkbox(
        ANY_SCAN,
        help="weights that come with anomap refuse what they were not made for: another modality, "
        "upside down, not a whole brain",
    )
    ready = len(uploads) == len(model.config.modalities)
    if st.button("Detect", type="primary", disabled=not ready):
        st.session_state.pop("detected", None)
        try:
            with st.status("Working", expanded=True) as status:
                st.session_state["detected"] = detect_upload(
                    uploads,
                    model,
                    any_scan=any_scan,
                    seed=seed,
                    say=status.write,
                )
                status.update(label="Done", state="complete", expanded=False)
        except Exception as error:
            st.error(without_folders(reason_of(error)))
    if ready and "detected" in st.session_state:
        _show(st.session_state["detected"])
