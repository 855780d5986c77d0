"""Every preset of the network, built without its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.diffusion.network import NETWORKS, build_network, slice_multiple


def on_meta(name: str, n_channels: int, *size: int) -> torch.Size:
    """Shape of the answer; the meta device computes shapes, not values."""
    with torch.device("meta"):
        network = build_network(name, n_channels).eval()
        images = torch.empty(2, n_channels, *size)
        return network(images, torch.zeros(2, dtype=torch.long)).shape


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_preset_answers_in_the_shape_of_its_input(name: str, n_channels: int) -> None:
    multiple = slice_multiple(name)
    size = (2 * multiple, 3 * multiple)
    assert on_meta(name, n_channels, *size) == (2, n_channels, *size)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_slice_that_is_no_multiple_does_not_fit(name: str) -> None:
    size = 2 * slice_multiple(name) + slice_multiple(name) // 2
    with pytest.raises(RuntimeError):
        on_meta(name, 1, size, size)


def test_the_answer_depends_on_image_and_timestep() -> None:
    torch.manual_seed(0)
    network = build_network("tiny").eval()
    # MONAI starts the last layer of each block at zero; a trained network has none of these.
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(2, 1, 16, 16)
    with torch.inference_mode():
        early, late = (network(x, torch.tensor([t, t])) for t in (10, 900))
    assert early.shape == x.shape
    assert torch.isfinite(early).all()
    assert not torch.allclose(early, late)
    assert not torch.allclose(early[0], early[1])


def test_the_tiny_preset_has_the_size_it_claims() -> None:
    with torch.device("meta"):
        n_parameters = sum(p.numel() for p in build_network("tiny").parameters())
    assert 1.7e6 < n_parameters < 1.9e6


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"giant.*tiny, small, base, paper"):
        build_network("giant")


def trained_like() -> torch.nn.Module:
    torch.manual_seed(0)
    network = build_network("tiny").eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def test_without_timesteps_they_are_zero() -> None:
    network, images = trained_like(), torch.randn(3, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(network(images), network(images, torch.zeros(3, dtype=torch.long)))


@pytest.mark.slow
def test_exported_networks_answer_as_the_eager_one_at_another_batch_size(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = trained_like()
    example = (torch.zeros(2, 1, 32, 32), torch.tensor([100, 200]))
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(network, example, dynamic_shapes=(batch, batch))
    images, timesteps = torch.randn(5, 1, 32, 32), torch.tensor([0, 10, 300, 500, 999])
    with torch.inference_mode():
        expected = network(images, timesteps)
        torch.testing.assert_close(program.module()(images, timesteps), expected, atol=1e-4, rtol=0)
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        network, example, path, dynamic_shapes=(batch, batch), dynamo=True, verbose=False
    )
    session = onnxruntime.InferenceSession(path)
    names = [given.name for given in session.get_inputs()]
    answer = session.run(None, dict(zip(names, (images.numpy(), timesteps.numpy()), strict=True)))[
        0
    ]
    assert abs(answer - expected.numpy()).max() < 1e-4
    assert expected.abs().max() > 0.1
