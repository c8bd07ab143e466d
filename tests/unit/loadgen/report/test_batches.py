"""What batches a run's requests were in."""

from __future__ import annotations

import numpy as np
import pytest

from made_runs import make_eventful_run, make_run
from streambox.loadgen import record
from streambox.loadgen.record import REASONS
from streambox.loadgen.report.batches import Batches


def sizes(counts) -> dict[int, int]:
    return {int(size): int(counts[size]) for size in np.flatnonzero(counts)}


def test_a_batch_counts_once_and_each_of_its_requests_for_itself():
    outcomes = make_run(count=110)
    outcomes.batch_size[:] = [4] * 100 + [10] * 10
    outcomes.batch_id[100:] = 1000
    found = Batches.of(outcomes)
    assert sizes(found.batches) == {4: 25, 10: 1}
    assert sizes(found.requests) == {4: 100, 10: 10}
    assert found.per_batch == pytest.approx((25 * 4 + 10) / 26)
    assert found.per_request == pytest.approx((100 * 4 + 10 * 10) / 110)


def test_a_batch_whose_requests_are_far_apart_counts_once(monkeypatch):
    monkeypatch.setattr(record, "_ROWS_AT_ONCE", 10)
    outcomes = make_run(count=100)
    outcomes.batch_id[:] = np.arange(100) % 7
    assert sizes(Batches.of(outcomes).batches) == {4: 7}


def test_ids_that_are_no_running_numbers_are_counted_too(monkeypatch):
    outcomes = make_eventful_run()
    expected = Batches.of(outcomes)
    known = outcomes.batch_id >= 0
    outcomes.batch_id[known] = outcomes.batch_id[known] * 10**13 + 5
    monkeypatch.setattr(record, "_ROWS_AT_ONCE", 1000)
    found = Batches.of(outcomes)
    assert sizes(found.batches) == sizes(expected.batches)
    assert sizes(found.requests) == sizes(expected.requests)


def test_the_reasons_are_those_of_batches_not_of_requests():
    outcomes = make_run(count=100, batch=5)
    outcomes.reason[:50] = REASONS.index("batchsize")
    outcomes.reason[95:] = 0
    assert Batches.of(outcomes).reasons == {"batchsize": 10, "timewindow": 9}


def test_a_server_that_tells_nothing_has_no_batches():
    outcomes = make_run()
    outcomes.batch_id[:], outcomes.batch_size[:], outcomes.reason[:] = -1, 0, 0
    found = Batches.of(outcomes)
    assert (sizes(found.batches), sizes(found.requests), found.reasons) == ({}, {}, {})
