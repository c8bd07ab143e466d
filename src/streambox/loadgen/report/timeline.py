"""What a run was like from moment to moment: figures of equal bins of time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.page import TimeAxis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streambox.loadgen.record import Outcomes

    Numbers = np.ndarray[Any, np.dtype[Any]]

_NS_PER_S: Final = 1_000_000_000
_MOST_BINS: Final = 600
_BIN_WIDTHS_S: Final = (0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
RANKS: Final = (50.0, 90.0, 99.0, 100.0)


class TimeBins(msgspec.Struct, frozen=True):
    """Equal bins from the run's start to its last instant: at most 600, of 1 s or more unless it is short."""

    width_s: float
    count: int
    axis: TimeAxis

    @classmethod
    def of(cls, outcomes: Outcomes) -> TimeBins:
        offered_s = done_s = 0.0
        for some in outcomes.in_parts():
            offered_s = max(offered_s, int(some.intended_ns.max()) / _NS_PER_S)
            done_s = max(done_s, int(some.done_ns.max()) / _NS_PER_S)
        span_s = max(offered_s, done_s)
        fitting = (w for w in _BIN_WIDTHS_S if span_s <= w * (50 if w < 1 else _MOST_BINS))
        width_s = next(fitting, span_s / _MOST_BINS)
        # The last responses, a few ms past the edge, get no bin to themselves.
        count = max(int(offered_s / width_s) + 1, math.ceil(span_s / width_s - 0.1))
        return cls(width_s, count, TimeAxis.of(span_s))

    @property
    def centres(self) -> list[float]:
        return [self.axis.at((number + 0.5) * self.width_s) for number in range(self.count)]

    @property
    def edges(self) -> list[float]:
        return [self.axis.at(number * self.width_s) for number in range(self.count + 1)]

    @property
    def layout(self) -> dict[str, Any]:
        return self.axis.layout(self.count * self.width_s)

    @property
    def phrase(self) -> str:
        return "second" if self.width_s == 1 else f"{self.width_s:g} s"

    def counts(self, instants_ns: Numbers) -> Numbers:
        """How many of *instants_ns* are in each bin; later ones count as in the last."""
        numbers = (instants_ns / (self.width_s * _NS_PER_S)).astype(np.int64)
        return np.bincount(np.minimum(numbers, self.count - 1), minlength=self.count)

    def rows(self, outcomes: Outcomes) -> Iterator[slice]:
        """The requests of each bin in turn: they are sorted by their intended instants."""
        starts_ns = (np.arange(1, self.count) * (self.width_s * _NS_PER_S)).astype(np.int64)
        edges = [0, *np.searchsorted(outcomes.intended_ns, starts_ns).tolist(), len(outcomes)]
        return (slice(first, last) for first, last in pairwise(edges))


class Timeline(msgspec.Struct, frozen=True):
    """
    One entry, or row, per bin. ``offered`` counts requests, ``achieved`` responses, ``right`` right ones.

    All but the last two go by the intended instants of the requests. NaN where a bin has none.
    ``response_ms`` and ``lag_ms`` have a column for each of ``RANKS``, ``kinds`` one for each
    kind of outcome, ``parts_ms`` for each of send lag, network, wait and service.
    """

    offered: Numbers
    achieved: Numbers
    right: Numbers
    response_ms: Numbers
    lag_ms: Numbers
    parts_ms: Numbers
    kinds: Numbers
    batch_size: Numbers

    @classmethod
    def of(cls, outcomes: Outcomes, bins: TimeBins) -> Timeline:
        """Reads one bin at a time: what it takes does not grow with the number of *outcomes*."""
        achieved, right = np.zeros((2, bins.count), np.int64)
        columns: tuple[list[Any], ...] = ([], [], [], [], [], [])
        for rows in bins.rows(outcomes):
            done_ns = outcomes.done_ns[rows]
            achieved += bins.counts(done_ns[done_ns >= 0])
            right += bins.counts(done_ns[(done_ns >= 0) & (outcomes.kind[rows] == 0)])
            for column, figure in zip(columns, _figures(outcomes, rows), strict=True):
                column.append(figure)
            outcomes.trim()
        offered, response_ms, lag_ms, parts_ms, kinds, batch_size = map(np.array, columns)
        return cls(offered, achieved, right, response_ms, lag_ms, parts_ms, kinds, batch_size)


def _figures(outcomes: Outcomes, rows: slice) -> tuple[Any, ...]:
    """Of one bin, in the order of the fields, but for those that go by the responses."""
    intended_ns, sent_ns, done_ns = outcomes.intended_ns[rows], outcomes.sent_ns[rows], outcomes.done_ns[rows]
    sent, done = sent_ns >= 0, done_ns >= 0
    return (
        len(intended_ns),
        _percentiles_ms((done_ns - intended_ns)[done]),
        _percentiles_ms((sent_ns - intended_ns)[sent]),
        _mean_parts_ms(outcomes, rows),
        np.bincount(outcomes.kind[rows], minlength=len(outcomes.kinds)),
        _mean_batch(outcomes.batch_id[rows], outcomes.batch_size[rows]),
    )


def _percentiles_ms(values_ns: Numbers) -> Numbers:
    found: Numbers = np.percentile(values_ns, RANKS) / 1e6 if len(values_ns) else np.full(len(RANKS), np.nan)
    return found


def _mean_parts_ms(outcomes: Outcomes, rows: slice) -> Numbers:
    """Send lag, network, wait, service; of the requests whose responses tell."""
    columns = [getattr(outcomes, name)[rows] for name in ("sent_ns", "done_ns", "wait_ns", "service_ns")]
    known = np.logical_and.reduce([column >= 0 for column in columns])
    if not known.any():
        return np.full(4, np.nan)
    sent, done, wait, service = (float(column[known].mean()) for column in columns)
    lag = sent - float(outcomes.intended_ns[rows][known].mean())
    return np.array([lag, done - sent - wait - service, wait, service]) / 1e6


def _mean_batch(ids: Numbers, sizes: Numbers) -> float:
    """Of the batches that these requests were in, each counted once."""
    told = (ids >= 0) & (sizes > 0)
    _, first = np.unique(ids[told], return_index=True)
    return float(sizes[told][first].mean()) if len(first) else math.nan
