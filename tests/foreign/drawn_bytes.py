"""Damage to bytes, and how they are packed: drawn from a random source, like all of this folder.

Everything is made by functions of a `random.Random`, so that a seed is an input, and Hypothesis,
which has such a source of its own, makes inputs small.
"""

from __future__ import annotations

import functools
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

T = TypeVar("T")

ODD_NUMBERS: tuple[float, ...] = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 1e-7, 1e-30, 1e-45, 1e30, 3.4e38, 1e300, -1e300),
    *(float("nan"), float("inf"), float("-inf"), 1.0000004, 2.0**31, 2.0**53),
)
ODD_INTEGERS = (
    *(0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 256, 300, 512, 1000, 4096, 32767, -32768, 65535),
    *(2**31 - 1, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63)),
)


@dataclass(frozen=True)
class Stored:
    """A file that is not on a disk yet.

    Attributes:
        name: of the file.
        content: its bytes.
        unpacked: number of bytes that it really holds, where it is compressed.
    """

    name: str
    content: bytes
    unpacked: int


def chance(rng: Random, probability: float) -> bool:
    """True so often."""
    return rng.random() < probability


def one_of(rng: Random, *makers: Callable[[Random], T]) -> T:
    """What one of the makers draws."""
    return rng.choice(makers)(rng)


def noise_bytes(rng: Random, n: int) -> bytes:
    """Bytes of any value; few draws, however many they are."""
    return Random(rng.getrandbits(32)).randbytes(n)


def damaged(rng: Random, content: bytes) -> bytes:
    """Bytes with one to three faults of copying: never the same bytes."""
    result = content
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        result = one_of(rng, *_DAMAGE)(result)
    return result if result != content else content[:-1] if content else b"\0"


def _flipped(rng: Random) -> Callable[[bytes], bytes]:
    where, bit = rng.random(), rng.randrange(8)
    # Half of all lie in the first bytes, where headers are.
    near = chance(rng, 0.5)

    def flip(content: bytes) -> bytes:
        if not content:
            return content
        at = int(where * (min(len(content), 400) if near else len(content)))
        return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]

    return flip


def _cut(rng: Random) -> Callable[[bytes], bytes]:
    where = rng.choice((0.0, 0.01, 0.5, 0.99, rng.random()))
    return lambda content: content[: int(where * len(content))]


def _spliced(rng: Random) -> Callable[[bytes], bytes]:
    a, b, c = rng.random(), rng.random(), rng.random()

    def splice(content: bytes) -> bytes:
        i, j = sorted((int(a * len(content)), int(b * len(content))))
        at = int(c * len(content))
        return content[:at] + content[i : min(j, i + 4096)] + content[at:]

    return splice


def _left_out(rng: Random) -> Callable[[bytes], bytes]:
    where, n = rng.random(), rng.choice((1, 2, 16, 512))
    return lambda content: (
        content[: int(where * len(content))] + content[int(where * len(content)) + n :]
    )


def _overwritten(rng: Random) -> Callable[[bytes], bytes]:
    where = rng.random()
    with_what = rng.choice((b"\0", b"\xff")) * rng.choice((1, 4, 64, 512))
    if chance(rng, 0.5):
        with_what = noise_bytes(rng, len(with_what))

    def overwrite(content: bytes) -> bytes:
        at = int(where * len(content))
        return content[:at] + with_what[: len(content) - at] + content[at + len(with_what) :]

    return overwrite


def _longer(rng: Random) -> Callable[[bytes], bytes]:
    more = noise_bytes(rng, rng.choice((1, 8, 100)))
    return lambda content: content + more


_DAMAGE = (_flipped, _flipped, _flipped, _cut, _spliced, _left_out, _overwritten, _longer)


def gzipped(rng: Random, content: bytes) -> bytes:
    """As gzip writes it: of any level, in one or several members, with a name or none."""
    level = rng.choice((0, 1, 6, 9))
    if chance(rng, 0.1) and len(content) > 1:
        half = len(content) // 2
        return gzip.compress(content[:half], level, mtime=0) + gzip.compress(content[half:], level)
    packed = gzip.compress(content, level, mtime=rng.choice((0, 1_700_000_000)))
    if chance(rng, 0.1):  # with the name of the file
        packed = packed[:3] + b"\x08" + packed[4:10] + b"x.nii\0" + packed[10:]
    return packed


def bomb(rng: Random, head: bytes) -> bytes:
    """Gzip of a head and of many more zeros: a thousandth of their size."""
    return gzip.compress(head) + _zeros(rng.choice((1 << 24, 1 << 27)))


@functools.cache
def _zeros(n_bytes: int) -> bytes:
    return gzip.compress(bytes(n_bytes), 1)
