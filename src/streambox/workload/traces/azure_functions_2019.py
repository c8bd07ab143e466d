"""
Azure Functions 2019: how often each function ran in each minute of a day.

``HashOwner,HashApp,HashFunction,Trigger,1,…,1440``, a row per function and trigger. From
"Serverless in the Wild" (Shahrad et al., USENIX ATC 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.workload.counts import MOST_PER_UNIT
from streambox.workload.traces.arrivals import Counts
from streambox.workload.traces.base import BadRow
from streambox.workload.traces.numbers import whole_count
from streambox.workload.traces.table import Table, names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.workload.events import Int64s
    from streambox.workload.traces.base import TraceOptions

_MINUTE_NS: Final = 60_000_000_000
_WANTED: Final = "and not when: give the invocations_per_function file of that day"
_COMPANIONS: Final = {
    (b"hashfunction", b"average", b"minimum", b"maximum"): (
        f"how long functions ran, {_WANTED}, and this one to `workload import --durations`"
    ),
    (b"hashapp", b"samplecount", b"averageallocatedmb"): f"how much memory applications took, {_WANTED}",
}


class AzureFunctions2019(Table):
    name = "azure-functions-2019"
    title = "Azure Functions 2019, invocations per minute"
    columns = (b"hashowner", b"hashapp", b"hashfunction", b"trigger", b"1")
    has_durations = True

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        super().__init__(head, options, random)
        minutes = len(self.names) - 4
        if self.names != [*self.columns[:4], *(b"%d" % (1 + minute) for minute in range(minutes))]:
            raise BadRow("its columns are not HashOwner, HashApp, HashFunction, Trigger, 1, 2, …")
        self.arrivals = self._counts = Counts(_MINUTE_NS, options, random)
        self._starts_ns = np.arange(minutes) * _MINUTE_NS
        self._counts.end_ns = minutes * _MINUTE_NS

    def row(self, line: bytes) -> None:
        cells = self.cells(line)
        counts = _counts(cells[4:])
        function = np.full(len(counts), self._counts.number(b"/".join(cells[:3])), np.int32)
        self._counts.add(self._starts_ns, counts, function)


def _counts(cells: list[bytes]) -> Int64s:
    if b"".join(cells).isdigit() and all(cells) and len(max(cells, key=len)) <= 12:
        return np.array(list(map(int, cells)), np.int64)
    counts = [whole_count(cell, f"minute {n}", MOST_PER_UNIT) for n, cell in enumerate(cells, start=1)]
    return np.array(counts, np.int64)


def companion(header: bytes) -> str | None:
    """
    What a file that is published beside this one tells in place of arrivals, and what to give instead.

    None: it is no such file.
    """
    names = set(names_of(header))
    found = [what for columns, what in _COMPANIONS.items() if names.issuperset(columns)]
    return found[0] if found else None
