"""Phantoms and inserted tumours: what can be counted on a 3 mm brain."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from pipeline.cases.case import Case
from pipeline.errors import InputError
from pipeline.phantom.anatomy import KNOT_MM, acquire, draw_deformation
from pipeline.phantom.cohort import (
    MODALITIES,
    Phantom,
    insert_tumour,
    make_phantom,
    write_cohort,
    write_inserted_cohort,
)
from pipeline.phantom.splines import smooth_field, spline_at
from pipeline.phantom.tissue import Tissue, estimate_noise
from pipeline.phantom.tumour import Site, draw_plan, mass_effect

SPACING_MM = 3.0


def phantom(seed: int, *, tumour: bool = False, contrast: str = "mixed") -> Phantom:
    rng = np.random.default_rng([7, seed])
    return make_phantom(rng, MODALITIES, tumour=tumour, spacing_mm=SPACING_MM, contrast=contrast)


@pytest.fixture(scope="module")
def healthy() -> Phantom:
    return phantom(0)


@pytest.fixture(scope="module")
def sick() -> Phantom:
    return phantom(0, tumour=True, contrast="bright")


def jacobian_determinant(displacement: np.ndarray, spacing: float) -> np.ndarray:
    """Of position + displacement, ``(3, A, B, C)`` in the unit of ``spacing``."""
    gradients = [np.gradient(component, spacing) for component in displacement]
    matrix = np.moveaxis(np.array(gradients), (0, 1), (-2, -1)) + np.eye(3)
    return np.linalg.det(matrix)


def around(label: np.ndarray, brain_mask: np.ndarray) -> np.ndarray:
    """Healthy brain within a few voxels of the tumour."""
    near = ndimage.binary_dilation(label > 0, iterations=4)
    return near & ~ndimage.binary_dilation(label > 0) & brain_mask


# Fields -------------------------------------------------------------------------------------------


def test_a_spline_of_equal_coefficients_is_constant_and_a_line_stays_a_line() -> None:
    position = np.linspace(2.0, 6.0, 9)
    constant = spline_at(np.full((9, 9, 9), 3.5), [position] * 3)
    np.testing.assert_allclose(constant, 3.5, atol=1e-5)
    line = np.broadcast_to(np.arange(9.0)[:, None, None], (9, 9, 9))
    np.testing.assert_allclose(spline_at(line, [position] * 3)[:, 0, 0], position, atol=1e-5)


@pytest.mark.parametrize("scale_mm", [1.0, 4.0, 12.0])
def test_a_smooth_field_has_mean_zero_and_unit_variance(scale_mm: float) -> None:
    rng = np.random.default_rng(0)
    spacing_mm = np.array([1.0, 2.0, 3.0])
    fields = np.stack([smooth_field(rng, (60, 40, 30), spacing_mm, scale_mm) for _ in range(12)])
    assert abs(float(fields.mean())) < 0.1
    assert 0.85 < float(fields.std()) < 1.15


# Anatomy and contrast -----------------------------------------------------------------------------


def test_the_same_seed_gives_identical_arrays(sick: Phantom) -> None:
    again = phantom(0, tumour=True, contrast="bright")
    for modality in MODALITIES:
        np.testing.assert_array_equal(again.images[modality], sick.images[modality])
    np.testing.assert_array_equal(again.label, sick.label)
    assert again.facts == sick.facts


def test_another_seed_gives_another_brain(healthy: Phantom) -> None:
    assert (phantom(1).brain_mask != healthy.brain_mask).mean() > 0.005


def test_a_modality_does_not_depend_on_which_others_are_asked_for(sick: Phantom) -> None:
    rng = np.random.default_rng([7, 0])
    alone = make_phantom(rng, ["flair"], tumour=True, spacing_mm=3.0, contrast="bright")
    np.testing.assert_array_equal(alone.images["flair"], sick.images["flair"])


def test_the_grid_is_that_of_brats(healthy: Phantom) -> None:
    assert healthy.label.shape == (80, 80, 52)
    assert nib.aff2axcodes(healthy.affine) == ("L", "P", "S")
    litres = healthy.brain_mask.sum() * SPACING_MM**3 / 1e6
    assert 1.0 < litres < 1.7


def test_images_are_zero_outside_the_brain_and_positive_inside(sick: Phantom) -> None:
    for image in sick.images.values():
        assert image.dtype == np.float32
        assert (image[~sick.brain_mask] == 0).all()
        assert (image[sick.brain_mask] > 0).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tissues_are_ordered_as_each_modality_orders_them(seed: int) -> None:
    brain = phantom(seed)
    t1 = ndimage.gaussian_filter(brain.images["t1"], 0.4)
    low, mid_low, mid_high, high = np.percentile(t1[brain.brain_mask], [4, 30, 50, 80])
    inside = ndimage.binary_erosion(brain.brain_mask)
    masks = {
        "csf": inside & (t1 < low * 1.2),
        "grey": inside & (t1 > mid_low) & (t1 < mid_high),
        "white": inside & (t1 > high),
    }
    level = {m: {k: np.median(brain.images[m][v]) for k, v in masks.items()} for m in MODALITIES}
    assert level["t1"]["white"] > 1.15 * level["t1"]["grey"] > 1.5 * level["t1"]["csf"]
    assert level["t2"]["csf"] > 1.3 * level["t2"]["grey"] > 1.3 * level["t2"]["white"]
    assert level["flair"]["grey"] > level["flair"]["white"] > 1.5 * level["flair"]["csf"]


@pytest.mark.parametrize("ventricles_mm", [-4.0, 8.0])
def test_the_deformation_is_invertible(ventricles_mm: float) -> None:
    for seed in range(3):
        displacement = draw_deformation(np.random.default_rng(seed), ventricles_mm)
        determinant = jacobian_determinant(displacement, KNOT_MM)
        assert determinant.min() > 0
        assert np.abs(displacement).max() > 2.0


def test_noise_is_estimated_from_a_known_amount() -> None:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 50, 40)[:, None, None] + np.zeros((40, 30, 20))
    noisy = ramp + 2.5 * rng.standard_normal(ramp.shape)
    assert estimate_noise(noisy, np.ones(ramp.shape, bool)) == pytest.approx(2.5, rel=0.1)


def test_the_scanner_leaves_no_rim_at_the_brain_edge() -> None:
    flat = np.ones((40, 40, 40), np.float32)
    mask = np.zeros(flat.shape, bool)
    mask[8:32, 8:32, 8:32] = True
    image = acquire(np.random.default_rng(0), flat, mask, 1.0)
    edge = mask & ~ndimage.binary_erosion(mask, iterations=2)
    assert image[edge].mean() == pytest.approx(image[mask].mean(), rel=0.02)


# Tumours ------------------------------------------------------------------------------------------


def test_labels_are_those_of_brats_and_lie_inside_the_brain() -> None:
    for seed in range(4):
        case = phantom(seed, tumour=True)
        assert set(np.unique(case.label)) <= {0, 1, 2, 4}
        assert case.label.dtype == np.uint8
        assert not case.label[~case.brain_mask].any()
        counted = (case.label > 0).sum() * SPACING_MM**3 / 1000
        assert case.facts["tumour"]["volume_ml"] == pytest.approx(counted, abs=0.01)
        assert 2.7 <= counted <= 150


def test_a_healthy_phantom_has_no_label(healthy: Phantom) -> None:
    assert not healthy.label.any()
    assert "tumour" not in healthy.facts


def test_the_tumour_leaves_the_far_anatomy_as_it_was(healthy: Phantom, sick: Phantom) -> None:
    np.testing.assert_array_equal(healthy.brain_mask, sick.brain_mask)
    changed = healthy.images["flair"] != sick.images["flair"]
    distance_mm = ndimage.distance_transform_edt(sick.label == 0) * SPACING_MM
    assert distance_mm[changed].max() < 65
    assert changed[sick.label > 0].mean() > 0.99
    assert changed[sick.brain_mask].mean() < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_a_bright_tumour_is_brighter_than_its_surroundings_and_a_dark_one_darker(seed: int) -> None:
    for contrast, sign in (("bright", 1), ("dark", -1)):
        case = phantom(seed, tumour=True, contrast=contrast)
        image, ring = case.images["flair"], around(case.label, case.brain_mask)
        step = np.median(image[case.label > 0]) / np.median(image[ring]) - 1
        assert sign * step > 0.06
        assert case.facts["tumour"]["contrast"] == dict.fromkeys(MODALITIES, contrast)


def test_an_iso_intense_tumour_cannot_be_told_by_its_mean() -> None:
    case = phantom(1, tumour=True, contrast="iso")
    image, ring = case.images["flair"], around(case.label, case.brain_mask)
    assert np.median(image[case.label > 0]) == pytest.approx(np.median(image[ring]), rel=0.15)


@pytest.mark.parametrize("volume_ml", [4.0, 30.0, 120.0])
def test_the_volume_is_the_one_asked_for(healthy: Phantom, volume_ml: float) -> None:
    rng = np.random.default_rng(5)
    _, label, facts = insert_tumour(
        healthy.images, healthy.brain_mask, healthy.affine, rng, volume_ml=volume_ml
    )
    assert (label > 0).sum() * SPACING_MM**3 / 1000 == pytest.approx(volume_ml, rel=0.1)
    assert facts["volume_ml"] == pytest.approx(volume_ml, rel=0.1)


def test_drawn_volumes_spread_over_the_whole_range() -> None:
    rng = np.random.default_rng(0)
    volumes = [draw_plan(rng, None, 1400.0).volume_ml for _ in range(400)]
    assert min(volumes) >= 3
    assert max(volumes) <= 150
    assert np.percentile(volumes, 10) < 15
    assert np.percentile(volumes, 90) > 80


def test_volume_and_place_hold_on_a_flipped_anisotropic_oblique_grid() -> None:
    brain = phantom(2)
    # Every second slice in z, axes permuted, one flipped, then turned by 20 degrees.
    images = {"t1": np.moveaxis(brain.images["t1"][:, ::-1, ::2], 2, 0)}
    mask = np.moveaxis(brain.brain_mask[:, ::-1, ::2], 2, 0)
    turn = np.deg2rad(20)
    rotation = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.array([[0, -3.0, 0], [0, 0, 3.0], [6.0, 0, 0]])
    affine[:3, 3] = (10, -20, 30)
    new, label, facts = insert_tumour(images, mask, affine, np.random.default_rng(1), volume_ml=40)
    assert (label > 0).sum() * 0.054 == pytest.approx(40, rel=0.1)
    assert not label[~mask].any()
    assert (new["t1"][~mask] == 0).all()
    centre = nib.affines.apply_affine(np.linalg.inv(affine), facts["centre_mm"])
    np.testing.assert_allclose(centre, np.argwhere(label).mean(axis=0), atol=0.1)


def test_the_input_is_not_written_to(healthy: Phantom) -> None:
    before = healthy.images["t1"].copy()
    insert_tumour(
        {"t1": healthy.images["t1"]}, healthy.brain_mask, healthy.affine, np.random.default_rng(0)
    )
    np.testing.assert_array_equal(before, healthy.images["t1"])


def test_the_mass_effect_is_invertible_and_holds_the_surface() -> None:
    x, y, z = np.ogrid[-30:31, -30:31, -30:31]
    ball = (x**2 + y**2 + z**2) < 28**2
    tissue = Tissue(ball.astype(np.float32), np.zeros(ball.shape, np.float32))
    for seed in range(20):
        plan = draw_plan(np.random.default_rng(seed), None, 1400.0)
        site = Site(ball, tissue, np.full(3, 2.0), np.array([38.0, 30.0, 30.0]))
        shift = np.stack(mass_effect(plan, site))
        assert jacobian_determinant(shift, 1.0)[2:-2, 2:-2, 2:-2].min() > 0
        surface = ball & ~ndimage.binary_erosion(ball)
        assert np.abs(shift[:, surface]).max() * 2.0 < 1.5


def test_the_tumour_scales_with_the_units_of_the_image(healthy: Phantom) -> None:
    mask, affine = healthy.brain_mask, healthy.affine
    image = healthy.images["flair"]
    one, label, _ = insert_tumour({"flair": image}, mask, affine, np.random.default_rng(3))
    ten, same, _ = insert_tumour({"flair": 10 * image}, mask, affine, np.random.default_rng(3))
    np.testing.assert_array_equal(label, same)
    np.testing.assert_allclose(ten["flair"], 10 * one["flair"], rtol=2e-3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"contrast": "shiny"}, "contrast 'shiny'"),
        ({"volume_ml": -1.0}, "volume_ml -1"),
        ({"volume_ml": 900.0}, "does not fit"),
        ({"brain_mask": np.zeros((80, 80, 52), bool)}, "does not fit a brain of 0 mL"),
        ({"brain_mask": np.ones((4, 4, 4), bool)}, "must share one"),
        ({"images": {"ct": np.zeros((80, 80, 52))}}, "modality 'ct'"),
    ],
)
def test_what_cannot_be_used_is_named(healthy: Phantom, change: dict, told: str) -> None:
    given = {"images": healthy.images, "brain_mask": healthy.brain_mask, "affine": healthy.affine}
    with pytest.raises(InputError, match=told):
        insert_tumour(**{**given, **change}, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "change", [{"modalities": ["pet"]}, {"modalities": []}, {"spacing_mm": 0.1}, {"contrast": "x"}]
)
def test_bad_arguments_of_a_phantom_are_refused(change: dict) -> None:
    with pytest.raises(InputError):
        make_phantom(np.random.default_rng(0), **{"modalities": ["t1"], "tumour": False, **change})


# Cohorts ------------------------------------------------------------------------------------------


def small_cohort(folder: Path, **changes: object) -> Path:
    arguments = {"n_healthy": 1, "n_tumour": 1, "spacing_mm": 4.0, "progress": False, **changes}
    return write_cohort(folder, ["flair"], **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_cohort(tmp_path_factory.mktemp("cohort") / "out")


def test_a_cohort_is_laid_out_as_brats(cohort: Path) -> None:
    files = sorted(str(p.relative_to(cohort)) for p in cohort.rglob("*.nii.gz"))
    assert files == [
        "healthy/phantom_h000/phantom_h000_flair.nii.gz",
        "tumour/phantom_t000/phantom_t000_flair.nii.gz",
        "tumour/phantom_t000/phantom_t000_seg.nii.gz",
    ]
    seg = nib.load(cohort / files[2])
    assert seg.get_data_dtype() == np.uint8
    record = json.loads((cohort / "cohort.json").read_text())
    facts = record["cases"]["phantom_t000"]["tumour"]
    counted = (np.asarray(seg.dataobj) > 0).sum() * 0.064
    assert facts["volume_ml"] == pytest.approx(counted, abs=0.01)
    assert record["arguments"]["seed"] == 0


def test_the_file_holds_the_phantom(cohort: Path) -> None:
    image = nib.load(cohort / "tumour/phantom_t000/phantom_t000_flair.nii.gz")
    rng = np.random.default_rng([0, 1, 0])
    made = make_phantom(rng, ["flair"], tumour=True, spacing_mm=4.0)
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.rint(made.images["flair"]))
    np.testing.assert_allclose(image.affine, made.affine)


def test_a_second_call_makes_only_what_is_missing(cohort: Path) -> None:
    kept = cohort / "healthy/phantom_h000/phantom_h000_flair.nii.gz"
    lost = cohort / "tumour/phantom_t000/phantom_t000_seg.nii.gz"
    before, content = kept.stat().st_mtime_ns, np.asarray(nib.load(lost).dataobj)
    lost.unlink()
    small_cohort(cohort)
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_array_equal(np.asarray(nib.load(lost).dataobj), content)


def test_a_case_does_not_depend_on_how_many_others_are_made(cohort: Path, tmp_path: Path) -> None:
    larger = small_cohort(tmp_path / "larger", n_healthy=0, n_tumour=2)
    name = "tumour/phantom_t000/phantom_t000_flair.nii.gz"
    one, other = (np.asarray(nib.load(folder / name).dataobj) for folder in (cohort, larger))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("change", [{"seed": 1}, {"spacing_mm": 5.0}, {"n_tumour": 0}])
def test_a_different_cohort_in_the_folder_is_refused(cohort: Path, change: dict) -> None:
    with pytest.raises(InputError, match="choose another folder"):
        small_cohort(cohort, **change)


def test_tumours_go_into_real_brains_and_a_bad_case_does_not_stop_the_others(
    healthy: Phantom, tmp_path: Path
) -> None:
    cases = [Case(name, name, {}) for name in ("a", "b", "broken")]

    def load_brain(case: Case) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        if case.name == "broken":
            raise InputError("broken: the file is cut short")
        return {"flair": healthy.images["flair"] + 5}, healthy.brain_mask, healthy.affine

    out = write_inserted_cohort(
        tmp_path,
        cases,
        ["flair"],
        n_healthy=1,
        n_tumour=None,
        load_brain=load_brain,
        progress=False,
    )
    record = json.loads((out / "cohort.json").read_text())
    assert sorted(record["cases"]) == ["a_healthy", "a_tumour", "b_tumour"]
    assert record["failed"] == {"broken_tumour": "broken: the file is cut short"}
    copy = nib.load(out / "healthy/a_healthy/a_healthy_flair.nii.gz")
    data = np.asarray(copy.dataobj)
    assert (data[~healthy.brain_mask] == 0).all()
    np.testing.assert_array_equal(
        data[healthy.brain_mask], healthy.images["flair"][healthy.brain_mask] + 5
    )
    a, b = (
        np.asarray(nib.load(out / f"tumour/{n}_tumour/{n}_tumour_seg.nii.gz").dataobj) for n in "ab"
    )
    assert a.any()
    assert b.any()
    assert (a != b).any()


def test_no_usable_case_is_an_error(tmp_path: Path) -> None:
    def load_brain(case: Case) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        raise InputError(f"{case.name}: nothing there")

    with pytest.raises(InputError, match="x: nothing there"):
        write_inserted_cohort(
            tmp_path,
            [Case("x", "x", {})],
            ["t1"],
            n_healthy=1,
            n_tumour=0,
            load_brain=load_brain,
            progress=False,
        )


@pytest.mark.slow
def test_a_full_size_case_has_the_shape_of_brats() -> None:
    case = make_phantom(np.random.default_rng(0), MODALITIES, tumour=True)
    assert case.label.shape == (240, 240, 155)
    counted = (case.label > 0).sum() / 1000
    assert case.facts["tumour"]["volume_ml"] == pytest.approx(counted, abs=0.01)
    assert not case.label[~case.brain_mask].any()
