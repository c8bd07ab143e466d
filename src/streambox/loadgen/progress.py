"""Where a run stands while it goes on: counts from each of its workers, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streambox.loadgen.gauge import Gauge
from streambox.loadgen.live import LaneProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_GENERATION_S: Final = 2.0  # the percentiles are over the last two to four seconds


class Standing(msgspec.Struct):
    """
    One worker's requests: how many so far, and how they ended.

    ``responses`` and ``lags`` are what has come since it was last told, as ``Gauge.take`` gives it.
    """

    offered: int
    sent: int
    completed: int
    ok: int
    in_flight: int
    batch_rows: int
    batch_replies: int
    errors: dict[str, int]
    responses: dict[int, int]
    lags: dict[int, int]


class Meter:
    """From where the workers stand to where the run stands. *total*: the requests of its schedule."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._responses = Gauge()
        self._lags = Gauge()
        self._turned_s = 0.0
        self._last = (0.0, 0, 0)

    def add(self, responses: Mapping[int, int], lags: Mapping[int, int]) -> None:
        """What has come since it was last told."""
        self._responses.add_all(responses)
        self._lags.add_all(lags)

    def progress(
        self, elapsed_s: float, standings: Collection[Standing], lanes: tuple[LaneProgress, ...] = ()
    ) -> Progress:
        """*standings*: each worker's latest, whose ``responses`` and ``lags`` have been added."""
        offered, sent, completed, ok, in_flight, rows, replies = (
            sum(getattr(standing, name) for standing in standings)
            for name in ("offered", "sent", "completed", "ok", "in_flight", "batch_rows", "batch_replies")
        )
        last_s, last_offered, last_completed = self._last
        self._last = (elapsed_s, offered, completed)
        span_s = max(elapsed_s - last_s, 1e-3)
        p50_ns, p90_ns, p99_ns = self._responses.percentiles(0.5, 0.9, 0.99)
        (lag_p99_ns,) = self._lags.percentiles(0.99)
        self._turn(elapsed_s)
        return Progress(
            elapsed_s=max(0.0, elapsed_s),
            total=self._total,
            sent=sent,
            completed=completed,
            ok=ok,
            errors=_sum_by_kind(standings),
            in_flight=in_flight,
            offered_per_s=(offered - last_offered) / span_s,
            achieved_per_s=(completed - last_completed) / span_s,
            p50_ms=None if p50_ns is None else p50_ns / 1e6,
            p90_ms=None if p90_ns is None else p90_ns / 1e6,
            p99_ms=None if p99_ns is None else p99_ns / 1e6,
            mean_batch_size=rows / replies if replies else None,
            lag_p99_us=None if lag_p99_ns is None else lag_p99_ns / 1e3,
            lanes=lanes,
        )

    def _turn(self, elapsed_s: float) -> None:
        if elapsed_s - self._turned_s >= _GENERATION_S:
            self._turned_s = elapsed_s
            self._responses.turn()
            self._lags.turn()


def _sum_by_kind(standings: Collection[Standing]) -> dict[str, int]:
    errors: dict[str, int] = {}
    for standing in standings:
        for kind, count in standing.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    return errors
