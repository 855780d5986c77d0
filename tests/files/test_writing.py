"""Files are written whole or not at all, by the umask, and what the disk says is told."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.figure
import nibabel as nib
import numpy as np
import pytest
import torch
from folders import all_names_in, names_in

from pipeline.errors import InputError
from pipeline.files.names import PART
from pipeline.files.writing import make_folder, opened, remove, write_atomically, write_text


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), RuntimeError("bug")])
def test_a_failed_write_leaves_the_old_file_and_no_part(failure: Exception, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise failure

    with pytest.raises(InputError if isinstance(failure, OSError) else RuntimeError) as caught:
        write_atomically(path, write)
    if isinstance(failure, OSError):
        assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert path.read_text() == "old"
    assert names_in(tmp_path) == {"result.json"}
    assert not list(tmp_path.glob(f"{PART}*"))


def test_the_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "map.nii.gz"
    seen: list[bool] = []

    def write(temporary: Path) -> None:
        assert temporary.parent == path.parent
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("all")
        seen.append(path.exists())

    write_atomically(path, write)
    assert seen == [False]
    assert path.read_text() == "all"
    assert names_in(tmp_path) == {"map.nii.gz"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read_files_and_folders(
    umask: int, mode: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "case" / "result.json", "text")
    finally:
        os.umask(before)
    for path in (tmp_path / "case").iterdir():  # the list of our files, too
        assert path.stat().st_mode & 0o777 == mode
    assert (tmp_path / "case").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_folder_in_place_of_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "result.json" / "inner").mkdir(parents=True)
    with pytest.raises(InputError, match=r"result\.json: there is a folder that anomap did not"):
        write_text(tmp_path / "result.json", "text")
    assert names_in(tmp_path) == {"result.json"}


def test_a_file_that_we_did_not_write_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii.gz"
    path.write_text("the user's own")
    with pytest.raises(InputError, match="there is a file that anomap did not write") as caught:
        write_text(path, "ours")
    assert "\n" not in str(caught.value)
    remove(path)
    assert path.read_text() == "the user's own"
    assert all_names_in(tmp_path) == {"mask.nii.gz"}
    write_atomically(path, lambda temporary: temporary.write_text("asked for"), may_replace=True)
    assert path.read_text() == "asked for"


def test_a_file_of_ours_is_replaced_and_removed(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "first")
    write_text(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "second"
    remove(tmp_path / "a")
    remove(tmp_path / "a")
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_is_no_error(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"


def test_a_disk_that_fails_to_sync_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "a", "old")

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="Input/output error"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"


# A disk that takes no more, inside of what libraries write ---------------------------------------


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file becomes larger than 200 kB: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


NOISE = np.random.default_rng(0).random((80, 80, 80)).astype(np.float32)


def _torch(path: Path) -> None:
    with opened(path) as file:
        torch.save({"weights": torch.from_numpy(NOISE)}, file)


def _figure(path: Path) -> None:
    figure = matplotlib.figure.Figure(dpi=300)
    figure.subplots().imshow(NOISE.reshape(640, -1), interpolation="none")
    figure.savefig(path, dpi=600)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "weights.pt": _torch,
    "atlases.npz": lambda path: np.savez_compressed(path, a=NOISE),
    "stack.npy": lambda path: np.save(path, NOISE),
    "map.nii.gz": lambda path: nib.save(nib.Nifti1Image(NOISE, np.eye(4)), path),
    "map.nii": lambda path: nib.save(nib.Nifti1Image(NOISE, np.eye(4)), path),
    "figure.png": _figure,
    "figure.pdf": _figure,
    "text.json": lambda path: path.write_bytes(NOISE.tobytes()),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_takes_no_more_is_told_in_its_own_words(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_text(path, "old")
    with pytest.raises(InputError) as caught:
        write_atomically(path, WRITERS[name])
    assert str(caught.value) == f"{path}: cannot be written (File too large)"
    assert path.read_text() == "old"
    assert not list(tmp_path.glob(f"{PART}*"))


def test_what_is_written_through_a_remembering_file_is_what_torch_writes(tmp_path: Path) -> None:
    state = {"weights": torch.arange(10)}
    write_atomically(tmp_path / "a.pt", lambda path: _save(state, path))
    with (tmp_path / "b.pt").open("wb") as file:
        torch.save(state, file)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def _save(state: dict[str, Any], path: Path) -> None:
    with opened(path) as file:
        torch.save(state, file)


def test_a_folder_that_is_made_says_at_once_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match=r"cannot be written to, .*file is a file; give a folder"):
        make_folder(tmp_path / "file")
    make_folder(tmp_path / "new" / "folder")
    assert all_names_in(tmp_path / "new" / "folder") == set()
