"""The network that tells brain from head: a small 3-D U-Net on blocks of 2 x 2 x 2 voxels."""

from __future__ import annotations

from torch import Tensor

from pipeline.diffusion.small_unet import SmallUNet

BLOCK = 2
WIDTHS = (16, 32, 48, 64)


class HeadNetwork(SmallUNet):
    """Image ``(N, 1, X, Y, Z)`` in [0, 1] to the logit of brain, the same shape.

    Blocks of voxels are channels inside: a step costs an eighth, and the answer is as fine as the
    image. The sides of the image are multiples of 16.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__(BLOCK**3, BLOCK**3, widths, dims=3)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of brain ``(N, 1, X, Y, Z)`` for an image of that shape."""
        return out_of_blocks(super().forward(into_blocks(image)))


def into_blocks(image: Tensor) -> Tensor:
    """Voxels to blocks of them.

    Args:
        image: ``(N, 1, X, Y, Z)``, even sides.

    Returns:
        ``(N, 8, X/2, Y/2, Z/2)``.
    """
    n, _, *sides = image.shape
    x, y, z = (side // BLOCK for side in sides)
    blocks = image.reshape(n, x, BLOCK, y, BLOCK, z, BLOCK)
    return blocks.permute(0, 2, 4, 6, 1, 3, 5).reshape(n, BLOCK**3, x, y, z)


def out_of_blocks(values: Tensor) -> Tensor:
    """The contrary of `into_blocks`.

    Args:
        values: ``(N, 8, X, Y, Z)``.

    Returns:
        ``(N, 1, 2 X, 2 Y, 2 Z)``.
    """
    n, _, x, y, z = values.shape
    blocks = values.reshape(n, BLOCK, BLOCK, BLOCK, x, y, z).permute(0, 4, 1, 5, 2, 6, 3)
    return blocks.reshape(n, 1, x * BLOCK, y * BLOCK, z * BLOCK)
