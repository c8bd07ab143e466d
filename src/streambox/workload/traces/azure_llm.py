"""
Azure LLM inference 2023 and 2024: when requests came, and how many tokens they had.

``TIMESTAMP,ContextTokens,GeneratedTokens``. From "Splitwise" (Patel et al., ISCA 2024) and
"DynamoLLM" (Stojkovic et al., HPCA 2025).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streambox.workload.traces.arrivals import Calls
from streambox.workload.traces.numbers import date_time, date_time_ns
from streambox.workload.traces.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.workload.traces.base import TraceOptions


class AzureLlm(Table):
    """Dates have seven digits behind the point, six or none, and an offset in 2024."""

    name = "azure-llm"
    title = "Azure LLM inference 2023 and 2024, one row per request"
    columns = (b"timestamp", b"contexttokens", b"generatedtokens")

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        super().__init__(head, options, random)
        self.arrivals = self._calls = Calls(options, random)

    def take(self, cells: tuple[bytes, ...]) -> None:
        self._calls.add(date_time_ns(cells[0]))

    def moment(self, ns: int) -> str:
        return date_time(ns)
