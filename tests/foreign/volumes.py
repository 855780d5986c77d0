"""NIfTI files of every kind: plain ones, odd ones, impossible ones."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from foreign.drawn_bytes import (
    ODD_INTEGERS,
    ODD_NUMBERS,
    Stored,
    bomb,
    chance,
    damaged,
    gzipped,
    noise_bytes,
)
from nibabel import nifti1, nifti2

REAL = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
REAL |= {1024: "i8", 1280: "u8"}
"""Codes of voxels that are one real number, to their types."""
OTHER = {128: 3, 2304: 4, 32: 8, 1792: 16, 2048: 32, 1536: 16, 1: 1, 0: 1, 255: 1, -3: 1}
"""Codes of all other voxels, and codes that are none, to bytes a voxel."""

SUFFIXES = (".nii", ".nii.gz")
_MAGIC = {1: b"n+1\0", 2: b"n+2\0\r\n\x1a\n"}
_HEADER = {1: nifti1.header_dtype, 2: nifti2.header_dtype}
_OFFSET = {1: 352, 2: 544}


def volume_file(rng: Random, stem: str = "case_flair") -> Stored:
    """A NIfTI file: plain in half of all cases, else with up to three odd fields, or torn."""
    content = _content(rng, n_odd=rng.choice((0, 0, 0, 1, 1, 2, 3)))
    if chance(rng, 0.1):
        content = damaged(rng, content)
    is_packed, suffix = chance(rng, 0.5), rng.choice(SUFFIXES)
    if not chance(rng, 0.1):  # else the suffix says something else than the content
        suffix = ".nii.gz" if is_packed else ".nii"
    if chance(rng, 0.05):
        suffix = suffix.swapcase() if chance(rng, 0.5) else suffix.title()
    if chance(rng, 0.004):
        return Stored(stem + ".nii.gz", bomb(rng, content), len(content))
    packed = gzipped(rng, content) if is_packed else content
    if is_packed and chance(rng, 0.1):
        packed = damaged(rng, packed)
    return Stored(stem + suffix, packed, len(content))


def brain_file(rng: Random, stem: str, grid_seed: int) -> Stored:
    """An ellipsoid of the size of a brain on a background of 0; plain in most cases."""
    grid = Random(grid_seed)
    shape = tuple(grid.choice((9, 10, 11)) for _ in range(3))
    fields = _plain_fields(grid, shape, spacings_mm=(18.0, 19.0, 20.0)) | {"xyzt_units": 2}
    fields["datatype"], fields["bitpix"] = rng.choice(((4, 16), (16, 32), (64, 64)))
    content = _content(rng, rng.choice((0, 0, 0, 1)), fields, _ellipsoid(shape))
    return Stored(stem + ".nii", content, len(content))


def _ellipsoid(shape: tuple[int, ...]) -> np.ndarray:
    """``(V,)`` bool, in the order of a file."""
    grids = np.ogrid[tuple(slice(-(n - 1) / 2, n / 2) for n in shape)]
    inside = sum((g / r) ** 2 for g, r in zip(grids, (3.3, 4.0, 3.6), strict=True)) < 1
    return np.asarray(inside).reshape(-1, order="F")


def plain_volume(rng: Random) -> bytes:
    """A NIfTI file that nothing is wrong with, unpacked."""
    return _content(rng, n_odd=0)


def noise_file(rng: Random, stem: str = "case_flair") -> Stored:
    """Anything under the name of a volume."""
    content = noise_bytes(rng, rng.choice((0, 1, 100, 348, 352, 2000)))
    suffix = rng.choice(SUFFIXES)
    packed = gzipped(rng, content) if chance(rng, 0.5) else content
    return Stored(stem + suffix, packed, len(content))


# --- header --------------------------------------------------------------------------------------


def _content(
    rng: Random,
    n_odd: int,
    fields: dict[str, Any] | None = None,
    inside: np.ndarray | None = None,
) -> bytes:
    """Header, what follows it, and voxels; some of it is odd."""
    version = rng.choice((1, 1, 1, 2))
    order = rng.choice(("<", "<", ">"))
    fields = {**(fields or _plain_fields(rng, _shape(rng))), **_version_fields(version)}
    shape = tuple(int(n) for n in fields["dim"][1 : 1 + int(fields["dim"][0])])
    voxels = _voxels(rng, shape, int(fields["datatype"]), order, inside)
    for name in rng.sample(sorted(_ODD), n_odd):
        fields |= _ODD[name](rng, version)
    head = np.zeros((), _HEADER[version].newbyteorder(order))
    with np.errstate(all="ignore"):
        for name, value in fields.items():
            head[name] = _fitting(value, head.dtype[name])
    if n_odd and chance(rng, 0.1):
        voxels = damaged(rng, voxels)
    between = _between(rng, order, odd=bool(n_odd))
    if len(between) > 4 and head["vox_offset"] == _OFFSET[version] and not chance(rng, 0.1):
        head["vox_offset"] = _OFFSET[version] - 4 + len(between)
    return head.tobytes() + between + voxels


def _fitting(value: Any, kind: np.dtype) -> Any:
    """A value as a field of the header can hold it."""
    base = kind.base
    if base.kind not in "iu":
        return value
    whole = np.array(value, dtype=object).reshape(-1)
    limits = np.iinfo(base)
    clipped = [int(min(max(int(v), limits.min), limits.max)) for v in whole]
    return clipped if kind.shape else clipped[0]


def _version_fields(version: int) -> dict[str, Any]:
    size = 348 if version == 1 else 540
    return {"sizeof_hdr": size, "magic": _MAGIC[version], "vox_offset": _OFFSET[version]}


_SPACINGS_MM = (1.0, 18.0, 20.0, 24.0, 40.0)


def _plain_fields(
    rng: Random, shape: tuple[int, ...], spacings_mm: tuple[float, ...] = _SPACINGS_MM
) -> dict[str, Any]:
    code = rng.choice(sorted(REAL)) if not chance(rng, 0.05) else rng.choice(sorted(OTHER))
    size = np.dtype(REAL[code]).itemsize if code in REAL else OTHER[code]
    linear, origin = _orientation(rng, spacings_mm)
    spacing = np.linalg.norm(linear, axis=0)
    fields: dict[str, Any] = {
        "dim": _padded([len(shape), *shape], 8, 1),
        "datatype": code,
        "bitpix": 8 * size,
        "pixdim": _padded([rng.choice((1, -1)), *spacing], 8, 1),
        "xyzt_units": rng.choice((2, 2, 2, 10, 0, 1, 3)),
    }
    fields |= _forms(linear, origin, *rng.choice(((1, 1), (0, 1), (1, 0), (2, 4), (0, 0))))
    if chance(rng, 0.3):
        fields |= {"scl_slope": rng.choice((0.5, 2.0, 0.01)), "scl_inter": rng.choice((0, -1024))}
    if chance(rng, 0.1):
        fields["intent_code"] = rng.choice((1002, 1005, 1007, 2003))
    return fields


def _padded(values: list[float], n: int, fill: float) -> list[float]:
    return [*values, *[fill] * n][:n]


def _shape(rng: Random) -> tuple[int, ...]:
    n_axes = rng.choice((1, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5))
    last = rng.choice((1, 1, 2, 3))
    return tuple(rng.choice((1, 2, 5, 6, 7, 8, 9, 12)) if i < 3 else last for i in range(n_axes))


def _orientation(rng: Random, spacings_mm: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Linear part and origin; voxels are large, so that few of them are a brain."""
    spacing = np.array([rng.choice(spacings_mm) for _ in range(3)])
    axes = rng.sample(range(3), 3)
    linear = np.zeros((3, 3))
    linear[axes, range(3)] = spacing * [rng.choice((1, -1)) for _ in range(3)]
    if chance(rng, 0.3):
        shear = np.random.default_rng(rng.getrandbits(32)).normal(0, 0.2, (3, 3))
        linear = (np.eye(3) + shear) @ linear
    return linear, np.array([rng.uniform(-100, 100) for _ in range(3)])


def _forms(linear: np.ndarray, origin: np.ndarray, qform: int, sform: int) -> dict[str, Any]:
    head = nifti1.Nifti1Header()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, origin
    head.set_qform(affine, code=1)
    names = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    rows = {f"srow_{axis}": affine[i] for i, axis in enumerate("xyz")}
    fields = {name: head[name] for name in names} | {"pixdim": head["pixdim"]}
    return {**fields, **rows, "qform_code": qform, "sform_code": sform}


def _between(rng: Random, order: str, *, odd: bool) -> bytes:
    """What stands between header and voxels: nothing, or extensions."""
    if not chance(rng, 0.2):
        return bytes(4)
    size = rng.choice(ODD_INTEGERS) if odd and chance(rng, 0.5) else 32
    head = np.array([min(max(size, -(2**31)), 2**31 - 1), rng.choice((4, 6, 44))], f"{order}i4")
    return b"\1\0\0\0" + head.tobytes() + noise_bytes(rng, 24)


# --- odd values ----------------------------------------------------------------------------------


def _odd_dim(rng: Random, version: int) -> dict[str, Any]:
    big = rng.choice((32767, 4000, 600, 2**31, 2**40))
    dims: list[list[float]] = [
        [3, big, big, big],
        [3, 6, 6, big],
        [4, 6, 6, 6, big],
        [3, 0, 6, 6],
        [3, -6, 6, 6],
        [rng.choice((-1, 0, 8, 9, 300)), 6, 6, 6],
        [rng.choice((6, 7)), 6, 6, 6, 1, 1, 2, rng.choice((1, 2, big))],
        [rng.choice(ODD_INTEGERS) for _ in range(8)],
    ]
    return {"dim": _padded(rng.choice(dims), 8, 1)}


def _odd_sform(rng: Random, version: int) -> dict[str, Any]:
    rows = [[rng.choice((0.0, 20.0, rng.choice(ODD_NUMBERS))) for _ in range(4)] for _ in range(3)]
    return {
        **dict(zip(("srow_x", "srow_y", "srow_z"), rows, strict=True)),
        "sform_code": 1,
        "qform_code": rng.choice((0, 1)),
    }


def _odd_qform(rng: Random, version: int) -> dict[str, Any]:
    slightly_off = {"quatern_b": 0.6, "quatern_c": 0.8, "quatern_d": rng.choice((0.0, 1e-3, 9e-4))}
    names = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    if chance(rng, 0.5):
        return {**slightly_off, "qform_code": 1, "sform_code": 0}
    odd = {name: rng.choice(ODD_NUMBERS) for name in names}
    return {**odd, "qform_code": 1, "sform_code": 0}


def _odd_zooms(rng: Random, version: int) -> dict[str, Any]:
    zooms = [rng.choice((20.0, rng.choice(ODD_NUMBERS))) for _ in range(8)]
    return {"pixdim": zooms, "sform_code": rng.choice((0, 1))}


def _odd_field(*names: str) -> Any:
    def draw(rng: Random, version: int) -> dict[str, Any]:
        return {name: rng.choice(ODD_NUMBERS) for name in names}

    return draw


def _odd_code(*names: str) -> Any:
    def draw(rng: Random, version: int) -> dict[str, Any]:
        return {name: rng.choice(ODD_INTEGERS) for name in names}

    return draw


def _odd_text(rng: Random, version: int) -> dict[str, Any]:
    return {"descrip": noise_bytes(rng, 80), "aux_file": noise_bytes(rng, 24)}


def _odd_magic(rng: Random, version: int) -> dict[str, Any]:
    return {"magic": rng.choice((b"ni1\0", b"", b"n+3\0", b"n+2\0", b"\xff" * 4, b"n+1"))}


def _odd_type(rng: Random, version: int) -> dict[str, Any]:
    return {"datatype": rng.choice((*REAL, *OTHER)), "bitpix": rng.choice((8, 16, 32, 0, 7, 64))}


def _odd_offset(rng: Random, version: int) -> dict[str, Any]:
    number = rng.choice((0, 1, 348, 353, 360, -1, 10_000, 2**30, 1e9, *ODD_NUMBERS))
    if version == 2 and not np.isfinite(number):
        number = 2**62
    return {"vox_offset": number}


_ODD: dict[str, Any] = {
    "dim": _odd_dim,
    "sform": _odd_sform,
    "qform": _odd_qform,
    "zooms": _odd_zooms,
    "slope": _odd_field("scl_slope", "scl_inter"),
    "slope alone": _odd_field("scl_slope"),
    "display": _odd_field("cal_max", "cal_min", "slice_duration", "toffset"),
    "type": _odd_type,
    "offset": _odd_offset,
    "units": _odd_code("xyzt_units"),
    "codes": _odd_code("qform_code", "sform_code"),
    "intent": _odd_code("intent_code"),
    "slices": _odd_code("slice_code", "slice_start", "slice_end", "dim_info"),
    "size": _odd_code("sizeof_hdr"),
    "text": _odd_text,
    "magic": _odd_magic,
}


# --- voxels --------------------------------------------------------------------------------------


def _voxels(
    rng: Random, shape: tuple[int, ...], code: int, order: str, inside: np.ndarray | None
) -> bytes:
    n = int(np.prod(shape))
    draws = np.random.default_rng(rng.getrandbits(32))
    if code not in REAL:
        return draws.bytes(n * OTHER[code])
    kind = np.dtype(order + REAL[code])
    values = _VALUES[rng.randrange(len(_VALUES))](draws, n)
    if inside is not None:
        values = np.where(inside, draws.uniform(100, 900, n), 0.0)
    elif chance(rng, 0.7):  # a background
        values = np.where(draws.random(n) < 0.3, rng.choice((0, 0, 0, -1024, 3e-7)), values)
    if kind.kind == "f":
        if chance(rng, 0.05):
            values[draws.integers(n)] = rng.choice((np.nan, np.inf, -np.inf, 1e300, 1e-300))
    else:
        limits = np.iinfo(kind)
        values = np.clip(np.nan_to_num(values), float(limits.min), float(limits.max) * 0.999)
    with np.errstate(all="ignore"):
        return values.astype(kind).tobytes()


_VALUES: tuple[Any, ...] = (
    lambda draws, n: draws.uniform(100, 900, n),
    lambda draws, n: draws.uniform(100, 900, n),
    lambda draws, n: draws.integers(0, 5, n).astype(float),
    lambda draws, n: draws.integers(0, 2, n).astype(float),
    lambda draws, n: draws.integers(0, 5, n) + draws.uniform(-2e-3, 2e-3, n),
    lambda draws, n: draws.normal(0, 1, n),
    lambda draws, n: draws.normal(0, 1, n) * 1e30,
    lambda draws, n: draws.normal(0, 1, n) * 1e-38,
    lambda draws, n: np.full(n, draws.choice((0.0, 1.0, -1024.0, 5e9))),
    lambda draws, n: draws.choice((0.0, 1000.0, -1.0, 2.0**31, 2.0**40), n),
)
