"""
Interval files of perf_analyzer: how many µs after the one before a request goes out, one per line.

The first interval is the time from the start to the first request. perf_analyzer begins again at
the end of the file; here the trace ends there.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from streambox.workload.traces.arrivals import Calls
from streambox.workload.traces.base import BadRow, TraceFormat
from streambox.workload.traces.numbers import MICROSECONDS, MOST_NS, whole_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.workload.traces.base import TraceOptions


class Intervals(TraceFormat):
    name = "intervals"
    title = "perf_analyzer's --request-intervals: µs since the request before, one per line"

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        self.arrivals = self._calls = Calls(options, random, from_zero=True)
        self._now_ns = 0
        self._guessed = options.format is None

    @classmethod
    def recognises(cls, head: Sequence[bytes]) -> bool:
        return are_intervals(head)

    def row(self, line: bytes) -> None:
        now_ns = self._now_ns + whole_ns(line, MICROSECONDS, "the interval")
        if now_ns > MOST_NS:
            raise BadRow("it is more than a century after the start")
        self._calls.add(now_ns)
        self._now_ns = now_ns

    def notes(self) -> list[str]:
        other = "--format timestamps or pattern reads it otherwise"
        return [f"a number per line was taken for µs between requests: {other}"] if self._guessed else []


def are_intervals(head: Sequence[bytes]) -> bool:
    """Whole numbers that fall, or are all the same: seconds since some time would do neither."""
    numbers = [int(line) for line in head if line.isdigit() and len(line) <= 18]
    if len(numbers) < 2 or not head[0].isdigit() or any(b"." in line for line in head):
        return False
    return len(set(numbers)) == 1 or any(second < first for first, second in pairwise(numbers))
