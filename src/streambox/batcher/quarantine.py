"""Inputs that have failed by themselves more than once, kept out for a while. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.batcher.batch import stack

if TYPE_CHECKING:
    from streambox.batcher.request import PendingRequest
    from streambox.executor.base import ModelSpec

CAPACITY: Final = 1000
_DIGEST_BYTES: Final = 16


def digest(request: PendingRequest, spec: ModelSpec) -> bytes:
    """
    What tells the inputs of *request* from others, by whichever API they came; empty: nothing does.

    A part of a request that no batch can take has a digest of its own, and so fails by itself: an input
    like that part is kept out, a request that has it among others is not, and is cut and tried again.

    Cost: a copy of the payload and a pass over it.
    """
    try:
        tensors = stack([request], spec)
    except (ValueError, TypeError, MemoryError):  # it will never run, so it cannot have failed by running
        return b""
    summed = blake2b(digest_size=_DIGEST_BYTES)
    for name, array in tensors.items():
        summed.update(f"{name} {array.dtype} {array.shape} ".encode())
        summed.update(array.ravel().view(np.uint8).data)
    return summed.digest()


class Quarantine:
    """
    Who is to be kept out, by digest.

    The first offence makes a suspect, which costs nobody anything. The second one within twice
    *hold_ns* is held for *hold_ns* from then on. After that it has one more chance: an offence
    within another *hold_ns* and it is held again. Both tables are bounded: the oldest go first.

    *hold_ns* 0: nobody is ever held.
    """

    __slots__ = ("_capacity", "_held", "_offences", "hold_ns")

    def __init__(self, hold_ns: int, capacity: int = CAPACITY) -> None:
        self.hold_ns = hold_ns
        self._capacity = capacity
        # Both in the order of their values: what is appended is later than all before it.
        self._offences: dict[bytes, int] = {}
        self._held: dict[bytes, int] = {}

    def __len__(self) -> int:
        """How many are held, those included whose time is over and whom nobody has asked about since."""
        return len(self._held)

    def __repr__(self) -> str:
        return f"<Quarantine {len(self._held)} held, {len(self._offences)} remembered>"

    def offend(self, key: bytes, now_ns: int) -> bool:
        """*key* has failed by itself. True: so it had before, and is held now."""
        if not self.hold_ns or not key:
            return False
        _drop_until(self._offences, now_ns - 2 * self.hold_ns)
        repeated = key in self._offences
        self._put(self._offences, key, now_ns)
        if repeated:
            self._put(self._held, key, now_ns + self.hold_ns)
        return repeated

    def left_ns(self, key: bytes, now_ns: int) -> int:
        """How long *key* is still held; 0: it is not. Forgets those whose time is over."""
        _drop_until(self._held, now_ns)
        return self._held.get(key, now_ns) - now_ns

    def _put(self, table: dict[bytes, int], key: bytes, at_ns: int) -> None:
        table.pop(key, None)
        table[key] = at_ns
        if len(table) > self._capacity:
            del table[next(iter(table))]


def _drop_until(table: dict[bytes, int], now_ns: int) -> None:
    """Drop from *table*, which is in the order of its instants, those not after *now_ns*."""
    while table and table[oldest := next(iter(table))] <= now_ns:
        del table[oldest]
