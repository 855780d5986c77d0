"""The kinds of input: how one is made, and through which public function it is read."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from foreign.attempts import Attempt, Fault
from foreign.drawn_bytes import Stored, chance, damaged, gzipped
from foreign.folders import bundle_zip, datalist_bytes, file_name, make_tree, msd_bytes
from foreign.formats import dicom_study, other_volume
from foreign.pictures import picture_file, plain_png
from foreign.texts import any_name, json_bytes, odd_value, settings_lines, yaml_bytes
from foreign.volumes import brain_file, noise_file, plain_volume, volume_file
from records import EXAMPLES, FORMER

from pipeline.cases.brain.find import load_brain
from pipeline.cases.case import Case, ImageFile
from pipeline.cases.find import find_cases
from pipeline.cases.grid import Grid
from pipeline.cases.loop import QUIET
from pipeline.cases.several import Selection
from pipeline.cases.transforms import CaseTransforms
from pipeline.cli.main import main
from pipeline.errors import InputError
from pipeline.files.case_name import CaseName, case_folder
from pipeline.files.images.reading import read_labels, read_volume, read_volume_or_zeros
from pipeline.files.images.volume import Volume
from pipeline.maps.placement import FRAME
from pipeline.run.atlases import load_atlases
from pipeline.run.config import RunConfig
from pipeline.run.locate import bundle_dir, run_folder
from pipeline.run.presets import PRESETS
from pipeline.run.settings import dump_config, load_config, override, to_dict
from pipeline.study.intake import convert, describe


class Kind(NamedTuple):
    """One kind of input.

    Attributes:
        name: for people.
        share: how many of a thousand inputs are of it.
        make: draws one into an empty folder, and says what to do with it.
    """

    name: str
    share: int
    make: Callable[[Random, Path], Attempt]


def _laid(stored: Stored, folder: Path) -> Path:
    path = folder / stored.name
    path.write_bytes(stored.content)
    return path


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise Fault(what)


# --- images --------------------------------------------------------------------------------------


def _check_volume(volume: Volume) -> None:
    _expect(volume.data.ndim == 3 and volume.data.size, f"shape {volume.data.shape}")
    _expect(np.isfinite(volume.data).all(), "voxels that are no numbers")
    _expect(np.isfinite(volume.affine).all(), "an affine that is no number")
    _expect(abs(np.linalg.det(volume.affine[:3, :3])) > 0, "an affine that is singular")


def _read_as_any(path: Path, channel: int | None, how: int) -> Volume:
    reader = (read_volume, read_volume, read_volume_or_zeros, read_labels)[how]
    volume = reader(path, channel)
    _check_volume(volume)
    return volume


def _read(rng: Random, stored: Stored, folder: Path) -> Attempt:
    path = _laid(stored, folder)
    channel = rng.choice((None, None, None, None, 0, 1, -1, 2**40))
    use = functools.partial(_read_as_any, path, channel, rng.randrange(4))
    return Attempt(use, (str(path),), stored.unpacked, folder)


def _volume(rng: Random, folder: Path) -> Attempt:
    return _read(rng, volume_file(rng), folder)


def _noise(rng: Random, folder: Path) -> Attempt:
    return _read(rng, noise_file(rng), folder)


def _picture(rng: Random, folder: Path) -> Attempt:
    return _read(rng, picture_file(rng), folder)


def _other_format(rng: Random, folder: Path) -> Attempt:
    """A volume of another format than NIfTI, of one file or two."""
    path, unpacked = other_volume(rng, folder)
    use = functools.partial(_read_as_any, path, None, rng.randrange(4))
    return Attempt(use, (str(path), str(path.with_suffix(""))), unpacked, folder)


def _study(rng: Random, folder: Path) -> Attempt:
    """A DICOM study: described, or converted and read."""
    n_bytes = dicom_study(rng, folder)
    converts = chance(rng, 0.5)

    def use() -> None:
        if not converts:
            text = describe(folder, Selection())
            _expect(text.isprintable() or "\n" in text, "a description that terminals act upon")
            return
        with tempfile.TemporaryDirectory() as out:
            taken = convert(folder, Path(out), execution=QUIET)
            for reason in taken.failed.values():
                _expect(reason.splitlines() == [reason], f"a reason is one line: {reason[:200]!r}")
            for image in Path(out).glob("*/*.nii.gz"):
                _check_volume(read_volume(image))

    return Attempt(use, (str(folder),), n_bytes, folder)


def _torn(rng: Random, folder: Path) -> Attempt:
    """A file with checksums, damaged: refused, or what is read is what was there."""
    is_png = chance(rng, 0.4)
    plain = plain_png(rng) if is_png else plain_volume(rng)
    whole = plain if is_png else gzipped(rng, plain)
    suffix = ".png" if is_png else ".nii.gz"
    before = _laid(Stored("whole" + suffix, whole, len(plain)), folder)
    after = _laid(Stored("torn" + suffix, damaged(rng, whole), len(plain)), folder)

    def use() -> None:
        torn = read_volume_or_zeros(after)
        try:
            right = read_volume_or_zeros(before)
        except InputError as error:
            raise Fault(f"read, but the whole file is not ({error})") from error
        same = right.data.shape == torn.data.shape and np.array_equal(right.data, torn.data)
        _expect(same, "a damaged file is read, and its voxels are others")
        _expect(np.array_equal(right.affine, torn.affine), "a damaged file has another affine")

    return Attempt(use, (str(after),), len(plain), folder)


_GRID = Grid(size=8, spacing_mm=30.0, slice_spacing_mm=30.0)


def _brain(rng: Random, folder: Path) -> Attempt:
    """A case of one or two images with or without masks."""
    grid = rng.getrandbits(32)
    images = {m: _laid(_brain_or_not(rng, f"c_{m}", grid), folder) for m in _modalities(rng)}
    masks = {
        role: ImageFile(_laid(_brain_or_not(rng, f"c_{role}", grid), folder))
        for role in ("brain_mask", "exclude")
        if chance(rng, 0.4)
    }
    case = Case("c", "c", {m: ImageFile(path) for m, path in images.items()}, **masks)
    unpacked = sum(_unpacked_size(path) for path in folder.iterdir())
    prepares = chance(rng, 0.5)

    def use() -> None:
        if not prepares:
            loaded, brain, affine = load_brain(case, tuple(images))
            _expect(brain.any() and brain.dtype == bool, "a brain of no voxel")
            _expect(all(image.shape == brain.shape for image in loaded.values()), "shapes differ")
            _expect(np.isfinite(affine).all(), "an affine that is no number")
            return
        prepared = CaseTransforms(tuple(images), _GRID)(case)
        _expect(torch.isfinite(prepared.slices).all(), "slices that are no numbers")
        _expect(prepared.slices.abs().max() <= 1, "slices beyond -1 and 1")
        back = prepared.to_source(prepared.brain.float())
        _expect(np.isfinite(back).all(), "a map that is no number")

    return Attempt(use, (str(folder), "case c"), unpacked, folder)


def _brain_or_not(rng: Random, stem: str, grid: int) -> Stored:
    return volume_file(rng, stem) if chance(rng, 0.2) else brain_file(rng, stem, grid)


def _unpacked_size(path: Path) -> int:
    try:
        return len(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError, RuntimeError, gzip.zlib.error):
        return path.stat().st_size


def _modalities(rng: Random) -> tuple[str, ...]:
    return rng.choice((("flair",), ("flair",), ("flair", "t1")))


# --- records and settings ------------------------------------------------------------------------


def _record(rng: Random, folder: Path) -> Attempt:
    kind = rng.choice(list(EXAMPLES))
    tree = FORMER[kind] if chance(rng, 0.3) else EXAMPLES[kind].to_json()
    content = json_bytes(rng, tree)
    path = _laid(Stored(kind.FILE, content, len(content)), folder)

    def use() -> None:
        record = kind.read(path)
        again = kind.parse(record.text(), path)
        _expect(again == record, "what is read is written as something else")

    return Attempt(use, (str(path),), len(content), folder)


_LINES = settings_lines(to_dict(PRESETS["tiny"]))


def _settings(rng: Random, folder: Path) -> Attempt:
    content = yaml_bytes(rng, _LINES)
    path = _laid(Stored("config.yaml", content, len(content)), folder)

    def use() -> None:
        config = load_config(path)
        (folder / "again.yaml").write_text(dump_config(config), encoding="utf-8")
        _expect(load_config(folder / "again.yaml") == config, "settings do not come back")
        (folder / "again.yaml").unlink()

    return Attempt(use, (str(path),), len(content), folder)


_DOTTED = tuple(
    f"{key}.{inner}" if inner else key
    for key, value in to_dict(PRESETS["tiny"]).items()
    for inner in (value if isinstance(value, dict) and value else [""])
)


def _override(rng: Random, folder: Path) -> Attempt:
    keys = [rng.choice(_DOTTED) for _ in range(rng.choice((1, 1, 2)))]
    if chance(rng, 0.2):
        keys.append(rng.choice(("x", "grid", "grid.x", "grid.size.x", "", ".", any_name(rng))))
    values = {key: odd_value(rng) for key in keys}

    def use() -> None:
        config = override(PRESETS["tiny"], values)
        _expect(isinstance(config, RunConfig), "no settings")

    parts = {part for key in keys for part in (key, key.rpartition(".")[2])}
    return Attempt(use, (*parts, "config"), 0, folder)


# --- runs ----------------------------------------------------------------------------------------


@functools.cache
def _run_files() -> dict[str, bytes]:
    """The small files of a bundle, and something for its weights."""
    models = bundle_dir("simplex_ddpm_brain_phantom") / "models"
    small = ("config.yaml", "calibration.json", "run.json", "loss.csv")
    return {name: (models / name).read_bytes() for name in small} | {"model.pt": bytes(100)}


def _zip(rng: Random, folder: Path) -> Attempt:
    stored = bundle_zip(rng, _run_files())
    path = _laid(stored, folder)

    def use() -> None:
        run = run_folder(path)
        _expect(not run.resolve().is_relative_to(folder), "unpacked beside the zip")
        for inner in run.rglob("*"):
            _expect(inner.is_file() and not inner.is_symlink(), f"{inner} is no file")
        _expect((run / "config.yaml").is_file(), "a run without settings")

    return Attempt(use, (str(path),), stored.unpacked, folder)


@functools.cache
def _atlas_bytes() -> bytes:
    out = io.BytesIO()
    arrays = {f"flair.{part}": np.ones((1, *FRAME), np.float16) for part in ("mean", "spread")}
    np.savez_compressed(out, made_for="x", **arrays, **{"flair.n_cases": 3, "flair.extent": 1.0})
    return out.getvalue()


def _atlases(rng: Random, folder: Path) -> Attempt:
    content = damaged(rng, _atlas_bytes()) if chance(rng, 0.9) else _atlas_bytes()
    path = _laid(Stored("atlases.npz", content, len(content)), folder)
    use = functools.partial(load_atlases, path, rng.choice(("x", "y")))
    return Attempt(use, (str(path),), 4 * np.prod(FRAME), folder)


# --- folders and names ---------------------------------------------------------------------------


def _find(path: Path, asked: tuple[str, ...] | None, out: Path) -> None:
    cohort = find_cases(path, modalities=asked)
    names = [case.name for case in cohort.cases]
    _expect(len(set(names)) == len(names), "two cases of one name")
    for case in cohort.cases:
        _expect(case.images, "a case without images")
        with contextlib.suppress(InputError):  # the name is refused later, in one line
            _expect(case_folder(out, case.name).parent == out, "a case outside its folder")
    for why in (*cohort.left_out.values(), *cohort.incomplete.values(), *cohort.notes):
        _expect(why and why.splitlines() == [why], f"a reason is one line: {why[:100]!r}")


def _tree(rng: Random, folder: Path) -> Attempt:
    root = folder / "data"
    root.mkdir()
    make_tree(rng, root)
    asked = rng.choice((None, None, ("flair",), ("t1", "flair")))
    there = [path for path in root.rglob("*") if path.is_file()]
    target = rng.choice(there) if there and chance(rng, 0.2) else root
    use = functools.partial(_find, target, asked, folder / "out")
    return Attempt(use, (str(folder),), 0, folder)


def _list(rng: Random, folder: Path) -> Attempt:
    names = [file_name(rng) for _ in range(rng.choice((1, 2, 3)))]
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            (folder / name).write_bytes(b"")
    is_msd = chance(rng, 0.3)
    content = msd_bytes(rng, names) if is_msd else datalist_bytes(rng, names)
    path = folder / ("dataset.json" if is_msd else "list.json")
    path.write_bytes(content)
    asked = rng.choice((None, None, ("flair",), ("t1",)))
    target = folder if is_msd and chance(rng, 0.5) else path
    use = functools.partial(_find, target, asked, folder / "out")
    return Attempt(use, (str(folder),), len(content), folder)


def _name(rng: Random, folder: Path) -> Attempt:
    name = any_name(rng)
    out = folder / "out"
    out.mkdir()

    def use() -> None:
        checked = CaseName(name)
        made = case_folder(out, name)
        _expect(made.parent == out and made.name == checked == name, "another folder")
        made.mkdir()
        _expect([path.name for path in out.iterdir()] == [name], "a folder of another name")
        _expect(made.resolve().parent == out.resolve(), "a folder elsewhere")
        made.rmdir()

    return Attempt(use, ("the name",), 0, folder)


def _cases_command(rng: Random, folder: Path) -> Attempt:
    """``anomap cases`` on a folder; what it prints goes to streams of UTF-8, as of a terminal."""
    inner = _tree(rng, folder) if chance(rng, 0.7) else _list(rng, folder)
    target = folder / "data" if (folder / "data").is_dir() else folder / "list.json"

    def use() -> None:
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", e) for e in ("strict", _REPLACED)]
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            status = main(["cases", str(target), "--quiet"])
        for stream in streams:
            stream.flush()
        said = streams[1].buffer.getvalue().decode()  # type: ignore[attr-defined]
        _expect(status in (0, 1, 2), f"status {status}")
        _expect("an error of our own" not in said, said[:300])
        if status == 2:
            _expect(said.count("\n") == 1, f"one line: {said[:300]!r}")
            raise InputError(said.rstrip("\n"))

    return dataclasses.replace(inner, use=use, named=(str(target), str(folder)))


_REPLACED = "backslashreplace"

KINDS: tuple[Kind, ...] = (
    Kind("volume", 280, _volume),
    Kind("noise under a volume's name", 20, _noise),
    Kind("volume of another format", 60, _other_format),
    Kind("DICOM study", 10, _study),
    Kind("damaged file with checksums", 120, _torn),
    Kind("picture", 110, _picture),
    Kind("case of odd volumes", 80, _brain),
    Kind("record", 140, _record),
    Kind("configuration", 40, _settings),
    Kind("changed settings", 30, _override),
    Kind("zipped bundle", 30, _zip),
    Kind("atlases", 10, _atlases),
    Kind("folder", 60, _tree),
    Kind("datalist", 50, _list),
    Kind("name of a case", 20, _name),
    Kind("`anomap cases`", 10, _cases_command),
)
