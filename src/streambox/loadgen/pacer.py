"""
When to send: a pure function of the schedule and the time that has passed.

The schedule is absolute. A late request is sent at once, and the next ones keep their
own instants: nothing slips, nothing is re-anchored.

    intended   |   |  |       |  |||      |
    elapsed    ---------^ now: send the three that are due, wait for the fourth
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streambox.loadgen.share import WHOLE, Share

if TYPE_CHECKING:
    import numpy as np

NEVER_NS: Final = 1 << 62


class Pacer:
    """
    Walks a *share* of a schedule of *intended_ns*, sorted.

    ``next_ns`` is the instant of request ``index``, ``NEVER_NS`` when all have been taken.
    The schedule is read one entry at a time, where it lies.
    """

    __slots__ = ("_end", "_intended", "_step", "index", "next_ns")

    def __init__(self, intended_ns: np.ndarray[Any, np.dtype[np.int64]], share: Share = WHOLE) -> None:
        self._intended = intended_ns.data
        self._end = len(intended_ns)
        self._step = share.of
        self.index = share.number
        self.next_ns = NEVER_NS
        self._look()

    def due(self, elapsed_ns: int) -> bool:
        """Whether request ``index`` is to be sent now."""
        return self.next_ns <= elapsed_ns

    def take(self) -> int:
        """The index of the request that is due; moves on to the next. Call only when ``due``."""
        index = self.index
        self.index += self._step
        self._look()
        return index

    def stop(self) -> None:
        """Nothing more is due."""
        self._end, self.next_ns = 0, NEVER_NS

    def _look(self) -> None:
        self.next_ns = self._intended[self.index] if self.index < self._end else NEVER_NS
