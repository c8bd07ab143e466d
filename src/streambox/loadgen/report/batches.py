"""What batches a run's requests were in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.loadgen.record import REASONS

if TYPE_CHECKING:
    from streambox.loadgen.record import Outcomes

    Numbers = np.ndarray[Any, np.dtype[Any]]

_NEVER: Final = 1 << 62
_ROOM: Final = 1 << 20


class Batches(msgspec.Struct, frozen=True):
    """
    ``batches[n]``: how many batches of n rows there were, each counted once; ``requests[n]``: how
    many requests were in them. ``reasons``: how many left their queue for which reason, if told.
    """

    batches: Numbers
    requests: Numbers
    reasons: dict[str, int]

    @classmethod
    def of(cls, outcomes: Outcomes) -> Batches:
        """Reads a part at a time; takes a byte for each batch."""
        seen = _Seen(outcomes)
        sizes, counted = np.zeros(1, np.int64), np.zeros(1, np.int64)
        reasons = np.zeros(len(REASONS), np.int64)
        for some in outcomes.in_parts():
            told = (some.batch_size > 0) & (some.batch_id >= 0)
            counted = _sum(counted, np.bincount(some.batch_size[told]))
            rows = np.flatnonzero(told)[seen.first(some.batch_id[told])]
            sizes = _sum(sizes, np.bincount(some.batch_size[rows]))
            reasons += np.bincount(some.reason[rows], minlength=len(REASONS))
        nothing = np.zeros(max(len(sizes), len(counted)), np.int64)
        told_reasons = {name: int(n) for name, n in zip(REASONS, reasons, strict=True) if name and n}
        return cls(_sum(sizes, nothing), _sum(counted, nothing), told_reasons)

    @property
    def per_batch(self) -> float:
        """Rows of a batch, on average over the batches."""
        return _mean_index(self.batches)

    @property
    def per_request(self) -> float:
        """Rows of the batch that a request was in, on average over the requests."""
        return _mean_index(self.requests)


class _Seen:
    """Which batch ids have come before: a byte for each id, running numbers or not."""

    def __init__(self, outcomes: Outcomes) -> None:
        lowest, highest = _NEVER, -1
        for some in outcomes.in_parts():
            ids = some.batch_id[some.batch_id >= 0]
            lowest, highest = (
                min(lowest, int(ids.min(initial=lowest))),
                max(highest, int(ids.max(initial=-1))),
            )
        self._lowest = lowest
        span = max(0, highest - lowest + 1)
        self._known = None
        if span > 4 * len(outcomes) + _ROOM:  # not a Batcher's
            self._known = np.unique(outcomes.batch_id)
            span = len(self._known)
        self._flags = np.zeros(span, np.bool_)

    def first(self, ids: Numbers) -> Numbers:
        """The places in *ids* of those that come for the first time, once each."""
        unique, places = np.unique(ids, return_index=True)
        offsets = unique - self._lowest if self._known is None else np.searchsorted(self._known, unique)
        fresh = ~self._flags[offsets]
        self._flags[offsets] = True
        found: Numbers = places[fresh]
        return found


def _sum(left: Numbers, right: Numbers) -> Numbers:
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def _mean_index(weights: Numbers) -> float:
    return float(weights @ np.arange(len(weights)) / max(1, weights.sum()))
