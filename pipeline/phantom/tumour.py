"""A tumour model: draws a glioma and puts it into a healthy skull-stripped brain on any grid."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra

from pipeline.cases.loading import largest_part
from pipeline.errors import InputError
from pipeline.files.nifti import voxel_volume_ml
from pipeline.phantom.splines import smooth_field, spline_at
from pipeline.phantom.tissue import Levels, Tissue, estimate_levels, estimate_noise, estimate_tissue

CONTRASTS = ("bright", "dark", "iso", "mixed")
NECROSIS, OEDEMA, ENHANCING = 1, 2, 4
"""Label values of BraTS 2018."""
MIN_VOLUME_ML, MEDIAN_VOLUME_ML, MAX_VOLUME_ML = 3.0, 40.0, 150.0
MIN_BRAIN_ML = 200.0

ODDS = {
    "t1": {"bright": 0.12, "dark": 0.70, "iso": 0.18},
    "t1ce": {"bright": 0.12, "dark": 0.75, "iso": 0.13},
    "t2": {"bright": 0.88, "dark": 0.04, "iso": 0.08},
    "flair": {"bright": 0.86, "dark": 0.05, "iso": 0.09},
}
"""How often a tumour is bright, dark or iso-intense in a modality when the contrast is mixed."""

SHIFTS: dict[str, dict[int, tuple[float, float]]] = {
    "bright": {OEDEMA: (0.25, 0.65), ENHANCING: (0.3, 0.85), NECROSIS: (-0.2, 0.7)},
    "dark": {OEDEMA: (-0.40, -0.18), ENHANCING: (-0.40, -0.15), NECROSIS: (-0.80, -0.40)},
    "iso": {OEDEMA: (-0.05, 0.05), ENHANCING: (-0.06, 0.06), NECROSIS: (-0.08, 0.08)},
}
"""Ranges of a part's intensity above normal tissue, in units of `Levels.scale`."""
BRIGHT_GAIN = {"t1": 0.5, "t1ce": 0.5, "t2": 1.4, "flair": 1.0}
"""Bright on T1 (fat, protein, blood) is a smaller step than bright on T2 (water)."""


@dataclass(frozen=True)
class Plan:
    """What is drawn before any voxel is touched. Volumes in mL, lengths in mm."""

    volume_ml: float
    core_fraction: float
    enhancing: bool
    necrotic: bool
    rim_mm: float
    push_mm: float

    @property
    def radius_mm(self) -> float:
        """Radius of a ball with the volume of the whole tumour."""
        return float((3000.0 * self.volume_ml / (4 * np.pi)) ** (1 / 3))

    @property
    def core_radius_mm(self) -> float:
        """Radius of a ball with the volume of the core."""
        return self.radius_mm * self.core_fraction ** (1 / 3)


@dataclass(frozen=True)
class Site:
    """The box of brain that a tumour grows in.

    Attributes:
        brain_mask: bool ``(X, Y, Z)``.
        tissue: maps on the same grid.
        spacing_mm: voxel size along each axis.
        centre: of the tumour, in voxels of the box.
    """

    brain_mask: np.ndarray
    tissue: Tissue
    spacing_mm: np.ndarray
    centre: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the box."""
        return self.brain_mask.shape

    def offsets_mm(self, centre: np.ndarray) -> list[np.ndarray]:
        """Distance from ``centre`` (voxels) along each axis, as arrays that broadcast."""
        grids = np.ogrid[tuple(slice(0, n) for n in self.shape)]
        return [
            ((grid - c) * s).astype(np.float32)
            for grid, c, s in zip(grids, centre, self.spacing_mm, strict=True)
        ]


def insert_tumour(
    images: Mapping[str, np.ndarray],
    brain_mask: np.ndarray,
    affine: np.ndarray,
    rng: np.random.Generator,
    *,
    contrast: str = "mixed",
    volume_ml: float | None = None,
    tissue: Tissue | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, Any]]:
    """Put one tumour, with its mass effect, into a healthy brain.

    Args:
        images: modality (``t1``, ``t1ce``, ``t2``, ``flair``) to voxels ``(X, Y, Z)``, any scale.
        brain_mask: bool, same shape. Voxels outside are returned as 0.
        affine: voxel index to world (RAS, mm); anisotropic, flipped and oblique ones are fine.
        rng: drawn from; the same state gives the same tumour.
        contrast: ``bright``, ``dark`` or ``iso`` for every modality, or ``mixed``, which draws a
            kind for each modality with the odds that are typical of it.
        volume_ml: of the whole tumour; by default drawn from 3-150 mL.
        tissue: true tissue maps where known; by default they are estimated from the images.

    Returns:
        New images (float32), the label map (uint8: 1 necrosis, 2 oedema, 4 enhancing), and facts
        (volumes in mL, contrast by modality, centre in world mm, push in mm).

    Raises:
        InputError: an unknown contrast or modality, shapes that differ, or a brain that is too
            small for the tumour.
    """
    brain_mask = np.asarray(brain_mask) > 0
    _check(images, brain_mask, contrast, volume_ml)
    plan_rng, place_rng, shape_rng, paint_rng = rng.spawn(4)
    voxel_ml = voxel_volume_ml(affine)
    plan = draw_plan(plan_rng, volume_ml, float(brain_mask.sum()) * voxel_ml)
    frame = _bounding_box(brain_mask)
    mask, spacing = brain_mask[frame], np.linalg.norm(affine[:3, :3], axis=0)
    brain = {m: np.where(mask, image[frame], 0).astype(np.float32) for m, image in images.items()}
    levels = {m: estimate_levels(m, image[mask]) for m, image in brain.items()}
    if tissue is None:
        maps = estimate_tissue(brain, mask, spacing, levels)
    else:
        maps = Tissue(tissue.white[frame], tissue.csf[frame])
    noise = {m: estimate_noise(image, maps.white > 0.6) for m, image in brain.items()}
    centre = _place(place_rng, plan, maps, mask, affine)
    box = _box_around(centre, 2.2 * plan.radius_mm + 30.0, spacing, mask.shape)

    here = Site(mask[box], Tissue(maps.white[box], maps.csf[box]), spacing, _within(centre, box))
    shift = mass_effect(plan, here)
    moved = Tissue(
        *(_pull(m, here.brain_mask, shift) for m in (here.tissue.white, here.tissue.csf))
    )
    site = Site(here.brain_mask, moved, spacing, here.centre)
    label, spread = _grow(shape_rng, plan, site, voxel_ml)
    seed, kinds = int(paint_rng.integers(2**32)), dict[str, str]()
    for name, image in brain.items():
        # Seeded by name: an image does not depend on which others come with it.
        child = np.random.default_rng([seed, zlib.crc32(name.encode())])
        kinds[name] = _draw_kind(child, name, contrast)
        targets = _draw_targets(child, kinds[name], name, levels[name])
        pulled = _pull(image[box], site.brain_mask, shift)
        image[box] = _paint(child, pulled, label, spread, site, targets, levels[name], noise[name])
    grown = np.zeros(brain_mask.shape, np.uint8)
    grown[frame][box] = label
    results = {name: np.zeros(brain_mask.shape, np.float32) for name in brain}
    for name, image in brain.items():
        results[name][frame] = image
    return results, grown, _facts(grown, affine, plan, kinds)


def _check(
    images: Mapping[str, np.ndarray],
    brain_mask: np.ndarray,
    contrast: str,
    volume_ml: float | None,
) -> None:
    if not images:
        raise InputError("no image to put a tumour into")
    if contrast not in CONTRASTS:
        raise InputError(f"contrast {contrast!r}: expected one of {', '.join(CONTRASTS)}")
    for name, image in images.items():
        if name not in ODDS:
            raise InputError(f"modality {name!r}: tumours are modelled for {', '.join(ODDS)}")
        if image.shape != brain_mask.shape or image.ndim != 3:
            raise InputError(
                f"{name}: image {image.shape} and brain mask {brain_mask.shape} must share one "
                "3-D grid; resample the mask onto the image"
            )
    if volume_ml is not None and volume_ml <= 0:
        raise InputError(f"volume_ml {volume_ml:g}: expected a volume above 0 mL")


def _facts(
    label: np.ndarray, affine: np.ndarray, plan: Plan, kinds: dict[str, str]
) -> dict[str, Any]:
    voxel_ml = voxel_volume_ml(affine)
    parts = {"necrosis": NECROSIS, "oedema": OEDEMA, "enhancing": ENHANCING}
    centre = affine[:3, :3] @ np.argwhere(label).mean(axis=0) + affine[:3, 3]
    return {
        "volume_ml": round(float((label > 0).sum()) * voxel_ml, 3),
        **{f"{n}_ml": round(float((label == v).sum()) * voxel_ml, 3) for n, v in parts.items()},
        "contrast": kinds,
        "centre_mm": [round(float(value), 1) for value in centre],
        "push_mm": round(plan.push_mm, 1),
    }


# Draw and place -----------------------------------------------------------------------------------


def draw_plan(rng: np.random.Generator, volume_ml: float | None, brain_ml: float) -> Plan:
    """Draw size and make-up; volumes are log-normal with a median near 40 mL, cut to 3-150 mL.

    Raises:
        InputError: the brain is too small to hold the tumour.
    """
    drawn = 0.0
    while not MIN_VOLUME_ML <= drawn <= MAX_VOLUME_ML:
        drawn = float(np.exp(rng.normal(np.log(MEDIAN_VOLUME_ML), 0.9)))
    volume = drawn if volume_ml is None else volume_ml
    if brain_ml < MIN_BRAIN_ML or volume > brain_ml / 4:
        raise InputError(
            f"a tumour of {volume:.0f} mL does not fit a brain of {brain_ml:.0f} mL; "
            "check the brain mask and the affine, or ask for a smaller one"
        )
    enhancing = bool(rng.random() < 0.78)
    necrotic = bool(rng.random() < 0.8) or not enhancing
    core_fraction = float(rng.uniform(0.15, 0.65))
    plan = Plan(volume, core_fraction, enhancing, necrotic, float(rng.uniform(1.5, 5.0)), 0.0)
    push_mm = float(np.clip(plan.core_radius_mm * rng.uniform(0.1, 0.45), 0.5, 9.0))
    return Plan(volume, core_fraction, enhancing, necrotic, plan.rim_mm, push_mm)


def _place(
    rng: np.random.Generator,
    plan: Plan,
    tissue: Tissue,
    brain_mask: np.ndarray,
    affine: np.ndarray,
) -> np.ndarray:
    """Draw the centre (voxels): white matter above the tentorium, deep enough for the core."""
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    stride = np.maximum(np.rint(3.0 / spacing_mm), 1).astype(int)
    coarse = tuple(slice(int(s) // 2, None, int(s)) for s in stride)
    mask, white, csf = brain_mask[coarse], tissue.white[coarse], tissue.csf[coarse]
    depth_mm = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm * stride)
    depth_mm = depth_mm[1:-1, 1:-1, 1:-1]
    voxel = np.argwhere(mask) * stride + stride // 2
    world = voxel @ affine[:3, :3].T
    low, high = np.percentile(world, [0.5, 99.5], axis=0)
    x, y, z = ((world - low) / np.maximum(high - low, 1e-6)).T
    cerebellum = (z < 0.42 - 0.18 * np.clip((y - 0.45) / 0.2, 0, 1)) & (y < 0.62)
    wanted_mm = np.clip(0.7 * plan.core_radius_mm, 5.0, 16.0)
    weight = (0.1 + white[mask]) * (1 - csf[mask]) * np.clip(depth_mm[mask] / wanted_mm, 0, 1) ** 2
    # Gliomas of the midline (callosum, thalamus) are the rarer ones.
    weight *= np.where(cerebellum, 0.0, 1.0) * np.where(np.abs(x - 0.5) < 0.07, 0.3, 1.0)
    if weight.sum() <= 0:
        weight = np.ones(len(voxel))
    return voxel[rng.choice(len(voxel), p=weight / weight.sum())].astype(float)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    box = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def _box_around(
    centre: np.ndarray, radius_mm: float, spacing_mm: np.ndarray, shape: Sequence[int]
) -> tuple[slice, ...]:
    low = np.maximum(np.floor(centre - radius_mm / spacing_mm), 0).astype(int)
    high = np.minimum(np.ceil(centre + radius_mm / spacing_mm) + 1, shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _within(centre: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
    return centre - np.array([cut.start for cut in box])


# Mass effect --------------------------------------------------------------------------------------


def mass_effect(plan: Plan, site: Site) -> list[np.ndarray]:
    """How far tissue was pushed, as a pull-back: voxel + shift is where its tissue came from.

    Radial from the centre, strongest at the border of the core, zero at the brain's surface and
    40 mm or more from the core, small enough against its own scale to stay invertible.

    Returns:
        The shift along each axis, in voxels, ``(X, Y, Z)`` each.
    """
    offsets = site.offsets_mm(site.centre)
    radius = np.sqrt(sum(o**2 for o in offsets)) + np.float32(1e-3)
    core, reach = plan.core_radius_mm, max(40.0, 2.2 * plan.core_radius_mm)
    inner = np.clip(radius / core, 0, 1)
    fall = (1 - np.clip((radius - core) / reach, 0, 1) ** 2) ** 2
    # Not padded: the faces of the box cut through brain, and only real surface holds tissue back.
    depth_mm = ndimage.distance_transform_edt(site.brain_mask, sampling=site.spacing_mm)
    anchor = np.clip(depth_mm.astype(np.float32) / 14.0, 0, 1)
    anchor = ndimage.gaussian_filter(anchor, 2.0 / site.spacing_mm) * site.brain_mask
    amount = plan.push_mm * inner**2 * (3 - 2 * inner) * fall * anchor / radius
    return [-(amount * o) / np.float32(s) for o, s in zip(offsets, site.spacing_mm, strict=True)]


def _pull(image: np.ndarray, brain_mask: np.ndarray, shift: Sequence[np.ndarray]) -> np.ndarray:
    """``image`` at voxel + shift, cubic, where the shift matters; other voxels are untouched.

    Cubic, because linear interpolation would leave a smoother texture where tissue was pushed.
    """
    moving = brain_mask & (sum(s**2 for s in shift) > 0.03**2)
    where = np.nonzero(moving)
    points = np.stack([w + s[moving] for w, s in zip(where, shift, strict=True)])
    # The zeros outside the brain must not bleed in.
    nearest = ndimage.distance_transform_edt(
        ~brain_mask, return_distances=False, return_indices=True
    )
    filled = image[tuple(nearest)]
    values = ndimage.map_coordinates(filled, points, order=3, mode="nearest")
    out = image.copy()
    out[where] = np.clip(values, filled.min(), filled.max())
    return out


# Growth -------------------------------------------------------------------------------------------


def _grow(
    rng: np.random.Generator, plan: Plan, site: Site, voxel_ml: float
) -> tuple[np.ndarray, np.ndarray]:
    """The label map, and how far a voxel lies into the oedema: 0 at the core, 1 at its margin."""
    white, csf = site.tissue.white, site.tissue.csf
    n_whole = max(round(plan.volume_ml / voxel_ml), 2)
    # The core fills the sulci that it meets; ventricles are too wide for it.
    wide_fluid = ndimage.gaussian_filter(csf, 2.0 / site.spacing_mm) > 0.5
    score = _core_score(rng, plan, site)
    score += 0.6 * plan.core_radius_mm * (1 - np.clip(1.5 * white + 0.4, 0, 1))
    n_core = max(round(n_whole * plan.core_fraction), 1)
    core = largest_part(_lowest(score, site.brain_mask & ~wide_fluid, n_core))
    travel = _travel_mm(core, site)
    fingers = 0.30 * smooth_field(rng, site.shape, site.spacing_mm, 7.0)
    fingers += 0.14 * smooth_field(rng, site.shape, site.spacing_mm, 3.0)
    travel = (travel + 1.0) * np.exp(fingers) + 5.0 * (1 - np.clip(white / 0.6, 0, 1))
    free = site.brain_mask & (csf < 0.5) & ~core
    oedema = _lowest(travel, free, n_whole - int(core.sum()))
    oedema = _without_specks(core | oedema, 0.04 / voxel_ml) & ~core
    label = np.where(oedema, OEDEMA, 0).astype(np.uint8)
    label[core] = _core_labels(rng, plan, core, site.spacing_mm)[core]
    limit = float(travel[oedema].max()) if oedema.any() else 1.0
    return label, np.clip(travel / limit, 0, 1)


def _core_score(rng: np.random.Generator, plan: Plan, site: Site) -> np.ndarray:
    """Roughened distance in mm to one to three ellipsoidal lobes; low inside the core."""
    radius = plan.core_radius_mm
    lobes = []
    for lobe in range(int(rng.integers(1, 4))):
        shift_mm = rng.normal(0, 0.45 * radius, 3) * (lobe > 0)
        axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        stretch = np.exp(rng.normal(0, 0.22, 3)) * (1 if lobe == 0 else rng.uniform(0.8, 1.5))
        x, y, z = site.offsets_mm(site.centre + shift_mm / site.spacing_mm)
        rows = (axes * stretch[:, None]).astype(np.float32)
        lobes.append(np.sqrt(sum((a * x + b * y + c * z) ** 2 for a, b, c in rows)))
    rough = 0.24 * smooth_field(rng, site.shape, site.spacing_mm, max(0.55 * radius, 3.0))
    rough += 0.10 * smooth_field(rng, site.shape, site.spacing_mm, max(0.25 * radius, 2.0))
    return np.minimum.reduce(lobes) * np.exp(rough)


def _core_labels(
    rng: np.random.Generator, plan: Plan, core: np.ndarray, spacing_mm: np.ndarray
) -> np.ndarray:
    """Necrosis inside a rim of uneven thickness; one label where the plan lacks the other."""
    if not plan.enhancing:
        return np.where(core, NECROSIS, 0).astype(np.uint8)
    if not plan.necrotic:
        return np.where(core, ENHANCING, 0).astype(np.uint8)
    inside_mm = ndimage.distance_transform_edt(core, sampling=spacing_mm)
    mean_mm = min(plan.rim_mm, 0.35 * plan.core_radius_mm)
    rim_mm = mean_mm * np.exp(0.45 * smooth_field(rng, core.shape, spacing_mm, 6.0))
    return np.where(inside_mm > rim_mm, NECROSIS, ENHANCING).astype(np.uint8)


def _lowest(score: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` allowed voxels of lowest score (all of them where there are fewer)."""
    values = score[allowed]
    count = min(count, values.size)
    if count <= 0:
        return np.zeros_like(allowed)
    return allowed & (score <= np.partition(values, count - 1)[count - 1])


def _without_specks(mask: np.ndarray, min_voxels: float) -> np.ndarray:
    parts, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())
    keep = sizes >= min(min_voxels, sizes[1:].max(initial=0))
    keep[0] = False
    return keep[parts]


def _travel_mm(core: np.ndarray, site: Site) -> np.ndarray:
    """Shortest way from the core in mm of white matter: Dijkstra on a grid of about 3 mm.

    Through cortex the way is four times as long; CSF and the outside cannot be crossed.
    """
    stride = np.maximum(np.rint(3.0 / site.spacing_mm), 1).astype(int)
    solid = site.brain_mask & (site.tissue.csf < 0.5)
    speed = np.where(solid, 0.25 + 0.75 * np.clip(1.4 * site.tissue.white, 0, 1), 0)
    speed = _block_mean(speed.astype(np.float32), stride)
    held = _block_mean(core.astype(np.float32), stride)
    source = held >= min(0.3, float(held.max()))
    open_way = (speed > 0.12) | source
    number = np.full(speed.shape, -1)
    number[open_way] = np.arange(int(open_way.sum()))
    graph = _graph(number, np.maximum(speed, 0.12), site.spacing_mm * stride)
    travel = np.full(speed.shape, np.inf, np.float32)
    travel[open_way] = dijkstra(graph, directed=False, indices=number[source], min_only=True)
    reached = np.isfinite(travel)
    far = float(travel[reached].max()) + 20.0
    # Closed cells take the nearest reached value, or smoothing would raise walls beside them.
    steps, nearest = ndimage.distance_transform_edt(~reached, return_indices=True)
    travel = np.minimum(travel[tuple(nearest)] + 2.0 * steps.astype(np.float32), far)
    positions = [(np.arange(n) - (s - 1) / 2) / s for n, s in zip(core.shape, stride, strict=True)]
    return spline_at(travel, positions)


def _block_mean(values: np.ndarray, stride: np.ndarray) -> np.ndarray:
    padding = [(0, int(-n % s)) for n, s in zip(values.shape, stride, strict=True)]
    padded = np.pad(values, padding, mode="edge")
    a, b, c = (n // int(s) for n, s in zip(padded.shape, stride, strict=True))
    blocks = padded.reshape(a, int(stride[0]), b, int(stride[1]), c, int(stride[2]))
    return blocks.mean(axis=(1, 3, 5))


def _graph(number: np.ndarray, speed: np.ndarray, step_mm: np.ndarray) -> csr_matrix:
    """Edges between the open cells among 26 neighbours, weighted by length over mean speed."""
    rows, columns, weights = [], [], []
    moves = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    for move in (m for m in moves if m > (0, 0, 0)):
        pairs = list(zip(move, number.shape, strict=True))
        here = tuple(slice(max(-m, 0), n - max(m, 0)) for m, n in pairs)
        there = tuple(slice(max(m, 0), n - max(-m, 0)) for m, n in pairs)
        both = (number[here] >= 0) & (number[there] >= 0)
        rows.append(number[here][both])
        columns.append(number[there][both])
        length_mm = float(np.linalg.norm(np.array(move) * step_mm))
        weights.append(2 * length_mm / (speed[here][both] + speed[there][both]))
    n_cells = int(number.max()) + 1
    edges = (np.concatenate(rows), np.concatenate(columns))
    return csr_matrix(coo_matrix((np.concatenate(weights), edges), shape=(n_cells, n_cells)))


# Intensities --------------------------------------------------------------------------------------


def _draw_kind(rng: np.random.Generator, modality: str, contrast: str) -> str:
    odds = ODDS[modality]
    drawn = str(rng.choice(list(odds), p=list(odds.values())))
    return drawn if contrast == "mixed" else contrast


def _draw_targets(
    rng: np.random.Generator, kind: str, modality: str, levels: Levels
) -> dict[int, float]:
    """Each part's intensity above normal tissue, and under key 0 the amplitude of its texture."""
    gain = levels.scale * (BRIGHT_GAIN[modality] if kind == "bright" else 1.0)
    targets = {part: gain * float(rng.uniform(*limits)) for part, limits in SHIFTS[kind].items()}
    if modality == "t1ce":
        targets[ENHANCING] = levels.scale * float(rng.uniform(0.4, 1.0))
    return {**targets, 0: levels.scale * (0.06 if kind == "iso" else 0.09)}


def _paint(
    rng: np.random.Generator,
    image: np.ndarray,
    label: np.ndarray,
    spread: np.ndarray,
    site: Site,
    targets: Mapping[int, float],
    levels: Levels,
    noise: float,
) -> np.ndarray:
    """Give each part of the tumour its intensity, soft at the edges, textured and as noisy."""
    coarsest = float(site.spacing_mm.max())
    mottle = 0.75 * smooth_field(rng, image.shape, site.spacing_mm, max(6.0, 2.5 * coarsest))
    mottle += 0.5 * smooth_field(rng, image.shape, site.spacing_mm, max(2.5, 2.0 * coarsest))
    mottle *= np.float32(targets[0])
    smooth = ndimage.gaussian_filter(image, 2.5 / site.spacing_mm)
    sigma = np.maximum(0.7 / site.spacing_mm, 0.35)
    out, cover = image.copy(), np.zeros(image.shape, np.float32)
    for part in (OEDEMA, NECROSIS, ENHANCING):
        soft = ndimage.gaussian_filter((label == part).astype(np.float32), sigma)
        if part == OEDEMA:
            # Water among tissue that is still there: half its detail stays, and margins fade.
            soft *= (1 - site.tissue.csf) * np.clip(1.25 - 0.75 * spread**2, 0, 1)
            base = 0.5 * (smooth + levels.normal) + 0.55 * (image - smooth)
            target = base + targets[part] + mottle
        else:
            soft *= 0.92
            target = levels.normal + targets[part] + 1.3 * mottle
        out += soft * (target - image)
        cover = np.maximum(cover, soft)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    # What was painted over lost its noise; give it back.
    out += noise * np.sqrt(np.clip(1 - (1 - 0.8 * cover) ** 2, 0, 1)) * grain
    out = np.where(label > 0, np.maximum(out, 0.02 * levels.normal), out)
    return np.where(site.brain_mask, out, 0).astype(np.float32)
