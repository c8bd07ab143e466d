"""Who sends what, where several workers share one schedule."""

from __future__ import annotations

from typing import Final

import msgspec


class Share(msgspec.Struct, frozen=True):
    """
    One of *of* equal shares of a schedule: requests *number*, *number* + *of*, *number* + 2 *of*, …

    Of any k requests that follow each other every share has k / *of*, rounded up or down, so
    that a burst of whatever length is spread evenly. Blocks, or a draw, would not do that.
    """

    number: int = 0
    of: int = 1

    def index(self, position: int) -> int:
        """Of this share's request *position*, counted from 0, in the whole schedule."""
        return self.number + position * self.of

    def part_of(self, total: int) -> int:
        """How many of *total* things are this share's: connections, callers, requests."""
        return (total - self.number + self.of - 1) // self.of

    def rows(self, first: int, last: int) -> slice:
        """The indices of this share's requests from its *first*-th up to, without, its *last*-th."""
        return slice(self.index(first), self.index(last), self.of)


WHOLE: Final = Share()
