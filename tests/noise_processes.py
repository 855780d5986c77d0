"""What other processes draw; a spawned one imports it by name, which it cannot do with a test."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from pipeline.noise.noises import Simplex


class Fields(Dataset[Tensor]):
    """A seeded and a drawn field an item, as a data-loader worker would make them."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Tensor:
        generator = torch.Generator().manual_seed(index)
        like = torch.empty(1, 1, 40, 24)
        return torch.cat([Simplex().seeded(like, [index]), Simplex()(like, generator)])


def gather_fields(rank: int, folder: str) -> None:
    """Draw a field on each of two ranks; the first keeps those of both in ``fields.pt``."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    field = Simplex()(torch.empty(1, 1, 24, 24), torch.Generator().manual_seed(rank))
    gathered = [torch.empty_like(field) for _ in range(2)]
    torch.distributed.all_gather(gathered, field)
    if rank == 0:
        torch.save(gathered, f"{folder}/fields.pt")
    torch.distributed.destroy_process_group()
