"""
Azure Functions 2021: each invocation of two weeks, by when it ended and how long it took.

``app,func,end_timestamp,duration``, in s. From "Faster and Cheaper Serverless Computing on
Harvested Resources" (Zhang et al., SOSP 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streambox.workload.traces.arrivals import Calls
from streambox.workload.traces.numbers import SECONDS, whole_ns
from streambox.workload.traces.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.workload.traces.base import TraceOptions


class AzureFunctions2021(Table):
    """An invocation arrived when it ended less how long it took; rows are in order of their ends."""

    name = "azure-functions-2021"
    title = "Azure Functions 2021, one row per invocation"
    columns = (b"app", b"func", b"end_timestamp", b"duration")

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        super().__init__(head, options, random)
        self.arrivals = self._calls = Calls(options, random)

    def take(self, cells: tuple[bytes, ...]) -> None:
        app, function, end, duration = cells
        arrival_ns = whole_ns(end, SECONDS, "end_timestamp") - whole_ns(duration, SECONDS, "duration")
        self._calls.add(arrival_ns, b"%b/%b" % (app, function))
