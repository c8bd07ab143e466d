"""Response times split into parts that add up, around each percentile."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen import record
from streambox.loadgen.record import Outcomes
from streambox.loadgen.split import PARTS, Split

MS = 1_000_000


def told(lag_ms, network_ms, wait_ms, service_ms) -> Outcomes:
    """Requests a second apart, each with these parts of its response time."""
    parts = np.broadcast_arrays(
        *(np.asarray(part, float) for part in (lag_ms, network_ms, wait_ms, service_ms))
    )
    lag, network, wait, service = ((part * MS).astype(np.int64) for part in parts)
    outcomes = Outcomes(np.arange(len(lag), dtype=np.int64) * 1_000_000_000)
    outcomes.sent_ns[:] = outcomes.intended_ns + lag
    outcomes.done_ns[:] = outcomes.sent_ns + network + wait + service
    outcomes.wait_ns[:], outcomes.service_ns[:] = wait, service
    return outcomes


def test_each_part_is_that_of_the_requests_around_the_percentile():
    """The slow ones are slow by their waits, and by nothing else."""
    waits = np.where(np.arange(1000) % 50 == 0, 40.0, 4.0)  # 2 %
    summary = Split.of(told(0.25, 0.5, waits, 2)).summary()
    fast = {"response": 6.75, "send_lag": 0.25, "network": 0.5, "wait": 4, "service": 2}
    assert summary["p50"] == summary["p90"] == pytest.approx(fast)
    assert summary["p99"] == pytest.approx({**fast, "wait": 40, "response": 42.75})
    assert summary["mean"] == pytest.approx({**fast, "wait": 4.72, "response": 7.47})


def test_the_parts_add_up_to_a_response_time_that_is_the_percentile():
    random = np.random.default_rng(3)
    outcomes = told(*(random.exponential(scale, 20_000) for scale in (0.1, 0.3, 5, 2)))
    for name, parts in Split.of(outcomes).summary().items():
        if name.startswith("p"):
            percentile_ms = np.percentile(outcomes.response_ns, float(name[1:])) / MS
            assert parts["response"] == pytest.approx(percentile_ms, rel=0.02)
            assert sum(parts[part] for part in PARTS) == pytest.approx(parts["response"], abs=0.003)


def test_only_requests_whose_responses_tell_are_in_it():
    outcomes = told(1, 1, [5, 5, 90], 2)
    outcomes.wait_ns[2] = -1  # an error, or a server that is no Batcher
    summary = Split.of(outcomes).summary()
    assert summary["requests"] == 2
    assert summary["p99"]["response"] == 9


def test_where_no_response_tells_there_is_no_split():
    assert Split.of(Outcomes(np.arange(5, dtype=np.int64))).summary() is None
    assert Split.of(Outcomes(np.empty(0, np.int64))).summary() is None


def test_a_single_request_is_around_every_percentile():
    summary = Split.of(told([1], [2], [3], [4])).summary()
    assert summary["p50"] == summary["p99"] == {
        "response": 10, "send_lag": 1, "network": 2, "wait": 3, "service": 4
    }  # fmt: skip


def test_reading_in_parts_changes_nothing(monkeypatch):
    random = np.random.default_rng(4)
    outcomes = told(*(random.exponential(scale, 1000) for scale in (0.1, 0.3, 5, 2)))
    whole = Split.of(outcomes).summary()
    monkeypatch.setattr(record, "_ROWS_AT_ONCE", 64)
    assert Split.of(outcomes).summary() == whole
