"""Where a search may begin: rates that double, one segment each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.loadgen.find_max import HOPELESS

if TYPE_CHECKING:
    from streambox.loadgen.find_max import Segment

_IN_A_ROW: Final = 2


class Climb:
    """
    ``while (rate := climb.rate_per_s) is not None: climb.add(segment at that rate)``.

    Rates double from *start_per_s* until two in a row miss the objective hopelessly, by a share of
    HOPELESS or more. A machine that is disturbed for a while misses it by a little at whatever rate
    is being tried: a search that took that for a limit would look for the true one far below it.

    ``reached_per_s`` is the highest rate that has held, *start_per_s* as long as none has.
    """

    def __init__(self, allowed: float, *, start_per_s: float, highest_per_s: float) -> None:
        self._allowed = allowed
        self._highest = highest_per_s
        self._hopeless = 0
        self.rate_per_s: float | None = min(start_per_s, highest_per_s)
        self.reached_per_s = self.rate_per_s

    def add(self, segment: Segment) -> None:
        """The outcome of the segment at ``rate_per_s``."""
        rate = self.rate_per_s
        assert rate is not None, "the climb is over"  # noqa: S101
        share = segment.missed[0] / max(1, segment.offered)
        if share <= self._allowed:
            self.reached_per_s = rate
        self._hopeless = self._hopeless + 1 if share >= HOPELESS else 0
        over = self._hopeless == _IN_A_ROW or rate >= self._highest
        self.rate_per_s = None if over else min(2 * rate, self._highest)
