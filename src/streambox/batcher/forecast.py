"""When a request that comes now would be answered: what admission holds its deadline against. Pure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from streambox.batcher.policy import SLACK_NS

if TYPE_CHECKING:
    from streambox.batcher.latency_model import LatencyModel

_ALWAYS: Final = sys.maxsize
_LEARNT: Final = 0.05  # of each new sample


class Forecast:
    """
    One model's running batches and what is behind them.

    ``patience``: so many rows may wait without anything to be feared for a request under the
    model's own limit, so that the usual request costs one comparison.

    ``overhead_ns``: what a batch takes of a busy slot beyond its service, on its way there and back.
    Little, but of every batch in the queue: without it, all that a long queue lets in comes too late.
    """

    __slots__ = (
        "_busy",
        "_ended_ns",
        "_ends_ns",
        "_latency",
        "_overhead_ns",
        "_rows",
        "_slots",
        "_timeout_ns",
        "patience",
    )

    def __init__(self, latency: LatencyModel, slots: int, rows: int, timeout_ns: int) -> None:
        self._latency = latency
        self._slots = slots
        self._rows = rows
        self._timeout_ns = timeout_ns
        self._ends_ns: dict[int, float] = {}
        self._overhead_ns = 0.0
        self._ended_ns = 0
        self._busy = False  # all slots, since the last batch has ended
        self.patience = _ALWAYS

    def resize(self, rows: int) -> None:
        """Batches have at most *rows* rows from now on."""
        self._rows = rows
        self._weigh()

    @property
    def overhead_ns(self) -> float:
        return max(0.0, self._overhead_ns)

    def started(self, batch_id: int, rows: int, now_ns: int) -> None:
        begins_ns = max(float(now_ns), self._free_ns())
        self._ends_ns[batch_id] = begins_ns + self._latency.expected_ns(rows) + self.overhead_ns

    def ended(self, batch_id: int, now_ns: int, service_ns: int | None) -> None:
        """*service_ns* None: it failed, which says nothing about the others."""
        if self._busy and service_ns is not None:
            beyond_ns = (now_ns - self._ended_ns) * self._slots - service_ns
            self._overhead_ns += _LEARNT * (beyond_ns - self._overhead_ns)
        self._ended_ns = now_ns
        self._busy = False
        self._ends_ns.pop(batch_id, None)
        self._weigh()

    def refilled(self) -> None:
        """What could start in place of the batch that has ended has started."""
        self._busy = len(self._ends_ns) >= self._slots

    def wait_ns(self, rows_ahead: int, now_ns: int) -> float:
        """Until a batch with the rows behind *rows_ahead* others would start."""
        busy_ns = max(0.0, self._free_ns() - now_ns)
        return busy_ns + rows_ahead // self._rows * self._turn_ns() / self._slots

    def finish_ns(self, rows_ahead: int, rows: int, now_ns: int, rows_per_ns: float) -> float:
        """
        When *rows* rows behind *rows_ahead* others would be answered; their batch grows while it waits.

        Where they take several batches: the last of them.
        """
        if rows > self._rows:
            last = self._last(rows)
            rows_ahead, rows = rows_ahead + rows - last, last
        wait_ns = self.wait_ns(rows_ahead, now_ns)
        size = min(rows_ahead % self._rows + rows + int(wait_ns * rows_per_ns), self._rows)
        slack_ns = SLACK_NS + self.overhead_ns if wait_ns else 0.0
        return now_ns + wait_ns + self._latency.bound_ns(size) + slack_ns

    def least_ns(self, rows: int) -> float:
        """What *rows* rows take of a system that is idle."""
        if rows <= self._rows:
            return self._latency.bound_ns(rows)
        last = self._last(rows)
        rounds = (rows - last) // self._rows // self._slots
        return rounds * self._latency.expected_ns(self._rows) + self._latency.bound_ns(last)

    def _last(self, rows: int) -> int:
        """Of *rows* rows in batches as large as they may be, how many are in the last one."""
        return (rows - 1) % self._rows + 1

    def _turn_ns(self) -> float:
        """How long a full batch has a busy slot for itself."""
        return self._latency.expected_ns(self._rows) + self.overhead_ns

    def _free_ns(self) -> float:
        """When a slot frees that nothing is staged behind."""
        ends_ns = sorted(self._ends_ns.values())
        return ends_ns[-self._slots] if len(ends_ns) >= self._slots else 0.0

    def _weigh(self) -> None:
        batch_ns = self._latency.bound_ns(self._rows)
        if batch_ns:
            # One batch may run, one may be staged, and the request's own is the last.
            rounds = int((self._timeout_ns - SLACK_NS) / (batch_ns + self.overhead_ns)) - 3
            self.patience = max(0, rounds) * self._rows * self._slots
