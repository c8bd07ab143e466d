"""Of what several workers have written, what counts, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen.merge import begun
from streambox.loadgen.record import INTERRUPTED, OK, UNSENT
from streambox.loadgen.share import Share
from streambox.loadgen.spool import Spool
from streambox.workload.schedule import Lane, Schedule


def spool(tmp_path, count: int, shares: int) -> Spool:
    schedule = Schedule.of_lane(
        np.arange(count, dtype=np.int64) * 10, np.arange(count, dtype=np.int32), Lane("m"), {}
    )
    return Spool.create(tmp_path, schedule, shares)


def play(recorder, rows, answered: bool = True) -> None:
    for row in rows:
        recorder.on_dispatched(row, row * 10 + 1)
        recorder.on_sent(row, row * 10 + 2)
        if answered:
            recorder.on_response(row, row * 10 + 3, row * 10 + 3, 200)
            recorder.on_end(row, OK)


def test_what_three_workers_have_written_is_one_run(tmp_path):
    records = spool(tmp_path, 4000, 3)
    for number in (2, 0, 1):
        play(records.recorder(Share(number, 3)), range(number, 4000, 3))
    outcomes = begun(records.outcomes())
    assert outcomes.sent_ns.tolist() == [row * 10 + 2 for row in range(4000)]
    assert outcomes.ok.all()
    assert set(outcomes.batch_id.tolist()) == {-1}


def test_workers_that_find_the_same_new_kinds_write_the_same_numbers(tmp_path):
    records = spool(tmp_path, 4, 2)
    for number, kinds in enumerate((["http_500", "http_503"], ["http_503", "http_500"])):
        recorder = records.recorder(Share(number, 2))
        for row, kind in zip(range(number, 4, 2), kinds, strict=True):
            play(recorder, [row], answered=False)
            recorder.on_end(row, kind)
    assert begun(records.outcomes()).errors() == {"http_500": 2, "http_503": 2}


def test_of_stopped_workers_only_those_requests_count_whose_turn_had_come(tmp_path):
    records = spool(tmp_path, 3000, 3)
    for number, got_to in enumerate((9, 30, 0)):
        play(records.recorder(Share(number, 3)), range(number, got_to, 3))
    outcomes = begun(records.outcomes())
    rows = [0, 1, 3, 4, 6, 7, 10, 13, 16, 19, 22, 25, 28]
    assert outcomes.intended_ns.tolist() == [row * 10 for row in rows]
    assert outcomes.errors() == {}


def test_of_a_lost_worker_what_was_due_before_the_end_counts_as_unsent_or_interrupted(tmp_path):
    records = spool(tmp_path, 3000, 3)
    play(records.recorder(Share(0, 3)), range(0, 12, 3))
    lost = records.recorder(Share(1, 3))
    play(lost, [1])
    play(lost, [4], answered=False)
    play(records.recorder(Share(2, 3)), range(2, 12, 3))
    outcomes = begun(records.outcomes(), lost=[Share(1, 3)])
    assert len(outcomes) == 12
    assert outcomes.errors() == {INTERRUPTED: 1, UNSENT: 2}  # 4; 7 and 10
    assert outcomes.ok.sum() == 9


def test_the_callers_of_a_closed_loop_are_put_in_the_order_in_which_they_asked(tmp_path):
    turns = Schedule.of_lane(np.empty(0, np.int64), np.arange(3, dtype=np.int32), Lane("m"), {})
    records = Spool.create(tmp_path, turns, 2)
    slow, quick = (records.recorder(Share(number, 2)) for number in range(2))
    for recorder, instants_ns in ((slow, [5, 400]), (quick, range(10, 300, 10))):
        for now_ns in instants_ns:
            row = recorder.add(now_ns)
            recorder.on_dispatched(row, now_ns)
            recorder.on_sent(row, now_ns + 1)
    outcomes = begun(records.outcomes())
    assert outcomes.intended_ns.tolist() == [5, *range(10, 300, 10), 400]
    assert (outcomes.sent_ns - outcomes.intended_ns == 1).all()


def test_a_caller_who_was_never_served_has_asked_for_nothing(tmp_path):
    turns = Schedule.of_lane(np.empty(0, np.int64), np.arange(3, dtype=np.int32), Lane("m"), {})
    recorder = Spool.create(tmp_path, turns).recorder()
    for now_ns in (10, 20, 30):
        recorder.on_dispatched(recorder.add(now_ns), now_ns)
    recorder.withdraw(1)
    assert begun(recorder.outcomes).intended_ns.tolist() == [10, 30]


@pytest.mark.parametrize("shares", [1, 2])
def test_a_run_that_never_began_has_no_entry(tmp_path, shares):
    assert len(begun(spool(tmp_path, 10, shares).outcomes())) == 0


def test_how_far_a_run_got_does_not_decide_how_long_its_end_takes(tmp_path):
    """Entries that nobody has got to are left as they are: ten million of them may follow."""
    records = spool(tmp_path, 100_000, 2)
    play(records.recorder(Share(1, 2)), [1, 3])
    assert len(begun(records.outcomes())) == 2
    assert not records.outcomes().dispatched_ns[10_000:].any()
