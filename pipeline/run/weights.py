"""``model.pt``: the weights of a network, read without running anything that the file holds."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.files.limits import MAX_WEIGHTS_SHARE, MIB
from pipeline.files.texts import brief, quoted

_HARMLESS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int")),
    *(f"torch {kind}Storage" for kind in ("Short", "Char", "Byte", "Bool")),
}
"""All that the pickle of a state names: tensors and the tables that hold them."""


TORN = "copy it again, or `anomap train ... --resume` makes it anew"


def load_weights(path: Path, network: nn.Module) -> None:
    """Give a network the weights of a file.

    Raises:
        InputError: they are not those of such a network, or the file holds code.
    """
    of_network = sum(v.numel() * v.element_size() for v in network.state_dict().values())
    state = read_state(path, max_bytes=MAX_WEIGHTS_SHARE * of_network + MIB, else_do=TORN)
    try:
        network.load_state_dict(state)
    except Exception as error:  # torch raises many kinds on what is something else
        raise InputError(
            f"{path}: not the weights of this configuration ({brief(error)})"
        ) from error


def read_state(
    path: Path, device: torch.device | str = "cpu", *, max_bytes: int, else_do: str
) -> Any:
    """What `torch.save` wrote, as long as it is tensors and plain values; nothing of it is run.

    Args:
        max_bytes: that it may take unpacked.
        else_do: what to do where the file is torn or something else, for the message.

    Raises:
        InputError: the file holds code, is too large, or cannot be read.
    """
    try:
        _check_content(path, max_bytes)
        return torch.load(path, map_location=device, weights_only=True)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # torch, zip and pickle raise many kinds on a torn or foreign file
        # PyTorch's own message would advise to run the code.
        told = "weights_only" in str(error)
        reason = "no table of tensors" if told else brief(error) or type(error).__name__
        raise InputError(f"{path}: not a file of PyTorch, or torn ({reason}); {else_do}") from error


def _check_content(path: Path, max_bytes: int) -> None:
    """See that a file of `torch.save` holds tensors alone, and is small enough unpacked."""
    with zipfile.ZipFile(path) as archive:
        total = sum(info.file_size for info in archive.infolist())
        if total > max_bytes:
            raise InputError(f"{path}: {total:,} bytes unpacked, expected {max_bytes:,} at most")
        foreign = _foreign(archive)
    if foreign is not None:
        raise InputError(
            f"{path}: holds code ({foreign}), refused; expected tensors alone: take a file that "
            "you trust, or train again"
        )


def _foreign(archive: zipfile.ZipFile) -> str | None:
    """What makes a file more than a table of tensors; None where nothing does."""
    names = archive.namelist()
    if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
        return "a TorchScript program"
    (pickle,) = (name for name in names if name.endswith("/data.pkl"))
    foreign = sorted(set(_names(archive.read(pickle))) - _HARMLESS)
    return quoted(foreign[0]) if foreign else None


def _names(pickle: bytes) -> Iterable[str]:
    """What a pickle would import, module and name; nothing of it is run."""
    for operation, argument, _ in pickletools.genops(pickle):
        if operation.name == "GLOBAL":
            yield str(argument)
        elif operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            yield operation.name
