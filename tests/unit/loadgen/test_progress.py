"""Where the workers stand, put together."""

from __future__ import annotations

import pytest

from streambox.loadgen.gauge import Gauge
from streambox.loadgen.progress import Meter, Standing

MS = 1_000_000


def standing(**changes) -> Standing:
    counts = dict.fromkeys(
        ("offered", "sent", "completed", "ok", "in_flight", "batch_rows", "batch_replies"), 0
    )
    return Standing(**{**counts, "errors": {}, "responses": {}, "lags": {}, **changes})


def counts_of(*values_ns: int) -> dict[int, int]:
    gauge = Gauge()
    for value_ns in values_ns:
        gauge.add(value_ns)
    return gauge.take()


def test_counts_of_all_workers_are_added_up():
    meter = Meter(100)
    ours = standing(offered=10, sent=9, completed=8, ok=7, in_flight=1, errors={"reset": 1})
    theirs = standing(offered=5, sent=5, completed=5, ok=4, errors={"reset": 1, "timeout": 2})
    progress = meter.progress(2.0, [ours, theirs])
    assert (progress.sent, progress.completed, progress.ok, progress.in_flight) == (14, 13, 11, 1)
    assert progress.errors == {"reset": 2, "timeout": 2}
    assert (progress.total, progress.offered_per_s, progress.achieved_per_s) == (100, 7.5, 6.5)


def test_rates_are_those_since_the_last_look():
    meter = Meter(100)
    meter.progress(1.0, [standing(offered=10, completed=10)])
    progress = meter.progress(1.5, [standing(offered=15, completed=12)])
    assert (progress.offered_per_s, progress.achieved_per_s) == (10, 4)


def test_percentiles_are_of_all_workers_responses_together():
    meter = Meter(100)
    for responses in (counts_of(*[2 * MS] * 90), counts_of(*[50 * MS] * 10)):
        meter.add(responses, counts_of(50_000))
    progress = meter.progress(1.0, [standing(), standing()])
    assert progress.p50_ms == pytest.approx(2, rel=0.04)
    assert progress.p99_ms == pytest.approx(50, rel=0.04)
    assert progress.lag_p99_us == pytest.approx(50, rel=0.04)


def test_what_came_long_ago_is_forgotten():
    meter = Meter(100)
    meter.add(counts_of(2 * MS), {})
    assert meter.progress(2.5, [standing()]).p50_ms is not None
    meter.progress(5.0, [standing()])
    assert meter.progress(7.5, [standing()]).p50_ms is None


def test_the_mean_batch_is_over_all_replies():
    progress = Meter(1).progress(
        1.0, [standing(batch_rows=30, batch_replies=10), standing(batch_rows=30, batch_replies=5)]
    )
    assert progress.mean_batch_size == 4
    assert Meter(1).progress(1.0, [standing()]).mean_batch_size is None
