"""Weights are read without running what a file holds, and without taking more room than theirs."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.run.weights import load_weights, read_state


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pt"


def test_weights_come_back(path: Path) -> None:
    network, other = nn.Linear(2, 3), nn.Linear(2, 3)
    torch.save(network.state_dict(), path)
    load_weights(path, other)
    assert torch.equal(network.weight, other.weight)


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_not_run_and_named_as_such(path: Path, tmp_path: Path, protocol: int) -> None:
    torch.save({"x": Evil(tmp_path / "made")}, path, pickle_protocol=protocol)
    with pytest.raises(InputError, match=r"model\.pt: holds code \(.*\), refused") as caught:
        load_weights(path, nn.Linear(2, 3))
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_a_pickle_that_asks_for_room_is_refused(path: Path) -> None:
    torch.save({"x": bytearray(8)}, path)
    with pytest.raises(InputError, match="holds code"):
        load_weights(path, nn.Linear(2, 3))


def test_a_program_is_refused(path: Path) -> None:
    torch.jit.script(nn.Linear(2, 3)).save(path)
    with pytest.raises(InputError, match=r"holds code \(a TorchScript program\), refused"):
        load_weights(path, nn.Linear(2, 3))


def test_the_weights_of_another_network_are_refused_in_one_line(path: Path) -> None:
    torch.save(nn.Linear(3, 3).state_dict(), path)
    with pytest.raises(InputError, match=r"not the weights of this configuration") as caught:
        load_weights(path, nn.Linear(2, 3))
    assert str(caught.value).isprintable()


def test_what_unpacks_to_far_more_than_the_network_is_not_unpacked(path: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/9", bytes(20 << 20))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="bytes unpacked, expected"):
        load_weights(path, nn.Linear(2, 3))


# Any state --------------------------------------------------------------------------------------


class Payload:
    """What an attacker puts into a file of weights."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_state(path, max_bytes=1 << 20, else_do="copy it again")
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "weights_only" not in message
    assert len(message) < len(str(path)) + 320
    return message


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path, ran = tmp_path / "model.pt", tmp_path / "ran"
    for zipped, told in ((True, "holds code ("), (False, "not a file of PyTorch")):
        state = {"x": Payload(f"touch {ran}")}
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        assert told in refusal(path)
        assert not ran.exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04", bytes(1000)])
def test_what_is_no_file_of_weights_is_told_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    assert "not a file of PyTorch, or torn" in refusal(path)
    assert refusal(path).endswith("; copy it again")


def test_a_torn_file_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"x": torch.zeros(1000)}, path)
    assert torch.equal(read_state(path, max_bytes=1 << 20, else_do="")["x"], torch.zeros(1000))
    path.write_bytes(path.read_bytes()[:2000])
    assert "not a file of PyTorch, or torn" in refusal(path)
