"""Where each lane stands while a run goes on, read off what is recorded: nothing is counted while sending."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.loadgen.buckets import DRAWN
from streambox.loadgen.live import LaneProgress
from streambox.loadgen.record import INTERRUPTED, UNSENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.loadgen.record import Outcomes
    from streambox.workload.schedule import Schedule

    Numbers = np.ndarray[Any, np.dtype[Any]]

_MOST_ROWS: Final = 8
_MOST_AT_ONCE: Final = 1 << 16  # of the requests that have not ended, the oldest; keeps a look short
_GENERATION_S: Final = 2.0  # percentiles are over the last two to four seconds
_RATE_S: Final = 1.0
_COARSER: Final = 3  # buckets of 3 %: a glance needs no more, and they are read often
_SLACK_NS: Final = 1_000_000_000
_NEVER_NS: Final = 1 << 62


class LaneWatch:
    """
    Follows the requests of a run from falling due to their end.

    At most 8 lanes have a row of their own, those with the most requests; the others share
    one. Cost of a look: 30 ns for each request that fell due since the last one, or is on its way.
    """

    def __init__(self, schedule: Schedule, timeout_ns: int, give_up_after_ns: int | None = None) -> None:
        self._timeout_ns = timeout_ns
        self._give_up_after_ns = _NEVER_NS if give_up_after_ns is None else give_up_after_ns
        self._names, self._row_of = _rows(schedule)
        self._due = 0
        self._pending = np.empty(0, np.int64)
        self._offered, self._errors, self._completed = np.zeros((3, len(self._names)), np.int64)
        self._before: deque[tuple[float, Numbers]] = deque([(0.0, self._completed.copy())])
        self._older, self._newer = np.zeros((2, len(self._names), DRAWN.count >> _COARSER), np.int64)
        self._turned_s = 0.0

    def look(self, outcomes: Outcomes, offered: int, elapsed_s: float) -> tuple[LaneProgress, ...]:
        """A row for each lane, now that the first *offered* requests have fallen due."""
        self._offered += self._count(outcomes.lane[self._due : offered])
        self._pending = np.append(self._pending, np.arange(self._due, offered))
        self._due = max(self._due, offered)
        looked_at, rest = self._pending[:_MOST_AT_ONCE], self._pending[_MOST_AT_ONCE:]
        ended, failed = self._judge(outcomes, looked_at, elapsed_s)
        self._settle(outcomes, looked_at[ended])
        self._pending = np.append(looked_at[~ended], rest)
        return self._progress(elapsed_s, self._errors + self._count(outcomes.lane[looked_at[failed]]))

    def _judge(self, outcomes: Outcomes, rows: Numbers, elapsed_s: float) -> tuple[Numbers, Numbers]:
        """
        Which have ended; which of the others are as good as lost.

        Until its end is recorded a request counts as unsent or interrupted, so that only
        time tells what is lost from what is on its way.
        """
        now_ns = int(elapsed_s * 1e9) - _SLACK_NS
        kind = outcomes.kind[rows]
        ended = (kind != outcomes.kinds.index(UNSENT)) & (kind != outcomes.kinds.index(INTERRUPTED))
        sent_ns, dispatched_ns = outcomes.sent_ns[rows], outcomes.dispatched_ns[rows]
        silent = (sent_ns >= 0) & (outcomes.done_ns[rows] < 0) & (now_ns - sent_ns > self._timeout_ns)
        unsent = (sent_ns < 0) & (dispatched_ns >= 0) & (now_ns - dispatched_ns > self._give_up_after_ns)
        return ended, ~ended & (silent | unsent)

    def _settle(self, outcomes: Outcomes, rows: Numbers) -> None:
        lanes, done_ns = outcomes.lane[rows], outcomes.done_ns[rows]
        self._errors += self._count(lanes[outcomes.kind[rows] != 0])
        completed = done_ns >= 0
        self._completed += self._count(lanes[completed])
        buckets = DRAWN.of(done_ns[completed] - outcomes.intended_ns[rows[completed]]) >> _COARSER
        places = self._row_of[lanes[completed]] * self._newer.shape[1] + buckets
        self._newer += np.bincount(places, minlength=self._newer.size).reshape(self._newer.shape)

    def _progress(self, elapsed_s: float, errors: Numbers) -> tuple[LaneProgress, ...]:
        rates_per_s = self._rates_per_s(elapsed_s)
        p99_ms = self._p99_ms(elapsed_s)
        rows = zip(self._names, self._offered, rates_per_s, p99_ms, errors, strict=True)
        return tuple(LaneProgress(name, int(n), float(rate), p99, int(e)) for name, n, rate, p99, e in rows)

    def _rates_per_s(self, elapsed_s: float) -> Numbers:
        before = self._before
        while len(before) > 1 and elapsed_s - before[1][0] >= _RATE_S:
            before.popleft()
        since_s, count = before[0]
        before.append((elapsed_s, self._completed.copy()))
        rates: Numbers = (self._completed - count) / max(elapsed_s - since_s, 1e-3)
        return rates

    def _p99_ms(self, elapsed_s: float) -> Sequence[float | None]:
        counts = np.cumsum(self._older + self._newer, axis=1)
        if elapsed_s - self._turned_s >= _GENERATION_S:
            self._turned_s = elapsed_s
            self._older, self._newer = self._newer, np.zeros_like(self._older)
        totals = counts[:, -1]
        buckets = (counts < np.ceil(0.99 * totals)[:, None]).sum(axis=1)
        found = DRAWN.lower_ns(buckets << _COARSER) / 1e6
        return [float(ms) if total else None for ms, total in zip(found, totals, strict=True)]

    def _count(self, lanes: Numbers) -> Numbers:
        """How many there are of each row's."""
        return np.bincount(self._row_of[lanes], minlength=len(self._names))


def _rows(schedule: Schedule) -> tuple[list[str], Numbers]:
    """The names of the rows, in the schedule's order, and the row of each lane."""
    counts = np.bincount(schedule.lane, minlength=len(schedule.lanes))
    busiest = np.sort(np.argsort(-counts, kind="stable")[:_MOST_ROWS])
    names = [str(schedule.lanes[number]) for number in busiest]
    rows = np.full(len(schedule.lanes), len(busiest))
    rows[busiest] = np.arange(len(busiest))
    if len(busiest) < len(schedule.lanes):
        names.append(f"and {len(schedule.lanes) - len(busiest)} more")
    return names, rows
