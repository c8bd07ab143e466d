"""Every offered request has one entry, and one end."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from streambox.batcher import FlushReason
from streambox.loadgen.record import INTERRUPTED, OK, REASONS, UNSENT, WRONG, Outcomes, Recorder


def recorder(count: int = 4) -> Recorder:
    return Recorder(np.arange(count, dtype=np.int64) * 100)


def test_a_request_that_was_never_sent_is_unsent():
    outcomes = recorder(2).outcomes
    assert outcomes.errors() == {UNSENT: 2}
    assert not outcomes.sent.any()
    assert not outcomes.completed.any()


def test_a_request_that_was_sent_and_has_no_end_yet_is_interrupted():
    record = recorder(2)
    record.on_sent(0, 10)
    assert record.outcomes.errors() == {UNSENT: 1, INTERRUPTED: 1}


def test_response_time_counts_from_the_intended_instant_and_lag_up_to_the_sending():
    record = recorder()
    record.on_sent(1, 130)
    record.on_response(1, 175, 175, 200)
    record.on_end(1, OK)
    assert record.outcomes.lag_ns.tolist() == [30]
    assert record.outcomes.response_ns.tolist() == [75]
    assert record.outcomes.status[1] == 200


def test_ends_are_counted_by_kind():
    record = recorder(5)
    for index, kind in enumerate([OK, OK, WRONG, "http_503:queue_full", "http_503:queue_full"]):
        record.on_sent(index, index)
        record.on_response(index, index + 1, index + 1, 200)
        record.on_end(index, kind)
    assert record.ok == 2
    assert record.errors == record.outcomes.errors() == {WRONG: 1, "http_503:queue_full": 2}
    assert record.sent == record.completed == record.ended == 5


def test_more_kinds_than_fit_share_the_last_and_none_is_lost(tmp_path):
    record = recorder(400)
    for index in range(400):
        record.on_end(index, f"http_500:code_{index}")
    assert len(record.outcomes.kinds) == 255
    assert sum(record.outcomes.errors().values()) == 400
    record.outcomes.to_parquet(tmp_path / "outcomes.parquet")
    written = pq.read_table(tmp_path / "outcomes.parquet")["kind"].to_pylist()
    assert written[:200] == [f"http_500:code_{index}" for index in range(200)]
    assert written[-1] == "other"


def test_a_closed_loop_adds_entries_as_it_goes():
    record = Recorder(np.empty(0, np.int64))
    for number in range(3000):
        index = record.add(number * 10)
        record.on_sent(index, number * 10 + 1)
    outcomes = record.outcomes.first(record.sent)
    assert len(outcomes) == 3000
    assert outcomes.intended_ns.tolist() == [number * 10 for number in range(3000)]
    assert (outcomes.lag_ns == 1).all()
    assert outcomes.errors() == {INTERRUPTED: 3000}


def test_the_first_entries_are_a_view_with_the_same_kinds():
    record = recorder(4)
    record.on_end(0, WRONG)
    part = record.outcomes.first(2)
    assert len(part) == 2
    assert part.errors() == {WRONG: 1, UNSENT: 1}


def test_what_the_batch_did_is_kept():
    record = recorder()
    record.on_batch(2, 77, 8, 1_500_000, 300_000, "timewindow")
    outcomes = record.outcomes
    entry = (outcomes.batch_id[2], outcomes.batch_size[2], outcomes.wait_ns[2], outcomes.service_ns[2])
    assert entry == (77, 8, 1_500_000, 300_000)
    assert outcomes.batch_size[0] == 0
    assert [REASONS[code] for code in outcomes.reason] == ["", "", "timewindow", ""]


def test_every_reason_of_a_batcher_has_a_code_of_its_own_and_any_others_share_one(tmp_path):
    reasons = [*FlushReason, "because"]
    record = recorder(len(reasons) + 1)
    for index, reason in enumerate(reasons):
        record.on_batch(index, index, 1, 0, 0, str(reason))
    assert len(set(record.outcomes.reason.tolist())) == len(reasons) + 1
    record.outcomes.to_parquet(tmp_path / "outcomes.parquet")
    read = pq.read_table(tmp_path / "outcomes.parquet")["reason"].to_pylist()
    assert read == [*map(str, FlushReason), "other", ""]


def test_the_parquet_file_has_one_row_per_request_and_kinds_by_name(tmp_path):
    record = recorder(3)
    record.on_sent(0, 5)
    record.on_response(0, 9, 9, 200)
    record.on_end(0, OK)
    record.on_end(1, "reset")
    record.outcomes.to_parquet(tmp_path / "outcomes.parquet")
    table = pq.read_table(tmp_path / "outcomes.parquet")
    assert table["kind"].to_pylist() == [OK, "reset", UNSENT]
    assert table["intended_ns"].to_pylist() == [0, 100, 200]
    assert table["done_ns"].to_pylist() == [9, -1, -1]


def test_first_of_an_empty_run_is_empty():
    assert len(Outcomes(np.empty(0, np.int64)).first(0)) == 0


def test_however_many_error_codes_a_server_has_a_wrong_answer_stays_a_wrong_answer():
    record = recorder(400)
    for index in range(399):
        record.on_end(index, f"http_500:code_{index}")
    record.on_end(399, WRONG)
    found = record.outcomes.errors()
    assert found[WRONG] == 1
    assert found["other"] == 400 - len(found) + 1
    assert found == record.errors


def test_a_request_added_and_not_yet_sent_has_its_own_entry_and_is_no_success():
    """Two callers of a closed loop, both waiting for a connection."""
    record = Recorder(np.empty(0, np.int64))
    assert [record.add(10), record.add(20)] == [0, 1]
    record.on_sent(1, 25)
    record.on_end(1, OK)
    outcomes = record.outcomes.first(record.added)
    assert outcomes.intended_ns.tolist() == [10, 20]
    assert outcomes.errors() == {UNSENT: 1}
    assert outcomes.ok.tolist() == [False, True]


def test_lanes_can_be_told_apart():
    record = Recorder(np.arange(4, dtype=np.int64), np.array([0, 1, 0, 1], np.uint8))
    record.on_end(1, OK)
    second = record.outcomes.of_lanes(np.array([False, True]))
    assert second.intended_ns.tolist() == [1, 3]
    assert second.errors() == {UNSENT: 1}
    assert record.outcomes.of_lanes(np.array([True, False])).errors() == {UNSENT: 2}
    assert len(record.outcomes.of_lanes(np.array([True, True]))) == 4


def test_every_stamp_of_a_request_is_kept():
    record = recorder(2)
    record.on_dispatched(1, 101)
    record.on_sent(1, 105)
    record.on_response(1, 160, 170, 200)
    outcomes = record.outcomes
    stamps = (outcomes.dispatched_ns[1], outcomes.sent_ns[1], outcomes.first_byte_ns[1], outcomes.done_ns[1])
    assert stamps == (101, 105, 160, 170)
    assert outcomes.since_sent_ns(outcomes.first_byte_ns).tolist() == [55]
    assert outcomes.since_sent_ns(outcomes.done_ns).tolist() == [65]


def test_waits_of_ids_that_are_no_running_numbers_are_left_as_they_are():
    record = recorder(2)
    for index, batch_id in enumerate([3, 2**62]):
        record.on_sent(index, index)
        record.on_batch(index, batch_id, 1, 500, 1)
    record.outcomes.apportion_waits()
    assert record.outcomes.wait_ns.tolist() == [500, 500]
