"""Objectives: what they mean, and that a failure is no fast answer."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.record import OK, Recorder
from streambox.loadgen.slo import good, parse_objective
from streambox.workload.schedule import Lane

MS = 1_000_000
SECOND = 1_000_000_000
LANES = (Lane("digits", "acme"), Lane("digits", "zoo"))


def played(responses_ms, failed=(), lane=None):
    """One request per entry, 1 ms apart; *failed* ones end as http_500."""
    count = len(responses_ms)
    recorder = Recorder(np.arange(count, dtype=np.int64) * MS, lane)
    for index, response_ms in enumerate(responses_ms):
        at_ns = index * MS
        recorder.on_sent(index, at_ns)
        recorder.on_response(index, at_ns, at_ns + round(response_ms * MS), 200)
        recorder.on_end(index, "http_500" if index in failed else OK)
    return recorder.outcomes


def judge(text, outcomes, duration_ns=SECOND):
    return parse_objective(text).judge(outcomes, LANES, duration_ns)


HUNDRED = played(range(1, 101))
JUDGED = [
    ("p99<100ms", True, "99.000ms", "the 99th of a hundred"),
    ("p99<=99ms", True, "99.000ms", "the limit itself is within it"),
    ("p99<99ms", False, "99.000ms", "or not, where it says less"),
    ("p99<98.9ms", False, "99.000ms", "a percentile above the limit"),
    ("p50 < 51ms", True, "50.000ms", "blanks do not matter"),
    ("p99.9<=100ms", True, "100.000ms", "a rank with a fraction"),
    ("max<99ms", False, "100.000ms", "the slowest of all"),
    ("mean<51ms", True, "50.500ms", "the mean"),
    ("ok>99.9%", True, "100.0000%", "all were answered right"),
    ("ok>=1", True, "100.0000%", "a share as a number"),
    ("errors<0.1%", True, "0.0000%", "none failed"),
    ("throughput>99/s", True, "100.0/s", "right answers per second"),
    ("throughput<50/s", False, "100.0/s", "an upper limit on a rate"),
]


@pytest.mark.parametrize(("text", "holds", "found", "why"), JUDGED, ids=[row[-1] for row in JUDGED])
def test_an_objective_is_judged_by_the_figure_it_names(text, holds, found, why):
    judgement = judge(text, HUNDRED)
    assert (judgement.holds, judgement.found) == (holds, found)


def test_a_request_that_failed_met_no_latency_objective_however_fast_it_failed():
    outcomes = played([1] * 100, failed={3, 5})
    assert not judge("p99<50ms", outcomes).holds
    assert judge("p99<50ms", outcomes).found == "not answered"
    assert judge("p98<50ms", outcomes).holds
    assert not judge("max<50ms", outcomes).holds
    assert judge("errors<3%", outcomes).holds


def test_a_tenants_objective_looks_at_its_own_requests():
    outcomes = played([10, 90] * 50, lane=np.array([0, 1] * 50, np.uint8))
    assert judge("tenant=acme:p99<50ms", outcomes).holds
    assert not judge("tenant=zoo:p99<50ms", outcomes).holds
    assert not judge("model=digits:p99<50ms", outcomes).holds


def test_a_tenant_without_a_request_meets_nothing():
    judgement = judge("tenant=nobody:p99<50ms", HUNDRED)
    assert (judgement.holds, judgement.found) == (False, "no request")


@pytest.mark.parametrize(
    ("text", "share"), [("p99<50ms", 0.01), ("ok>99.9%", 0.001), ("errors<5%", 0.05), ("mean<5ms", None)]
)
def test_what_may_miss_it_is_a_share(text, share):
    assert parse_objective(text).allowed == (None if share is None else pytest.approx(share))


def test_missed_are_the_slow_and_the_failed():
    outcomes = played([10, 60, 10], failed={2})
    assert parse_objective("p99<50ms").missed(outcomes, LANES).tolist() == [False, True, True]
    assert parse_objective("ok>99%").missed(outcomes, LANES).tolist() == [False, False, True]


def test_good_are_the_right_answers_within_every_time_that_concerns_them():
    outcomes = played([10, 60, 10, 60, 200, 30], failed={2}, lane=np.array([0, 0, 0, 1, 1, 1], np.uint8))

    def good_ones(*texts):
        return good(outcomes, [parse_objective(text) for text in texts], LANES).tolist()

    assert good_ones() == [True, True, False, True, True, True]
    assert good_ones("p99<50ms") == [True, False, False, False, False, True]
    assert good_ones("tenant=acme:p99<50ms") == [True, False, False, True, True, True]
    assert good_ones("max<100ms") == [True, True, False, True, False, True]
    assert good_ones("mean<5ms", "ok>1%", "throughput>5/s") == good_ones()


BAD = [
    ("", "is no objective"),
    ("p99", "is no objective"),
    ("p99=50ms", "is no objective"),
    ("p99<50", "has no unit: write a duration"),
    ("p99<0ms", "no response time"),
    ("p0<5ms", "no figure 'p0'"),
    ("p100<5ms", "no figure 'p100'"),
    ("latency<5ms", "no figure 'latency'"),
    ("ok>101%", "no share"),
    ("ok>nan", "no share"),
    ("ok>5ms", "no share"),
    ("throughput>5", "has no unit: write a rate"),
    ("who=acme:p99<5ms", "is no objective"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[row[0] or "empty" for row in BAD])
def test_what_is_no_objective_is_refused_with_the_reason(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_objective(text)
