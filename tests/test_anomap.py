"""The package that users import: arrays in, arrays out; noises and methods of their own."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from brains import brain_with_lesion, centred_affine
from torch import Tensor

import anomap
import pipeline
from pipeline.cases.grid import Grid
from pipeline.cases.loop import QUIET
from pipeline.detection.methods.choice import select_methods
from pipeline.detection.methods.table import METHODS, RAW_METHODS
from pipeline.diffusion.scheduler import SimplexDDPMScheduler
from pipeline.noise.noises import NOISES
from pipeline.run.presets import preset_config
from pipeline.run.settings import override

AFFINE, SHAPE = centred_affine(np.diag([-4.0, -4.0, 5.0]))


def brain() -> np.ndarray:
    return brain_with_lesion(SHAPE, AFFINE).astype(np.float32)


@pytest.mark.parametrize("name", anomap.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(anomap, name)
    assert name in dir(anomap)
    assert isinstance(value, str) or inspect.getdoc(value)


def test_the_public_names_are_those_of_the_package_and_its_own() -> None:
    own = {"Detection", "detect_files", "methods", "noise"}
    assert set(anomap.__all__) == {*pipeline.__all__, *own}


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, anomap; print({'torch', 'monai', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"


def test_arrays_give_what_files_give(made_run: Path, tmp_path: Path) -> None:
    options = anomap.DetectOptions(model=made_run)
    found = anomap.detect(brain(), AFFINE, modality="flair", options=options, device="cpu")
    path = tmp_path / "a_flair.nii.gz"
    nib.save(nib.Nifti1Image(brain(), AFFINE), path)
    anomap.detect_files(path, tmp_path / "out", options=options, execution=QUIET)
    expected = nib.load(tmp_path / "out" / "a" / "anomaly.nii.gz")
    np.testing.assert_array_equal(found.anomaly_map, expected.get_fdata(dtype=np.float32))
    assert found.anomaly_map.shape == SHAPE
    assert found.mask is not None
    assert found.mask.any()
    assert found.findings.total_ml == pytest.approx(found.mask.sum() * 80 / 1000, rel=1e-3)
    assert found.score == found.result.score
    assert set(found.pseudo_healthy) == {"flair"}
    assert not found.anomaly_map[~found.brain].any()


def test_a_mask_may_be_given_and_a_mapping_too(made_run: Path) -> None:
    options = anomap.DetectOptions(model=made_run)
    half = (brain() > 0) & (np.arange(SHAPE[1]) > 4)[None, :, None]
    image = (brain() * 3).astype(np.int64)
    found = anomap.detect({"flair": image}, AFFINE, brain_mask=half, options=options)
    assert not found.brain[~half].any()


@pytest.mark.parametrize(
    ("image", "affine", "named", "said"),
    [
        ("scan.nii.gz", np.eye(4), {"modality": "flair"}, "detect_files"),
        (np.zeros((4, 4)), np.eye(4), {"modality": "flair"}, r"expected \(X, Y, Z\)"),
        (np.zeros((4, 4, 4)), np.eye(4), {}, "say modality="),
        ({"flair": np.zeros((4, 4, 4))}, np.eye(4), {"modality": "flair"}, "say modality="),
        (np.ones((4, 4, 4)), np.eye(3), {"modality": "flair"}, r"affine \(3, 3\)"),
        (np.ones((4, 4, 4)), np.diag([1, 1, 0, 1]), {"modality": "flair"}, "singular"),
        (
            np.full((9, 9, 9), np.nan),
            np.eye(4),
            {"modality": "flair"},
            "^flair: 729 voxels",
        ),
        (np.full((4, 4, 4), "a"), np.eye(4), {"modality": "flair"}, "numbers"),
        ({"flair": np.ones((4, 4, 4)), "t1": np.ones((4, 4, 5))}, np.eye(4), {}, "one grid"),
        (np.ones((40, 40, 40)), np.eye(4), {"modality": "swi"}, "weights come with anomap"),
        (np.zeros((40, 40, 40)), np.eye(4), {"modality": "flair"}, "every voxel is 0"),
    ],
)
def test_what_is_no_scan_is_said_in_a_line(
    image: object, affine: np.ndarray, named: dict[str, str], said: str
) -> None:
    with pytest.raises(anomap.InputError, match=said):
        anomap.detect(image, affine, **named)  # type: ignore[arg-type]


# --- noises and methods of one's own --------------------------------------------------------------


@dataclass(frozen=True)
class Stripes(anomap.noise.Noise):
    """Waves along the columns."""

    waves: int = 3

    def draw(self, n_fields: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
        shift = torch.rand(n_fields, 1, 1, generator=generator) * 6.28
        x = torch.arange(like.shape[-1]) * self.waves * 6.28 / like.shape[-1]
        return torch.sin(x + shift).expand(n_fields, *like.shape[-2:])


@pytest.fixture
def noises() -> Iterator[None]:
    """What a test adds to the noises is taken out again."""
    before = dict(NOISES)
    yield
    NOISES.clear()
    NOISES.update(before)


@pytest.fixture
def stripes(noises: None) -> str:
    anomap.noise.register("stripes", Stripes)
    return "stripes"


def test_a_noise_of_ones_own_is_one_of_the_noises(stripes: str) -> None:
    values = {"diffusion.noise": stripes, "diffusion.noise_parameters": {"waves": 5}}
    config = override(preset_config("tiny", ("flair",)), values)
    noise = anomap.noise.make_noise(config.diffusion.noise, **config.diffusion.noise_parameters)
    fields = noise.seeded(torch.zeros(2, 1, 16, 16), [1, 2])
    assert fields.std(dim=(-2, -1), unbiased=False).sub(1).abs().max() < 1e-4
    assert SimplexDDPMScheduler(noise=noise).noise is noise
    with pytest.raises(anomap.InputError, match="stripes takes numbers for waves"):
        override(config, {"diffusion.noise_parameters": {"octaves": 2}})


def test_what_is_no_noise_is_refused_at_once(stripes: str) -> None:
    with pytest.raises(TypeError, match="expected a Noise"):
        SimplexDDPMScheduler(noise=lambda like: torch.randn_like(like))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="derives from Noise"):
        anomap.noise.register("white", torch.randn)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="already"):
        anomap.noise.register("simplex", Stripes)
    with pytest.raises(ValueError, match="letters"):
        anomap.noise.register("../x", Stripes)


def darkness(slices: Tensor, brain: Tensor, grid: Grid) -> Tensor:
    """How dark a voxel is."""
    return (1 - slices[:, :1]) / 2


def test_a_method_of_ones_own_stands_beside_the_others() -> None:
    anomap.methods.register("darkness", darkness)
    anomap.methods.register("darkness", darkness)  # again: the same
    assert METHODS["darkness"].summary == "How dark a voxel is."
    assert "darkness_raw" in RAW_METHODS
    assert select_methods("darkness,intensity") == ["darkness", "intensity"]
    assert "darkness" not in select_methods(None)
    with pytest.raises(anomap.InputError, match="already"):
        anomap.methods.register("intensity", darkness)


PACKAGE = """
from dataclasses import dataclass
import torch
from anomap.noise import Noise

def brightness(slices, brain, grid):
    return (slices[:, :1] + 1) / 2

@dataclass(frozen=True)
class Flat(Noise):
    def draw(self, n_fields, like, generator):
        return torch.rand(n_fields, *like.shape[-2:], generator=generator)
"""


def test_an_installed_package_adds_methods_and_noises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noises: None
) -> None:
    (tmp_path / "other_lab.py").write_text(PACKAGE)
    about = tmp_path / "other_lab-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other-lab\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[anomap.methods]\nbrightness = other_lab:brightness\nbroken = other_lab:nothing\n"
        "[anomap.noises]\nflat = other_lab:Flat\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = override(preset_config("tiny", ("flair",)), {"diffusion.noise": "flat"})
    assert config.diffusion.noise == "flat"
    assert "flat" in NOISES
    assert select_methods("brightness,brightness_raw") == ["brightness", "brightness_raw"]
    assert select_methods("other_lab:brightness") == ["brightness"]
    with pytest.raises(anomap.InputError, match=r"broken = other_lab:nothing cannot be loaded"):
        select_methods("broken")
    with pytest.raises(anomap.InputError, match=r"other_lab:missing: cannot be loaded"):
        select_methods("other_lab:missing")
    with pytest.raises(anomap.InputError, match=r"there are anomap, .*brightness"):
        select_methods("nonsense")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda slices, brain, grid: slices[:, :, :-1], "expected a map"),
        (lambda slices, brain, grid: slices - 5, "below 0"),
        (lambda slices, brain, grid: slices / 0, "not a number"),
        (lambda slices, brain, grid: 1 / 0, "failed, ZeroDivisionError: division by zero"),
    ],
)
def test_a_map_that_is_none_fails_its_case_alone(
    made: object, said: str, made_run: Path, tmp_path: Path
) -> None:
    name = f"odd_{abs(hash(said))}"
    anomap.methods.register(name, made)  # type: ignore[arg-type]
    path = tmp_path / "data" / "a"
    path.mkdir(parents=True)
    nib.save(nib.Nifti1Image(brain(), AFFINE), path / "a_flair.nii.gz")
    lesion = (brain() > 900).astype(np.uint8)
    nib.save(nib.Nifti1Image(lesion, AFFINE), path / "a_seg.nii.gz")
    options = anomap.BenchmarkOptions(models=(made_run,), methods=[name])
    selection = anomap.Selection(modalities=("flair",))
    try:
        found = anomap.benchmark(
            tmp_path / "data", tmp_path / "out", options=options, selection=selection,
            execution=replace(QUIET),
        )  # fmt: skip
        assert any(said in reason for reason in found.failed.values())
    except anomap.InputError as error:
        assert said in str(error) or "no case" in str(error)  # noqa: PT017
