"""Plain integers, counted on the hot path and read by the metrics collector at scrape."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

_MS: Final = 1_000_000
DURATION_BOUNDS_NS: Final[tuple[int, ...]] = tuple(
    round(ms * _MS)
    for ms in (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)
)
SIZE_BOUNDS: Final[tuple[int, ...]] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Histogram:
    """Counts per bucket; bucket i holds values ``<= bounds[i]``, the last one the rest."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, value: int) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_since(self, begun: list[int], now: int) -> None:
        """
        ``observe(now - each of begun)``.

        Cost: that of two, where all are in one bucket, as a batch's waits often are.
        """
        counts, bounds = self.counts, self.bounds
        self.total += len(begun) * now - sum(begun)
        bucket = bisect_left(bounds, now - max(begun))
        if bucket == len(bounds) or now - min(begun) <= bounds[bucket]:
            counts[bucket] += len(begun)
            return
        for instant in begun:
            counts[bisect_left(bounds, now - instant)] += 1


class ModelCounters:
    """
    One model's requests. At every moment:

    ``received == refused + accepted`` and
    ``accepted == completed + failed + expired + cancelled + in_flight``.

    ``queued`` is the part of ``in_flight`` that no batch has taken yet. ``extra_rows`` are those that
    accepted requests had beyond one each; ``padding_rows`` were added to batches that fell short of an
    allowed size.
    """

    __slots__ = (
        "accepted",
        "batch_size",
        "cancelled",
        "completed",
        "expired",
        "extra_rows",
        "failed",
        "flushes",
        "in_flight",
        "padding_rows",
        "queued",
        "received",
        "refused",
        "service_ns",
        "wait_ns",
    )

    def __init__(self) -> None:
        self.received = 0
        self.refused = 0
        self.accepted = 0
        self.completed = 0
        self.failed = 0
        self.expired = 0
        self.cancelled = 0
        self.in_flight = 0
        self.queued = 0
        self.extra_rows = 0
        self.padding_rows = 0
        self.flushes: dict[str, int] = {}
        self.batch_size = Histogram(SIZE_BOUNDS)
        self.wait_ns = Histogram(DURATION_BOUNDS_NS)
        self.service_ns = Histogram(DURATION_BOUNDS_NS)

    def violations(self) -> list[str]:
        """What of the conservation law does not hold; empty when all does."""
        ended = self.completed + self.failed + self.expired + self.cancelled
        found = []
        if self.received != self.refused + self.accepted:
            found.append(f"received {self.received} != refused {self.refused} + accepted {self.accepted}")
        if self.accepted != ended + self.in_flight:
            found.append(f"accepted {self.accepted} != ended {ended} + in_flight {self.in_flight}")
        if not 0 <= self.queued <= self.in_flight:
            found.append(f"queued {self.queued} outside 0..in_flight {self.in_flight}")
        return found
