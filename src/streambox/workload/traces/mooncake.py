"""
Mooncake: requests to a chat service, with what their prompts share.

``{"timestamp": ms, "input_length": …, "output_length": …, "hash_ids": […]}`` per line. From
"Mooncake" (Qin et al., FAST 2025).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streambox.workload.traces.arrivals import Calls
from streambox.workload.traces.base import TraceFormat
from streambox.workload.traces.json_lines import decoder, has_keys
from streambox.workload.traces.numbers import MILLISECONDS, whole_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.workload.traces.base import TraceOptions


class _Row(msgspec.Struct):
    timestamp: msgspec.Raw


class Mooncake(TraceFormat):
    name = "mooncake"
    title = "Mooncake, a JSON object per request"

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        self.arrivals = self._calls = Calls(options, random)
        self._decode = decoder(_Row)

    @classmethod
    def recognises(cls, head: Sequence[bytes]) -> bool:
        return has_keys(head[0], "timestamp", "input_length") or has_keys(head[0], "timestamp", "hash_ids")

    def row(self, line: bytes) -> None:
        self._calls.add(whole_ns(bytes(self._decode(line).timestamp), MILLISECONDS, "timestamp"))
