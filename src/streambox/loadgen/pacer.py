"""
When to send: a pure function of the schedule and the time that has passed.

The schedule is absolute. A late request is sent at once, and the next ones keep their
own instants: nothing slips, nothing is re-anchored.

    intended   |   |  |       |  |||      |
    elapsed    ---------^ now: send the three that are due, wait for the fourth
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

_CHUNK: Final = 65_536


class Pacer:
    """
    Walks a schedule of *intended_ns*, sorted, in chunks of plain integers.

    ``next_ns`` is the instant of request ``index``, None when all have been taken.
    """

    __slots__ = ("_chunk", "_intended", "_offset", "index", "next_ns")

    def __init__(self, intended_ns: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        self._intended = intended_ns
        self._offset = 0
        self._chunk: list[int] = []
        self.index = 0
        self.next_ns: int | None = None
        self._look()

    def due(self, elapsed_ns: int) -> bool:
        """Whether request ``index`` is to be sent now."""
        return self.next_ns is not None and self.next_ns <= elapsed_ns

    def take(self) -> int:
        """The index of the request that is due; moves on to the next. Call only when ``due``."""
        index = self.index
        self.index += 1
        self._look()
        return index

    def stop(self) -> None:
        """Nothing more is due."""
        self.next_ns = None

    def _look(self) -> None:
        position = self.index - self._offset
        if position >= len(self._chunk):
            self._offset, position = self.index, 0
            self._chunk = self._intended[self.index : self.index + _CHUNK].tolist()
        self.next_ns = self._chunk[position] if self._chunk else None
