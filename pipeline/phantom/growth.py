"""How a tumour grows: which tissue it pushes aside, and which voxels it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra

from pipeline.cases.brain.parts import largest_part
from pipeline.phantom.plan import Plan, Site
from pipeline.phantom.splines import smooth_field, spline_at
from pipeline.phantom.tissue import Tissue

NECROSIS, OEDEMA, ENHANCING = 1, 2, 4
"""Label values of BraTS 2018."""


@dataclass(frozen=True)
class Growth:
    """The voxels of a tumour in its box.

    Attributes:
        label: ``(X, Y, Z)`` uint8, the values above, 0 elsewhere.
        spread: how far a voxel lies into the oedema, same shape: 0 at the core, 1 at the margin.
    """

    label: np.ndarray
    spread: np.ndarray


def mass_effect(plan: Plan, site: Site) -> list[np.ndarray]:
    """How far tissue was pushed, as a pull-back: voxel + shift is where its tissue came from.

    Radial from the centre, strongest at the border of the core, zero at the brain's surface and
    40 mm or more from the core, small enough against its own scale to stay invertible.

    Returns:
        The shift along each axis, in voxels, ``(X, Y, Z)`` float32 each.
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


def pushed(site: Site, shift: Sequence[np.ndarray]) -> Site:
    """The site with its tissue moved.

    Args:
        site: before.
        shift: along each axis, in voxels, ``(X, Y, Z)`` each; see `mass_effect`.
    """
    white, csf = (pull(m, site.brain_mask, shift) for m in (site.tissue.white, site.tissue.csf))
    return replace(site, tissue=Tissue(white, csf))


def pull(image: np.ndarray, brain_mask: np.ndarray, shift: Sequence[np.ndarray]) -> np.ndarray:
    """An image at voxel + shift, cubic, where the shift matters; other voxels are untouched.

    Cubic, because linear interpolation would leave a smoother texture where tissue was pushed.

    Args:
        image: ``(X, Y, Z)``, any unit, 0 outside the brain.
        brain_mask: bool, same shape.
        shift: along each axis, in voxels, same shape each.

    Returns:
        Same shape and unit, within the range of the image.
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


def grow(rng: np.random.Generator, plan: Plan, site: Site, voxel_ml: float) -> Growth:
    """Let the core fill the brain around its centre, and the oedema follow the white matter.

    Args:
        rng: drawn from.
        plan: size and make-up.
        site: with its tissue pushed aside already.
        voxel_ml: volume of a voxel.
    """
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
    return Growth(label, np.clip(travel / limit, 0, 1))


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
    return np.asarray(np.minimum.reduce(lobes) * np.exp(rough))


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
    return np.asarray(allowed & (score <= np.partition(values, count - 1)[count - 1]))


def _without_specks(mask: np.ndarray, min_voxels: float) -> np.ndarray:
    parts, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())
    keep = sizes >= min(min_voxels, sizes[1:].max(initial=0))
    keep[0] = False
    return np.asarray(keep[parts])


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
    return np.asarray(blocks.mean(axis=(1, 3, 5)))


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
