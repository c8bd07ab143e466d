"""A plain list of instants, one per line: seconds, or dates with the time of day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.workload.traces.arrivals import Calls
from streambox.workload.traces.base import BadRow, TraceFormat
from streambox.workload.traces.intervals import are_intervals
from streambox.workload.traces.numbers import SECONDS, date_time, date_time_ns, whole_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.workload.traces.base import TraceOptions

_HEADERS: Final = frozenset({b"t", b"time", b"timestamp", b"timestamps", b"arrival", b"arrival_time"})


class Timestamps(TraceFormat):
    """All lines are as the first one is; above it may stand one that says ``timestamp``."""

    name = "timestamps"
    title = "one instant per line, in s or as a date"

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        self.arrivals = self._calls = Calls(options, random)
        self.has_header = head[0].lower() in _HEADERS
        self._dated = next((_is_date(line) for line in head if _is_date(line) or _is_time(line)), False)
        self._guessed = options.format is None and not self._dated and not self.has_header

    @classmethod
    def recognises(cls, head: Sequence[bytes]) -> bool:
        if head[0].lower() in _HEADERS:
            return True
        return _is_date(head[0]) or (_is_time(head[0]) and not are_intervals(head))

    def row(self, line: bytes) -> None:
        instant_ns = date_time_ns(line) if self._dated else whole_ns(line, SECONDS, "the timestamp")
        self._calls.add(instant_ns)

    def notes(self) -> list[str]:
        other = "--format intervals or pattern reads it otherwise"
        return [f"a number per line was taken for an instant in s: {other}"] if self._guessed else []

    def moment(self, ns: int) -> str:
        return date_time(ns) if self._dated else super().moment(ns)


def _is_date(line: bytes) -> bool:
    try:
        date_time_ns(line)
    except BadRow:
        return False
    return True


def _is_time(line: bytes) -> bool:
    try:
        whole_ns(line, SECONDS, "it")
    except BadRow:
        return False
    return True
