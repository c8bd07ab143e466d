"""When a request that comes now would be answered."""

from __future__ import annotations

import pytest

from streambox.batcher.forecast import Forecast
from streambox.batcher.latency_model import LatencyModel

MS = 1_000_000
ROWS = 8


def forecast(slots: int = 1, timeout_ms: float = 100) -> Forecast:
    """Of a model that takes 4 ms and 1 ms a row."""
    latency = LatencyModel(ROWS)
    for _ in range(200):
        for rows in (1, 4, 8):
            latency.observe(rows, (4 + rows) * MS)
    latency.margin = 0.0
    return Forecast(latency, slots, ROWS, round(timeout_ms * MS))


FINISHES = [
    ((), 0, 1, 5, "an idle system: its own batch"),
    ((), 3, 1, 8, "with those that wait"),
    ((), 8, 1, 12 + 5, "behind a full batch"),
    (((1, 8, 0),), 0, 1, 12 + 5, "while one runs: what is left of it first"),
    (((1, 8, -6),), 0, 1, 6 + 5, "half of it has passed"),
    (((1, 8, -20),), 0, 1, 5, "one that is overdue can end any moment"),
    (((1, 8, 0), (2, 8, 0)), 0, 1, 24 + 5, "another is staged behind it"),
]


@pytest.mark.parametrize(
    ("running", "ahead", "rows", "ms", "why"), FINISHES, ids=[row[-1] for row in FINISHES]
)
def test_finish(running, ahead, rows, ms, why):
    made = forecast()
    for batch_id, size, begun_ms in running:
        made.started(batch_id, size, 100 * MS + begun_ms * MS)
    assert made.finish_ns(ahead, rows, 100 * MS, 0.0) == pytest.approx((100 + ms) * MS, rel=0.01)


def test_a_batch_grows_while_it_waits():
    made = forecast()
    made.started(1, 8, 0)
    alone, in_company = (made.finish_ns(0, 1, 0, rate / MS) for rate in (0.0, 0.26))
    assert in_company - alone == pytest.approx(3 * MS, rel=0.01)
    assert made.finish_ns(0, 1, 0, 100 / MS) == pytest.approx((12 + 12) * MS, rel=0.01)  # no more than full


def test_of_two_slots_the_first_to_free_counts():
    made = forecast(slots=2)
    made.started(1, 8, 0)
    assert made.finish_ns(0, 1, 0, 0.0) == pytest.approx(5 * MS, rel=0.01)
    made.started(2, 1, 0)
    assert made.finish_ns(0, 1, 0, 0.0) == pytest.approx((5 + 5) * MS, rel=0.01)
    made.ended(1)
    assert made.finish_ns(0, 1, 0, 0.0) == pytest.approx(5 * MS, rel=0.01)


def test_with_nothing_known_everybody_is_patient():
    made = Forecast(LatencyModel(ROWS), 1, ROWS, MS)
    made.started(1, 8, 0)
    made.ended(1)
    assert made.patience > 10**9


def test_patience_leaves_room_for_what_runs_is_staged_and_comes_last():
    made = forecast(timeout_ms=12 * 10 + 1)
    made.ended(0)
    assert made.patience == 7 * ROWS
