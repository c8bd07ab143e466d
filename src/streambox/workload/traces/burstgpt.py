"""
BurstGPT: requests to GPT-3.5 and GPT-4 at a university, by the second.

``Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type``; version 3 has
``Session ID,Elapsed time`` behind the timestamp. From "BurstGPT" (Wang et al., 2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.workload.traces.arrivals import Calls
from streambox.workload.traces.numbers import SECONDS, whole_count, whole_ns
from streambox.workload.traces.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.workload.traces.base import TraceOptions

_MOST_TOKENS: Final = 10**12


class BurstGpt(Table):
    """A response of no token is a request that failed. The function called is the model."""

    name = "burstgpt"
    title = "BurstGPT, one row per request"
    columns = (b"timestamp", b"model", b"response tokens", b"log type")
    takes = frozenset({"failures"})

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        super().__init__(head, options, random)
        self.arrivals = self._calls = Calls(options, random)
        self._dropping = options.failures == "drop"
        self._failed = 0

    def take(self, cells: tuple[bytes, ...]) -> None:
        timestamp, model, tokens, _ = cells
        instant_ns = whole_ns(timestamp, SECONDS, "Timestamp")
        if not whole_count(tokens, "Response tokens", _MOST_TOKENS):
            self._failed += 1
            if self._dropping:
                return
        self._calls.add(instant_ns, model)

    def notes(self) -> list[str]:
        if not self._failed:
            return []
        fate = "dropped" if self._dropping else "kept, as they came all the same"
        return [f"failed requests (no response token): {self._failed:,}, {fate}"]
