"""The order of all samples as a pure function of (seed, epoch, index): nothing is stored, any position costs the same.

Each epoch is a permutation of the samples, made by a balanced Feistel network (Luby and Rackoff 1988) with cycle
walking (Black and Rogaway 2002): the network permutes the smallest 2**(2k) >= n numbers, and a result outside [0, n) is
fed in again until it falls inside. That takes fewer than 4 passes on average, because 2**(2k) < 4n (n > 1).

The round function is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, constants of Stafford's variant 13) over
half ^ round key: a few integer operations, every input bit reaches every output bit, and the same on every machine and
in every version of Python. The round keys are SHAKE-256 of seed and epoch. Four rounds suffice for large halves; eight
are used because the halves of small datasets have few bits. It shuffles; it is not encryption.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

_ROUNDS = 8
_MASK = (1 << 64) - 1


class Order(Protocol):
    """An endless sequence of samples that can be entered anywhere."""

    @property
    def seed(self) -> int: ...

    @property
    def num_samples(self) -> int: ...

    def at(self, index: int) -> tuple[int, int]:
        """(epoch, sample) at global position `index` >= 0."""
        ...

    def index_of(self, epoch: int, sample: int) -> int:
        """The one global position at which `epoch` visits `sample`: the inverse of `at`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleOrder:
    """The endless order over `num_samples` samples that `seed` decides; another one for each `stream`."""

    seed: int
    num_samples: int
    stream: str = ""

    def __post_init__(self) -> None:
        assert self.num_samples >= 1

    def at(self, index: int) -> tuple[int, int]:
        """(epoch, sample) at global position `index` >= 0."""
        epoch, position = divmod(index, self.num_samples)
        keys = _round_keys(self.seed, epoch, self.stream)
        half = self._half_bits()
        sample = _forward(position, half, keys)
        while sample >= self.num_samples:
            sample = _forward(sample, half, keys)
        return epoch, sample

    def index_of(self, epoch: int, sample: int) -> int:
        """The one global position at which `epoch` visits `sample`: the inverse of `at`."""
        keys = _round_keys(self.seed, epoch, self.stream)
        half = self._half_bits()
        position = _backward(sample, half, keys)
        while position >= self.num_samples:
            position = _backward(position, half, keys)
        return epoch * self.num_samples + position

    def _half_bits(self) -> int:
        return max(1, ((self.num_samples - 1).bit_length() + 1) // 2)


@lru_cache(maxsize=64)
def _round_keys(seed: int, epoch: int, stream: str) -> tuple[int, ...]:
    content = f"paceline.order.v1 {seed} {epoch} {stream}".rstrip().encode()
    return struct.unpack(f"<{_ROUNDS}Q", hashlib.shake_256(content).digest(8 * _ROUNDS))


def _forward(value: int, half: int, keys: tuple[int, ...]) -> int:
    low = (1 << half) - 1
    left, right = value >> half, value & low
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & low)
    return left << half | right


def _backward(value: int, half: int, keys: tuple[int, ...]) -> int:
    low = (1 << half) - 1
    left, right = value >> half, value & low
    for key in reversed(keys):
        left, right = right ^ (_mix(left ^ key) & low), left
    return left << half | right


def _mix(x: int) -> int:
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK
    return x ^ x >> 31
