"""
Our own: ``{"t": seconds, "model": name, "tenant": name}`` per line.

``t`` counts from the start of the run. A row that names no model is for the one that the run
is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streambox.workload.schedule import Lane, lane_text
from streambox.workload.traces.arrivals import Calls
from streambox.workload.traces.base import BadRow, TraceFormat
from streambox.workload.traces.json_lines import decoder, has_keys
from streambox.workload.traces.numbers import SECONDS, whole_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.workload.traces.base import TraceOptions


class _Call(msgspec.Struct):
    t: msgspec.Raw
    model: str = ""
    tenant: str = ""


class Jsonl(TraceFormat):
    """The function called is written as ``lane_text`` writes whose it is."""

    name = "jsonl"
    title = "a JSON object per request: t in s, model, tenant"
    names_lanes = True

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        self.arrivals = self._calls = Calls(options, random, from_zero=True)
        self._decode = decoder(_Call)

    @classmethod
    def recognises(cls, head: Sequence[bytes]) -> bool:
        return has_keys(head[0], "t")

    def row(self, line: bytes) -> None:
        call = self._decode(line)
        if "/" in call.tenant:
            raise BadRow(f"the tenant {call.tenant[:40]!r} has a slash in its name")
        instant_ns = whole_ns(bytes(call.t), SECONDS, "t")
        self._calls.add(instant_ns, lane_text(Lane(call.model, call.tenant)).encode())
