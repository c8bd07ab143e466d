"""The reference's pattern files: counts per time unit, separated by blanks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.workload.counts import MOST_PER_UNIT, MOST_UNITS
from streambox.workload.traces.arrivals import Counts
from streambox.workload.traces.base import BadRow, TraceFormat
from streambox.workload.traces.numbers import whole_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.workload.traces.base import TraceOptions

_SECOND_NS: Final = 1_000_000_000


class Pattern(TraceFormat):
    """A unit is 1 s unless it is given. Lines follow one another."""

    name = "pattern"
    title = "the reference's pattern files, counts per time unit"
    takes = frozenset({"unit_ns"})

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        self._counts = self.arrivals = Counts(options.unit_ns or _SECOND_NS, options, random)
        self._function = self._counts.number(b"")
        self._units = 0

    @classmethod
    def recognises(cls, head: Sequence[bytes]) -> bool:
        words = head[0].split()
        return len(words) > 1 and b"".join(words).isdigit()

    def row(self, line: bytes) -> None:
        words = line.split()
        if self._units + len(words) > MOST_UNITS:
            raise BadRow(f"there are more than {MOST_UNITS:,} time units")
        counts = [
            whole_count(word, f"count {place}", MOST_PER_UNIT)
            for place, word in enumerate(words, start=self._units + 1)
        ]
        starts_ns = np.arange(self._units, self._units + len(words)) * self._counts.unit_ns
        self._units += len(words)
        self._counts.end_ns = self._units * self._counts.unit_ns
        functions = np.full(len(words), self._function, np.int32)
        self._counts.add(starts_ns, np.array(counts, np.int64), functions)
