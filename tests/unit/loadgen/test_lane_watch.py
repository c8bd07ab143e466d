"""Where each lane stands while a run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from streambox.loadgen import lane_watch
from streambox.loadgen.lane_watch import LaneWatch
from streambox.loadgen.record import Recorder
from streambox.workload.schedule import Lane, Schedule

if TYPE_CHECKING:
    from streambox.loadgen.live import LaneProgress

SECOND = 1_000_000_000
MS = 1_000_000


class Underway:
    """A run of so many *lanes*, each request in turn, one a millisecond."""

    def __init__(self, lanes: int = 2, count: int = 10_000, give_up_after_ns: int | None = None) -> None:
        instants_ns = np.arange(count, dtype=np.int64) * MS
        names = tuple(Lane("digits", f"t{number}") for number in range(lanes))
        lane = (np.arange(count) % lanes).astype(np.uint8)
        schedule = Schedule(instants_ns, np.zeros(count, np.int32), lane, names, {})
        self.recorder = Recorder(instants_ns, lane)
        self._watch = LaneWatch(schedule, 2 * SECOND, give_up_after_ns)

    def send(self, *rows: int) -> None:
        for row in rows:
            self.recorder.on_dispatched(row, row * MS)
            self.recorder.on_sent(row, row * MS)

    def answer(self, rows: range, response_ns: int = 5 * MS, kind: str = "ok") -> None:
        for row in rows:
            self.recorder.on_response(row, row * MS, row * MS + response_ns, 200)
            self.recorder.on_end(row, kind)

    def look(self, offered: int, elapsed_s: float) -> tuple[LaneProgress, ...]:
        return self._watch.look(self.recorder.outcomes, offered, elapsed_s)

    def counts(self, offered: int, elapsed_s: float) -> list[tuple[int, int]]:
        return [(lane.offered, lane.errors) for lane in self.look(offered, elapsed_s)]


def test_what_fell_due_is_counted_at_once_and_an_error_when_it_has_come() -> None:
    run = Underway()
    run.send(*range(1000))
    assert run.counts(1000, 1.0) == [(500, 0), (500, 0)]
    run.answer(range(0, 100, 2), kind="http_503")
    assert run.counts(1000, 1.25) == [(500, 50), (500, 0)]
    assert run.counts(1000, 1.5) == [(500, 50), (500, 0)]  # and only once
    assert run.counts(1001, 1.75) == [(501, 50), (500, 0)]


def test_an_answer_that_is_not_judged_yet_waits() -> None:
    run = Underway()
    run.send(0, 1)
    run.recorder.on_response(0, 0, MS, 200)
    assert run.counts(2, 10.0)[0] == (1, 0)  # silent for long, but it has been answered
    run.recorder.on_end(0, "wrong")
    assert run.counts(2, 10.25)[0] == (1, 1)


def test_a_request_without_an_answer_counts_as_an_error_once_its_time_is_over() -> None:
    run = Underway()
    run.send(0)
    assert run.counts(1, 2.5)[0] == (1, 0)
    assert run.counts(1, 3.5)[0] == (1, 1)
    run.answer(range(1))  # a clock of ours that was early: it is right in the end
    assert run.counts(1, 3.75)[0] == (1, 0)


def test_a_request_that_waits_for_a_connection_is_no_error_unless_it_is_given_up() -> None:
    patient, hasty = Underway(), Underway(give_up_after_ns=SECOND)
    for run, errors in ((patient, 0), (hasty, 1)):
        run.recorder.on_dispatched(0, 0)
        assert run.counts(1, 100.0)[0] == (1, errors)


def test_rates_are_over_the_last_second() -> None:
    run = Underway(count=20_000)
    run.send(*range(20_000))
    rates = []
    for quarter in range(1, 17):
        if quarter > 8:
            run.answer(range(100 * quarter, 100 * quarter + 50))
        first, second = run.look(20_000, quarter / 4)
        assert first.achieved_per_s == second.achieved_per_s
        rates.append(first.achieved_per_s)
    assert rates[:8] == [0] * 8
    assert rates[-1] == pytest.approx(100)  # 50 answers to two lanes, four times a second


def test_percentiles_are_each_lanes_own_and_are_forgotten() -> None:
    run = Underway()
    run.send(*range(1000))
    run.answer(range(0, 1000, 2), 5 * MS)
    run.answer(range(1, 981, 2), 7 * MS)
    run.answer(range(981, 1001, 2), 300 * MS)
    first, second = run.look(1000, 1.0)
    assert first.p99_ms == pytest.approx(5, rel=0.05)
    assert second.p99_ms == pytest.approx(300, rel=0.05)
    for elapsed_s in (3.0, 5.0, 7.0):
        lanes = run.look(1000, elapsed_s)
    assert [lane.p99_ms for lane in lanes] == [None, None]


def test_the_busiest_lanes_have_rows_of_their_own_and_the_others_share_one() -> None:
    run = Underway(lanes=11, count=11_005)  # the first five have one request more
    run.send(*range(11_005))
    run.answer(range(11_005), kind="reset")
    lanes = run.look(11_005, 12.0)
    assert [lane.name for lane in lanes] == [*(f"digits/t{number}" for number in range(8)), "and 3 more"]
    assert [lane.offered for lane in lanes] == [1001] * 5 + [1000] * 3 + [3000]
    assert lanes[-1].errors == 3000


def test_the_rows_keep_the_order_of_the_schedule() -> None:
    lane = np.array([0, 1, 1, 2, 2, 2], np.uint8)
    names = tuple(Lane("digits", name) for name in "abc")
    instants_ns = np.arange(6, dtype=np.int64)
    schedule = Schedule(instants_ns, np.zeros(6, np.int32), lane, names, {})
    recorder = Recorder(instants_ns, lane)
    rows = LaneWatch(schedule, SECOND).look(recorder.outcomes, 6, 1.0)
    assert [(row.name, row.offered) for row in rows] == [
        ("digits/a", 1),
        ("digits/b", 2),
        ("digits/c", 3),
    ]


def test_what_a_stopped_closed_loop_takes_back_is_not_counted_twice() -> None:
    run = Underway()
    run.send(*range(100))
    assert run.counts(100, 1.0) == [(50, 0), (50, 0)]
    assert run.counts(90, 1.25) == [(50, 0), (50, 0)]
    assert run.counts(110, 1.5) == [(55, 0), (55, 0)]


def test_a_long_backlog_is_looked_at_in_parts_and_nothing_of_it_is_lost(monkeypatch) -> None:
    monkeypatch.setattr(lane_watch, "_MOST_AT_ONCE", 100)
    run = Underway(count=1000)
    run.send(*range(1000))
    run.answer(range(1000), kind="reset")
    seen = [sum(errors for _, errors in run.counts(1000, quarter / 4)) for quarter in range(1, 12)]
    assert seen == [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000]
