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


# Where it has to wait there is 1 ms of slack on top.
FINISHES = [
    ((), 0, 1, 5, "an idle system: its own batch"),
    ((), 3, 1, 8, "with those that wait"),
    ((), 8, 1, 12 + 5 + 1, "behind a full batch"),
    (((1, 8, 0),), 0, 1, 12 + 5 + 1, "while one runs: what is left of it first"),
    (((1, 8, -6),), 0, 1, 6 + 5 + 1, "half of it has passed"),
    (((1, 8, -20),), 0, 1, 5, "one that is overdue can end any moment"),
    (((1, 8, 0), (2, 8, 0)), 0, 1, 24 + 5 + 1, "another is staged behind it"),
]


@pytest.mark.parametrize(
    ("running", "ahead", "rows", "ms", "why"), FINISHES, ids=[row[-1] for row in FINISHES]
)
def test_finish(running, ahead, rows, ms, why):
    made = forecast()
    for batch_id, size, begun_ms in running:
        made.started(batch_id, size, 100 * MS + begun_ms * MS)
    assert made.finish_ns(ahead, rows, 100 * MS, 0.0) - 100 * MS == pytest.approx(ms * MS, rel=0.01)


def test_a_batch_grows_while_it_waits():
    made = forecast()
    made.started(1, 8, 0)
    alone, in_company = (made.finish_ns(0, 1, 0, rate / MS) for rate in (0.0, 0.26))
    assert in_company - alone == pytest.approx(3 * MS, rel=0.01)
    assert made.finish_ns(0, 1, 0, 100 / MS) == pytest.approx((12 + 12 + 1) * MS, rel=0.01)  # at most full


def test_of_two_slots_the_first_to_free_counts():
    made = forecast(slots=2)
    made.started(1, 8, 0)
    assert made.finish_ns(0, 1, 0, 0.0) == pytest.approx(5 * MS, rel=0.01)
    made.started(2, 1, 0)
    assert made.finish_ns(0, 1, 0, 0.0) == pytest.approx((5 + 5 + 1) * MS, rel=0.01)
    made.ended(1, 5 * MS, 5 * MS)
    assert made.finish_ns(0, 1, 0, 0.0) == pytest.approx(5 * MS, rel=0.01)


def test_with_nothing_known_everybody_is_patient():
    made = Forecast(LatencyModel(ROWS), 1, ROWS, MS)
    made.started(1, 8, 0)
    made.ended(1, MS, MS)
    assert made.patience > 10**9


def test_patience_leaves_room_for_what_runs_is_staged_and_comes_last():
    made = forecast(timeout_ms=12 * 10 + 2)
    made.ended(0, 0, None)
    assert made.patience == 7 * ROWS


# ---- what a batch takes beyond its service -------------------------------------------------------


def backlogged(made: Forecast, turns: int, every_ms: float, *, slots: int = 1, failing: bool = False) -> int:
    """Full batches of 12 ms that end *every_ms*, another starting each time; the number of the next one."""
    for number in range(slots):
        made.started(number, ROWS, 0)
    for turn in range(turns):
        now_ns = round((turn + 1) * every_ms * MS)
        made.ended(turn, now_ns, None if failing else 12 * MS)
        made.started(turn + slots, ROWS, now_ns + 50_000)
        made.refilled()
    return turns + slots


@pytest.mark.parametrize(("slots", "every_ms"), [(1, 13.0), (2, 6.5)])
def test_what_is_lost_between_two_batches_is_learnt_and_counted_for_each_that_waits(slots, every_ms):
    made = forecast(slots)
    backlogged(made, 200, every_ms, slots=slots)
    assert made.overhead_ns == pytest.approx(MS, rel=0.01)
    now_ns = 10**12  # what runs is overdue: the wait is all of the queue
    assert made.wait_ns(20 * ROWS, now_ns) == pytest.approx(20 * 13 * MS / slots, rel=0.01)


def test_it_leaves_less_patience():
    made = forecast(timeout_ms=13 * 10 + 2)
    before = made.patience
    backlogged(made, 200, 13.0)
    assert made.patience == 7 * ROWS < before


def test_a_slot_that_stood_idle_says_nothing_about_it():
    made = forecast()
    for number in range(100):
        made.started(number, ROWS, number * 50 * MS)
        made.ended(number, (number * 50 + 12) * MS, 12 * MS)
        made.refilled()
    assert made.overhead_ns == 0.0


def test_nor_does_a_batch_that_failed():
    made = forecast()
    backlogged(made, 100, 30.0, failing=True)
    assert made.overhead_ns == 0.0


def test_it_is_never_negative():
    made = forecast()
    backlogged(made, 100, 11.0)
    assert made.overhead_ns == 0.0
